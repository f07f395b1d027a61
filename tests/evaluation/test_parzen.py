"""Parzen windows against log-sums worked out by hand."""

import math

import pytest
import torch
from digit_toys import normals, uniforms
from image_sets import SIDE, domain_of, in_small_parts, labeled, model_of, set_of
from torch.distributions import Normal

from unit import draws
from unit.data.domain import domain_of_array
from unit.data.images import to_intensity
from unit.evaluation import parzen
from unit.evaluation.parzen import METRIC, log_likelihood

small = pytest.fixture(autouse=True)(in_small_parts)


@pytest.mark.parametrize("width", [0.1, 0.25, 2.0])
def test_the_window_is_a_log_sum_of_exponentials(width: float) -> None:
    images, samples = domain_of(), uniforms(7, SIDE * SIDE, seed=3)
    expected = 0.0
    for image in images.tensor.double().flatten(1) / 255:
        # log 1/7 Σ_s N(x; s, width²·I)
        laws = [Normal(sample, width).log_prob(image).sum() for sample in samples]
        expected += float(torch.stack(laws).logsumexp(0) - math.log(7)) / 10
    found = log_likelihood(samples.float(), set_of(model_of("aae")), images, width)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-2)


def test_the_window_of_one_sample_by_hand() -> None:
    images = domain_of_array(torch.full((1, 1, 1, 2), 255, dtype=torch.uint8))
    samples = torch.tensor([[1.0, 0.5], [0.0, 1.0]])  # squared distances 0.25 and 1
    expected = math.log(0.5 * (math.exp(-0.25 / 2) + math.exp(-1 / 2)) / (2 * math.pi))
    assert log_likelihood(samples, set_of(model_of("aae")), images, 1.0) == pytest.approx(expected, rel=1e-6)


def test_the_windows_width_is_the_best_for_the_last_images_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = model_of("aae"), domain_of(seed=1)
    z = model.prior.sample(60, draws.generator(0, "parzen"))
    with torch.no_grad():
        samples = to_intensity(torch.cat([model.image(part) for part in z.split(4)])).flatten(1)
        near = (samples[:5] + 0.15 * normals(5, SIDE * SIDE, seed=5).float()).clamp(0, 1)
    pixels = domain_of(20, seed=2).tensor.clone()
    pixels[15:] = (255 * near).round().to(torch.uint8).view(5, 1, SIDE, SIDE)
    seen = labeled(pixels, torch.zeros(20, dtype=torch.long))
    monkeypatch.setattr(parzen, "VALIDATION", 5)
    both = set_of(model, images, seen)
    found = METRIC.measure(both).rows
    tried = [round(0.1 + 0.01 * step, 2) for step in range(16)]
    best = max(tried, key=lambda width: log_likelihood(samples, both, seen.part(15, 20), width))
    assert found["width of the window"]["value"] == pytest.approx(best) and 0.1 < best < 0.25
    expected = log_likelihood(samples, both, images, best)
    assert found["log-likelihood"]["value"] == pytest.approx(expected, rel=1e-6)
