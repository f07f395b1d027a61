"""What methods with one generator and one discriminator share: their config, the discriminator, sizes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unit.config.base import ConfigError, OptimConfig
from unit.data.batches import Batches, Shard
from unit.data.two_domains import TranslationBatch
from unit.losses.gan import GanKind, discriminator_loss
from unit.methods.base import Phase
from unit.methods.translation import (
    OneDiscriminatorConfig,
    TranslationConfig,
    TranslationMethod,
    refusing_size,
    sibling_optim,
)
from unit.models.one_way import OneWayTranslator
from unit.networks.blocks import Norm
from unit.networks.discriminator import Discriminator


def patch_discriminator(norm: Norm) -> OneDiscriminatorConfig:
    """That of 70×70 patches with this norm."""
    return OneDiscriminatorConfig(kind="patchgan", layers=3, kernel=4, slope=0.2, norm=norm, weight=0.5)


@dataclass(frozen=True)
class OneWayConfig(TranslationConfig):
    """A training of one generator."""

    optim: OptimConfig = field(default_factory=sibling_optim)

    def check_stride(self, stride: int) -> None:
        """Raise ConfigError unless the generator takes crops of this size."""
        if self.data.size % stride:
            raise ConfigError(f"data.size: expected a multiple of {stride} for this model, got {self.data.size}")


class OneWayMethod(TranslationMethod):
    """x is an image of the domain that is translated, y one of the other, G the generator and D its discriminator."""

    model: OneWayTranslator

    def __init__(self, config: Any, batches: Batches[Any, TranslationBatch]) -> None:
        super().__init__(config, batches)
        self.model = self.build_model(config)
        self.discriminator = self.build_discriminator(config)
        self.networks = {"discriminator": self.discriminator, "generator": self.model}

    @classmethod
    @abstractmethod
    def build_model(cls, config: Any) -> OneWayTranslator:
        """The generator, untrained."""

    @classmethod
    def build_discriminator(cls, config: Any) -> Discriminator:
        """The discriminator, untrained."""
        out = config.images.channels(config.model.direction[2])
        return Discriminator(out, **config.discriminator.options(padding="zeros", init=config.model.init))

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        super().check(config, shard)
        size = config.data.size
        with torch.device("meta"), refusing_size(size):
            model, discriminator = cls.build_model(config).eval(), cls.build_discriminator(config).eval()
            convolution = next(module for module in discriminator.modules() if isinstance(module, nn.Conv2d))
            model.generator(torch.empty(1, model.channels[0], size, size))
            discriminator(torch.empty(1, convolution.in_channels, size, size))

    def sides(self, batch: TranslationBatch) -> tuple[Tensor, Tensor]:
        """x and y."""
        return (batch.x_a, batch.x_b) if self.config.model.direction == "a2b" else (batch.x_b, batch.x_a)


def one_discriminator_phase(
    discriminator: nn.Module, real: Tensor, fake: Tensor, *, kind: GanKind, weight: float
) -> Phase:
    """The discriminator's loss on real images against generated ones, which are detached, times the weight, in one
    pass."""
    count = len(real)
    logits: Sequence[Tensor] = discriminator(torch.cat([real, fake.detach()]))
    loss = discriminator_loss([y[:count] for y in logits], [y[count:] for y in logits], kind)
    return Phase("discriminator", weight * loss, {"discriminator": loss.detach()})
