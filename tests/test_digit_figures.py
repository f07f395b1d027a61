"""The figures of autoencoders of digits, each by hand on a model or on images whose figures are known."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from digit_toys import METHODS, config_of, normals, uniforms
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from unit import draws
from unit.core.regularizer import mmd
from unit.data.digits import Digits
from unit.evaluation import digits as evaluation
from unit.evaluation.digits import bound_figures, category_figures, error, evaluate_digits, parzen, table, window
from unit.methods.aae_semi import CategoricalModel, log_odds
from unit.methods.autoencoder import DigitModel
from unit.methods.build import method_of

SIDE = 16


def digits_of(count: int = 10, *, seed: int = 0) -> Digits:
    images = (256 * uniforms(count, 1, SIDE, SIDE, seed=seed)).to(torch.uint8)
    return Digits(images, torch.arange(count) * 3 % 10)


def model_of(name: str, **keys: Any) -> Any:
    """METHODS[name]'s network for images of 16 × 16, untrained, with weights large enough for each to count."""
    torch.manual_seed(0)
    model = method_of(config_of(name, data__name="usps", **keys)).model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def approx(value: float | Tensor) -> Any:
    return pytest.approx(float(value), rel=2e-5)


def one_hot(y: Tensor) -> Tensor:
    return torch.eye(10)[y]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four, and windows around 60 images."""
    monkeypatch.setattr(evaluation, "BATCH", 4)
    monkeypatch.setattr(evaluation, "PARZEN_SAMPLES", 60)


# The bound.


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_the_bound_and_its_terms_by_hand(name: str, noise: float) -> None:
    model, digits = model_of(name, model__noise=noise), digits_of()
    generator = draws.generator(0, "evaluate")
    sums = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for start in (0, 4, 8):  # the last part is of two images
            x, y = digits.images[start : start + 4] / 255, digits.labels[start : start + 4]
            label = one_hot(y) if name == "cvae" else torch.empty(len(x), 0)
            seen = (x + noise * torch.randn(x.shape, generator=generator)).clip(0, 1) if noise else x
            mu, log_variance = model.encoder(torch.cat([seen.flatten(1), label], dim=1)).chunk(2, dim=1)
            z = mu + torch.exp(log_variance / 2) * torch.randn(len(x), 2, generator=generator)
            law = Bernoulli(logits=model.decoder(torch.cat([z, label], dim=1)), validate_args=False)
            q = Normal(mu, torch.exp(log_variance / 2))
            kl = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()
            clean = model.decoder(torch.cat([mu, label], dim=1)).sigmoid()
            least = Bernoulli(x).entropy().sum()
            sums += torch.stack(
                [-law.log_prob(x).sum(), kl, (seen - x).square().sum(), (clean - x).square().sum(), least]
            )
    reconstruction, divergence, before, after, least = (sums / 10).tolist()
    expected = {
        "-ELBO": reconstruction + divergence, "reconstruction": reconstruction, "KL": divergence,
        "entropy of the images": least,
    }  # fmt: skip
    if noise:
        expected |= {"squared error of the noisy images": before, "squared error, denoised": after}
    with torch.no_grad():
        found = bound_figures(model, digits)
    assert found == {name: approx(value) for name, value in expected.items()}
    assert found["KL"] > 0.1
    assert found["-ELBO"] == pytest.approx(found["reconstruction"] + found["KL"], rel=1e-6)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_entropy_is_bernoullis_alone(likelihood: str) -> None:
    with torch.no_grad():
        found = bound_figures(model_of("vae", model__likelihood=likelihood), digits_of())
    assert list(found) == ["-ELBO", "reconstruction", "KL"]


# Errors.


class Naming(nn.Module):
    """Names each image after its first pixel's brightness."""

    def classify(self, x: Tensor) -> Tensor:
        return one_hot((255 * x[:, 0, 0, 0]).round().long())


def test_the_error_is_the_share_of_images_named_wrongly() -> None:
    digits = digits_of()
    digits.images[:, 0, 0, 0] = digits.labels
    model: Any = Naming()
    assert error(model, digits) == 0
    digits.images[[1, 5, 9], 0, 0, 0] = ((digits.labels[[1, 5, 9]] + 1) % 10).to(torch.uint8)
    assert error(model, digits) == pytest.approx(0.3)


