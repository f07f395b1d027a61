"""The weights that training starts from."""

import math

from torch import Tensor, nn
from unit_toys import untrained

from unit.methods.translation import DiscriminatorConfig
from unit.methods.unit import Unit, UnitConfig
from unit.models.unit import UnitModelConfig


def method_of(model: UnitModelConfig, discriminator: DiscriminatorConfig) -> Unit:
    return untrained(UnitConfig(model=model, discriminator=discriminator))


def weights(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def assert_normal(sample: Tensor, std: float) -> None:
    """Mean, standard deviation and fourth moment lie within five of their own standard errors."""
    n = sample.numel()
    z = sample.double().flatten() / std
    assert z.mean().abs() < 5 / math.sqrt(n)
    assert (z.square().mean() - 1).abs() < 5 * math.sqrt(2 / n)
    assert (z.pow(4).mean() - 3).abs() < 5 * math.sqrt(96 / n)


def test_weights_are_drawn_from_a_normal_of_standard_deviation_two_hundredths() -> None:
    method = method_of(UnitModelConfig(width=4), DiscriminatorConfig(width=4))
    for network in (method.translator, method.discriminators):
        for layer in weights(network):
            assert_normal(layer.weight, 0.02)
            assert layer.bias is None or not layer.bias.any()


def test_kaiming_weights_have_variance_two_over_fan_in() -> None:
    method = method_of(
        UnitModelConfig(width=4, init="kaiming", upsampling="resize"), DiscriminatorConfig(width=4, spectral_norm=False)
    )
    for network in (method.translator, method.discriminators):
        for layer in weights(network):
            fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            assert_normal(layer.weight, math.sqrt(2 / fan_in))
            assert layer.bias is None or not layer.bias.any()


def test_weights_under_spectral_norm_are_drawn_from_the_same_normal() -> None:
    method = method_of(UnitModelConfig(width=4), DiscriminatorConfig(width=4, spectral_norm=True))
    originals = {k: p for k, p in method.discriminators.named_parameters() if k.endswith("original")}
    assert len(originals) == 2 * 6
    for original in originals.values():
        assert_normal(original, 0.02)
