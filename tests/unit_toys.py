"""What the tests of UNIT share: small networks in float64, a batch of noise, and a step taken phase by phase."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unit.config.data import Channels
from unit.data.two_domains import TranslationBatch
from unit.methods.base import Phase
from unit.methods.translation import DiscriminatorConfig
from unit.methods.unit import LossConfig, Unit, UnitConfig
from unit.models.base import TranslatedImages
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig

MODEL = UnitModelConfig(width=2, blocks=2, shared_blocks=1)
DISCRIMINATOR = DiscriminatorConfig(width=2, layers=2)
SIDE = 16

UNIT2018 = UnitModelConfig(
    width=2,
    blocks=4,
    shared_blocks=0,
    down_kernel=4,
    up_kernel=5,
    last_kernel=7,
    upsampling="resize",
    encoder_norm="instance",
    generator_norm="layer",
    slope=0.0,
    padding="reflect",
    init="kaiming",
)
UNIT2018_DISCRIMINATOR = DiscriminatorConfig(width=2, layers=4, kernel=4, slope=0.2, scales=3)

VARIANTS = {
    "paper": MODEL,
    "all shared": replace(MODEL, shared_blocks=2),
    "none shared": replace(MODEL, shared_blocks=0),
    "unit2018": UNIT2018,
}
"""Models whose laws are the same."""


def translator(
    model: UnitModelConfig = MODEL, *, channels: Channels = 3, channels_b: Channels | None = None
) -> UnitTranslator:
    """The untrained translator, from a seed."""
    torch.manual_seed(0)
    images = TranslatedImages(channels, channels if channels_b is None else channels_b)
    return UnitTranslator(UnitTranslatorConfig(images, model))


def images(count: int, seed: int) -> Tensor:
    """float64 (count, 3, 16, 16) in [-1, 1)."""
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def batch_of(count: int = 2, *, step: int = 3, start: int = 0) -> TranslationBatch:
    """The images at `count` positions of a step."""
    return TranslationBatch(images(count, 1), images(count, 2), step, range(start, start + count), 7)


def shared_out(batch: TranslationBatch, parts: int) -> list[TranslationBatch]:
    """The batch in equal parts, as processes or accumulation take it."""
    each = len(batch.x_a) // parts
    return [
        replace(batch, x_a=x_a, x_b=x_b, positions=batch.positions[start : start + each])
        for start, x_a, x_b in zip(
            range(0, len(batch.x_a), each), batch.x_a.split(each), batch.x_b.split(each), strict=True
        )
    ]


def untrained(config: UnitConfig) -> Unit:
    """The method; it has no use for data but to be trained."""
    torch.manual_seed(0)
    nothing: Any = None
    return Unit(config, nothing)


def method_of(
    loss: LossConfig | None = None,
    *,
    model: UnitModelConfig = MODEL,
    discriminator: DiscriminatorConfig = DISCRIMINATOR,
) -> Unit:
    """In float64, with weights large enough for every term and gradient to count."""
    config = UnitConfig(model=replace(model, init="kaiming"), discriminator=discriminator, loss=loss or LossConfig())
    method = untrained(config)
    method.to(torch.device("cpu"))
    for network in (method.translator, method.discriminators, method.regularizer.discriminator, method.perceptual):
        if network is not None:
            network.double()
    return method


def small_features() -> nn.Module:
    """A small network in place of VGG16's features."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3))


def descend(network: nn.Module) -> None:
    """One gradient step, so that the next phase sees another network; then no gradients."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
            parameter.grad = None


def steps(method: Unit, batch: TranslationBatch, *, recompute: bool = False) -> Iterator[Phase]:
    """The phases of a step, each with its gradients; its network moves before the next."""
    for phase in method.phases(method.networks, batch, recompute=recompute):
        phase.loss.backward()
        yield phase
        descend(method.networks[phase.optimizer])