def categorical(name: str, logits: Tensor, **keys: Any) -> tuple[CategoricalModel, Digits]:
    """A model whose encoder gives image n the logits of row n, and the style 0; each image is of one brightness, n."""
    model = model_of(name, **keys)
    count, categories = logits.shape

    class Encoder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            numbers = (255 * x[:, 0, 0, 0]).round().long()
            return torch.cat([logits[numbers], torch.zeros(len(x), 2)], dim=1)

    assert isinstance(model, CategoricalModel) and model.config.categories == categories
    model.encoder = Encoder()
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, SIDE, SIDE)
    return model, Digits(images, torch.zeros(count, dtype=torch.long))


def test_the_surest_of_saturated_images_names_the_cluster() -> None:
    # Both probabilities are 1 in float32, and in float64 too; the second image is the surer one.
    sure = log_odds(torch.tensor([[40.0, 0.0, 0.0], [80.0, 0.0, 0.0], [-5.0, 0.0, 3.0]]))
    assert sure[:, 0].argmax() == 1
    expected = torch.tensor([[40.0, 0.0, 0.0], [80.0, 0.0, 0.0], [-5.0, 0.0, 3.0]]).double().softmax(1)
    torch.testing.assert_close(sure[2].sigmoid(), expected[2])


def test_a_cluster_is_named_after_the_digit_of_its_surest_image() -> None:
    # Clusters 0 and 2 are in use. Cluster 0's surest image is number 4, a seven; cluster 2's is number 1, a three.
    logits = torch.tensor(
        [[2.0, 0, 0], [0, 0, 4.0], [3.0, 0, 0], [0, 0, 2.0], [5.0, 0, 0], [0, 0, 3.0], [1.0, 0, 0], [4.0, 0, 3.5]]
    )
    model, digits = categorical("aae_cluster", logits, model__categories=3)
    digits.labels[:] = torch.tensor([7, 3, 1, 3, 7, 7, 7, 3])
    # In cluster 0: 7, 1, 7, 7, 3 and so two errors; in cluster 2: 3, 3, 7 and so one.
    with torch.no_grad():
        found = category_figures(model, digits)
        image = model.image(logits.softmax(1), torch.zeros(8, 2))
    squared = (image - digits.images / 255).square().sum() / 8
    assert found == {"error": approx(3 / 8), "squared error": approx(squared), "clusters in use": 2.0}


def test_a_supervised_category_is_its_own_digit() -> None:
    logits = 3 * one_hot(torch.tensor([0, 1, 2, 3, 4, 5]))
    model, digits = categorical("aae_semi", logits)
    digits.labels[:] = torch.tensor([0, 1, 9, 3, 9, 5])
    with torch.no_grad():
        found = category_figures(model, digits)
    assert found.keys() == {"error", "squared error"} and found["error"] == approx(2 / 6)


# Parzen windows.


@pytest.mark.parametrize("width", [0.1, 0.25, 2.0])
def test_the_window_is_a_log_sum_of_exponentials(width: float) -> None:
    digits, samples = digits_of(), uniforms(7, SIDE * SIDE, seed=3)
    expected = 0.0
    for image in digits.images.double().flatten(1) / 255:
        # log 1/7 Σ_s N(x; s, width²·I)
        laws = [Normal(sample, width).log_prob(image).sum() for sample in samples]
        expected += float(torch.stack(laws).logsumexp(0) - math.log(7)) / 10
    assert window(samples.float(), digits, width) == pytest.approx(expected, rel=1e-5, abs=1e-2)


def test_the_window_of_one_sample_by_hand() -> None:
    digits = Digits(torch.full((1, 1, 1, 2), 255, dtype=torch.uint8), torch.zeros(1, dtype=torch.long))
    samples = torch.tensor([[1.0, 0.5], [0.0, 1.0]])  # squared distances 0.25 and 1
    expected = math.log(0.5 * (math.exp(-0.25 / 2) + math.exp(-1 / 2)) / (2 * math.pi))
    assert window(samples, digits, 1.0) == pytest.approx(expected, rel=1e-6)


