"""The discriminators: the paper's, layer by layer; scales, spectral norm, and what the domains share."""

import math

import pytest
import torch
import torch.nn.functional as F
from architectures import images, table
from laws import in_one_line
from torch import Tensor, nn

from unit.networks.discriminator import Discriminators, PatchDiscriminator


def test_the_papers_discriminators_layer_by_layer() -> None:
    with torch.device("meta"):
        discriminators = Discriminators(3, 3)
    for networks in (discriminators.a, discriminators.b):
        (network,) = networks
        assert isinstance(network, PatchDiscriminator)
        assert table(nn.Sequential(network.private, network.shared)) == [
            ("conv", 3, 64, 3, 2),
            ("leaky", 0.01),
            ("conv", 64, 128, 3, 2),
            ("leaky", 0.01),
            ("conv", 128, 256, 3, 2),
            ("leaky", 0.01),
            ("conv", 256, 512, 3, 2),
            ("leaky", 0.01),
            ("conv", 512, 1024, 3, 2),
            ("leaky", 0.01),
            ("conv", 1024, 1, 1, 1),
        ]


@pytest.mark.parametrize("size", [32, 48, 64, 100])
def test_patch_logits_are_the_images_size_over_two_to_the_layers_rounded_up(size: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, 3, width=2, layers=5)
    x = images(1, 3, size, 32, dtype=torch.float32)
    (logits,), _ = discriminators(x, x)
    assert logits.shape == (1, 1, math.ceil(size / 32), 1)


def test_each_scale_judges_the_image_at_half_the_size_of_the_one_before() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, 3, width=2, layers=2, scales=3).double()
    x_a, x_b = images(2, 3, 32, 40, seed=1), images(2, 3, 32, 40, seed=2)
    logits_a, logits_b = discriminators(x_a, x_b)
    assert len(logits_a) == len(logits_b) == 3
    for scale in range(3):
        torch.testing.assert_close(logits_a[scale], discriminators.a[scale](x_a), rtol=0, atol=1e-12)
        torch.testing.assert_close(logits_b[scale], discriminators.b[scale](x_b), rtol=0, atol=1e-12)
        assert logits_a[scale].shape == (2, 1, 8 >> scale, 10 // (1 << scale) + (scale == 2))
        x_a, x_b = (F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (x_a, x_b))
    parameters = [id(p) for p in discriminators.parameters()]
    assert len(parameters) == len(set(parameters)) == 2 * 3 * 3 * 2  # domains × scales × layers × (weight, bias)


def test_a_flat_image_stays_as_it_is_on_every_scale() -> None:
    halve = Discriminators(3, 3, width=2).halve
    x = torch.full((1, 3, 16, 16), 0.3, dtype=torch.float64)
    torch.testing.assert_close(halve(x), x[..., :8, :8], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared_layers", [0, 2])
def test_spectral_norm_bounds_every_layers_largest_singular_value_by_one(shared_layers: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, 3, width=4, layers=3, scales=2, shared_layers=shared_layers, spectral_norm=True)
    x = images(1, 3, 32, 32, dtype=torch.float32)
    with torch.no_grad():
        for _ in range(500):  # one power iteration each
            discriminators(x, x)
    discriminators.eval()
    convolutions = [m for m in discriminators.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 2 * (2 * (4 - shared_layers) + shared_layers)
    for conv in convolutions:
        largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
        assert 0.99 < largest < 1.01
    assert not [name for name, _ in Discriminators(3, 3, width=4).named_buffers()]


@pytest.mark.parametrize("shared_layers", [0, 4])
def test_standardizing_discriminators_judge_what_plain_ones_make_of_standardized_images(shared_layers: int) -> None:
    torch.manual_seed(0)
    options = {"width": 2, "layers": 3, "scales": 2, "shared_layers": shared_layers}
    standardizing, plain = Discriminators(3, 3, standardize=True, **options), Discriminators(3, 3, **options)
    plain.load_state_dict({k: v for k, v in standardizing.state_dict().items() if not k.startswith("standard")})
    standardizing, plain = standardizing.double(), plain.double()
    x_a, x_b = 0.1 * images(2, 3, 32, 32, seed=1) + 0.8, 0.2 * images(3, 3, 32, 32, seed=2) - 0.5
    standardizing.measure(x_a, x_b)
    means, deviations = ([f(x, (0, 2, 3)).view(1, 3, 1, 1) for x in (x_a, x_b)] for f in (torch.mean, deviation))
    of_plain = plain((x_a - means[0]) / deviations[0], (x_b - means[1]) / deviations[1])
    for logits, expected in zip(standardizing(x_a, x_b), of_plain, strict=True):
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)


def deviation(x: Tensor, dimensions: tuple[int, ...]) -> Tensor:
    return (x - x.mean(dimensions, keepdim=True)).square().mean(dimensions).sqrt()


@pytest.mark.parametrize("shared_layers", [0, 2, 4])
def test_discriminators_run_together_give_what_each_gives_alone(shared_layers: int) -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(3, 3, width=2, layers=3, scales=2, shared_layers=shared_layers).double()
    x_a, x_b = images(2, 3, 32, 32, seed=1), images(3, 3, 32, 32, seed=2)
    logits_a, logits_b = discriminators(x_a, x_b)
    for scale in range(2):
        for network, logits, x in ((discriminators.a, logits_a, x_a), (discriminators.b, logits_b, x_b)):
            for i, image in enumerate(x):
                small = F.avg_pool2d(image[None], 3, 2, 1, count_include_pad=False) if scale else image[None]
                torch.testing.assert_close(network[scale](small)[0], logits[scale][i], rtol=0, atol=1e-10)


@pytest.mark.parametrize("shared_layers", [0, 2, 3])
def test_domains_of_different_channels_share_any_layers_but_the_first(shared_layers: int) -> None:
    discriminators = Discriminators(3, 1, width=2, layers=3, shared_layers=shared_layers)
    x_a, x_b = images(2, 3, 32, 32, dtype=torch.float32), images(3, 1, 32, 32, dtype=torch.float32)
    (logits_a,), (logits_b,) = discriminators(x_a, x_b)
    assert logits_a.shape == (2, 1, 4, 4) and logits_b.shape == (3, 1, 4, 4)
    with pytest.raises(ValueError) as refusal:
        Discriminators(3, 1, width=2, layers=3, shared_layers=4)
    assert in_one_line(refusal.value) == "4 shared layers need images of one kind, got 3 and 1 channels"
