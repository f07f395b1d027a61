"""pix2pix: a U-Net from pairs, with an adversary that sees both images of a pair.

Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017 (arXiv 1611.07004).
It needs pairs, and so tells how well unpaired methods could do. With λ = 100, L1 averaged over all elements:

    L = GAN(D(x, G(x))) + λ |G(x) − y|
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from unit.config.base import ConfigError, at_least
from unit.data.two_domains import TranslationBatch
from unit.losses.gan import GanKind, generator_loss
from unit.methods.base import Phase, weighted_phase
from unit.methods.one_way import OneWayConfig, OneWayMethod, one_discriminator_phase, patch_discriminator
from unit.methods.translation import OneDiscriminatorConfig
from unit.models.one_way import UNetConfig, UNetTranslator, UNetTranslatorConfig
from unit.networks.discriminator import Discriminator
from unit.networks.dropout import dropping


@dataclass(frozen=True)
class Pix2PixLossConfig:
    """The objective's weights; the defaults are the paper's. A term of weight 0 is not computed."""

    gan_kind: GanKind = "bce"
    """the adversarial loss"""
    gan: float = 1.0
    """of the adversarial loss"""
    l1: float = 100.0
    """of the distance between translation and truth (L1 averaged over all elements)"""

    def __post_init__(self) -> None:
        at_least("loss.gan", self.gan, 0)
        at_least("loss.l1", self.l1, 0)
        if self.gan == self.l1 == 0:
            raise ConfigError("loss.gan and loss.l1: expected one above 0, got 0 for both")


@dataclass(frozen=True)
class Pix2PixConfig(OneWayConfig):
    """A training of pix2pix."""

    method: ClassVar[str] = "pix2pix"
    model: UNetConfig = field(default_factory=UNetConfig)
    discriminator: OneDiscriminatorConfig = field(default_factory=lambda: patch_discriminator("batch"))
    loss: Pix2PixLossConfig = field(default_factory=Pix2PixLossConfig)

    def __post_init__(self) -> None:
        self.check_stride(1 << self.model.downsamplings)


class Pix2Pix(OneWayMethod):
    """The discriminator's step on pairs (x, y) and (x, G(x)), then the generator's."""

    Config = Pix2PixConfig
    paired = True

    def __init__(self, config: Pix2PixConfig, batches: Any) -> None:
        super().__init__(config, batches)
        if not config.loss.gan:
            del self.networks["discriminator"]

    @classmethod
    def build_model(cls, config: Pix2PixConfig) -> UNetTranslator:
        return UNetTranslator(UNetTranslatorConfig(config.images, config.model))

    @classmethod
    def build_discriminator(cls, config: Pix2PixConfig) -> Discriminator:
        both = config.images.channels_a + config.images.channels_b
        return Discriminator(both, **config.discriminator.options(padding="zeros", init=config.model.init))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, *, recompute: bool) -> Iterator[Phase]:
        x, y = self.sides(batch)
        loss = self.config.loss

        def generate() -> Tensor:
            with dropping(self.model, batch.masks("generator")):
                image: Tensor = wrapped["generator"](x)
            return image

        fake: Tensor | None = None
        if loss.gan:
            with torch.set_grad_enabled(not recompute):
                fake = generate()
            self.discriminator.requires_grad_(True)
            weight = loss.gan * self.config.discriminator.weight
            pairs = torch.cat([x, y], dim=1), torch.cat([x, fake], dim=1)
            yield one_discriminator_phase(wrapped["discriminator"], *pairs, kind=loss.gan_kind, weight=weight)
        if fake is None or recompute:
            fake = generate()
        self.discriminator.requires_grad_(False)
        yield weighted_phase("generator", self.generator_terms(x, y, fake))

    def generator_terms(self, x: Tensor, y: Tensor, fake: Tensor) -> Iterator[tuple[float, dict[str, Tensor]]]:
        """The objective's terms with their weights, through a frozen discriminator."""
        loss = self.config.loss
        if loss.gan:
            logits = self.discriminator(torch.cat([x, fake], dim=1))
            yield loss.gan, {"gan": generator_loss(logits, loss.gan_kind)}
        if loss.l1:
            yield loss.l1, {"l1": l1_loss(fake, y)}

    def sample_columns(self, model: Any, x_a: Tensor, x_b: Tensor) -> list[Tensor]:
        """x, its translation, and the truth."""
        direction = self.config.model.direction
        x, y = (x_a, x_b) if direction == "a2b" else (x_b, x_a)
        return [x, model.translate(x, direction), y]