def test_the_windows_width_is_the_best_for_the_last_images_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, digits, seen = model_of("aae"), digits_of(seed=1), digits_of(20, seed=2)
    z = model.prior.sample(60, draws.generator(0, "parzen"))
    with torch.no_grad():
        samples = torch.cat([model.image(part) for part in z.split(4)]).flatten(1)
        images = (samples[:5] + 0.15 * normals(5, SIDE * SIDE, seed=5).float()).clamp(0, 1)
    seen.images[15:] = (255 * images).round().to(torch.uint8).view(5, 1, SIDE, SIDE)
    monkeypatch.setattr(evaluation, "PARZEN_VALIDATION", 5)
    with torch.no_grad():
        likelihood, width = parzen(model, digits, seen)
    tried = [round(0.1 + 0.01 * step, 2) for step in range(16)]
    best = max(tried, key=lambda width: window(samples, seen.part(15, 20), width))
    assert width == pytest.approx(best) and 0.1 < best < 0.25
    assert likelihood == pytest.approx(window(samples, digits, best), rel=1e-6)


# Which figures each model has.


@pytest.mark.parametrize("name", ["aae", "wae", "aae_supervised"])
def test_errors_and_discrepancies_of_an_adversarial_model_by_hand(name: str) -> None:
    model, digits = model_of(name), digits_of()
    assert isinstance(model, DigitModel)
    found = evaluate_digits(model, digits, digits_of(seed=1))
    x, label = digits.images / 255, one_hot(digits.labels) if name == "aae_supervised" else torch.empty(10, 0)
    with torch.no_grad():
        z = model.encoder(x)
        squared = (model.decoder(torch.cat([z, label], dim=1)) - x).square().sum() / 10
        prior, again = (model.prior.sample(10, draws.generator(seed, "evaluate prior")) for seed in (0, 1))
    sd = float(prior.std())
    expected = {
        "squared error": squared, "MMD of codes and prior": mmd(z, prior, sd=sd),
        "MMD of the prior and itself": mmd(again, prior, sd=sd),
    }  # fmt: skip
    for key, value in expected.items():
        assert found[key] == pytest.approx(float(value), rel=2e-4)
    others = ["Parzen log-likelihood", "width of its window"]
    assert list(found) == [*expected, *([] if name == "aae_supervised" else others)]


@pytest.mark.parametrize("name", METHODS)
def test_figures_are_finite_and_the_same_each_time(name: str) -> None:
    model, digits, seen = model_of(name), digits_of(), digits_of(12, seed=1)
    before = [parameter.clone() for parameter in model.parameters()]
    found = evaluate_digits(model, digits, seen)
    torch.rand(3)
    assert found and evaluate_digits(model, digits, seen) == found
    assert all(math.isfinite(value) for value in found.values())
    assert all(map(torch.equal, before, model.parameters()))


def test_m1s_figures_are_its_error_and_its_vaes_bound() -> None:
    model, digits = model_of("m1"), digits_of()
    found = evaluate_digits(model, digits, digits)
    assert next(iter(found)) == "error"
    with torch.no_grad():
        assert found == {"error": error(model, digits)} | bound_figures(model.vae, digits)
        named = model.classifier(model.vae.encoder(digits.images / 255)[:, :2]).argmax(1)
    assert found["error"] == approx((named != digits.labels).float().mean())


def test_a_model_without_figures_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^no figures for a Linear$"):
        evaluate_digits(nn.Linear(1, 1), digits_of(), digits_of())


def test_a_table_has_a_line_for_each_figure_with_four_digits() -> None:
    figures = {"error": 0.0123456, "squared error": 1234.56}
    assert table(figures) == "error          0.01235\nsquared error  1235"


# Averages do not depend on the parts that the images are taken in.

AVERAGES: dict[str, Callable[[Any, Digits], dict[str, float]]] = {
    "aae_semi": category_figures,
    "aae_cluster": category_figures,
    "m2": lambda model, digits: {"error": error(model, digits)},
}


@pytest.mark.parametrize("name", AVERAGES)
def test_parts_change_no_average(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, digits = model_of(name), digits_of(11)
    found = []
    for part in (1, 4, 11, 100):
        monkeypatch.setattr(evaluation, "BATCH", part)
        with torch.no_grad():
            found.append(AVERAGES[name](model, digits))
    for one, other in itertools.pairwise(found):
        assert one == {key: approx(value) for key, value in other.items()}
