"""CUT and FastCUT: one direction, without a way back; a place of a translation keeps what its source had there.

Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020 (arXiv 2007.15651).
Features of the generator's encoder at the same places of an image and its translation are projected to unit vectors;
NCE is the cross-entropy of telling the image's place from its other ones:

    L = GAN(G(x), D) + λ ½ (NCE(x, G(x)) + NCE(y, G(y)))          (CUT, λ = 1)
    L = GAN(G(x), D) + λ NCE(x, G(x))                             (FastCUT, λ = 10; x is mirrored at random)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unit import draws
from unit.config.base import ConfigError, above_0, at_least, within
from unit.data.two_domains import TranslationBatch
from unit.losses.gan import GanKind, generator_loss
from unit.losses.patch_contrast import patch_contrast, places
from unit.methods.base import OptimizerGroup, Phase, weighted_phase
from unit.methods.one_way import OneWayConfig, OneWayMethod, one_discriminator_phase, patch_discriminator
from unit.methods.translation import OneDiscriminatorConfig
from unit.models.one_way import Featured, ResnetConfig, ResnetTranslator, ResnetTranslatorConfig
from unit.networks.resnet import Projections


@dataclass(frozen=True)
class CUTLossConfig:
    """The objective's weights; the defaults are CUT's."""

    gan_kind: GanKind = "lsgan"
    """the adversarial loss"""
    gan: float = 1.0
    """of the adversarial loss"""
    nce: float = 1.0
    """λ, of the patch contrast (FastCUT: 10)"""
    identity: bool = True
    """the patch contrast of images of the target domain too, which are to be translated to themselves (FastCUT: no)"""
    temperature: float = 0.07
    """τ of the patch contrast"""
    places: int = 256
    """places of a layer that are told apart; of a layer of fewer all are taken"""
    flip_equivariance: bool = False
    """mirror the images of half of the steps, and their features back, before they are compared (FastCUT)"""

    def __post_init__(self) -> None:
        above_0("loss.gan", self.gan)
        at_least("loss.nce", self.nce, 0)
        above_0("loss.temperature", self.temperature)
        within("loss.places", self.places, 2, 2**20)


@dataclass(frozen=True)
class CUTConfig(OneWayConfig):
    """A training of CUT."""

    method: ClassVar[str] = "cut"
    model: ResnetConfig = field(default_factory=ResnetConfig)
    discriminator: OneDiscriminatorConfig = field(default_factory=lambda: patch_discriminator("instance"))
    loss: CUTLossConfig = field(default_factory=CUTLossConfig)

    def __post_init__(self) -> None:
        self.check_stride(4)
        data, loss = self.data, self.loss
        if loss.nce and data.channels != data.channels_of_b:
            raise ConfigError(
                f"loss.nce: the generator must take its own translations, expected as many channels in both domains, "
                f"got {data.channels} and {data.channels_of_b}"
            )
        if loss.identity and loss.flip_equivariance:
            raise ConfigError("loss.flip_equivariance: expected loss.identity false beside it, got both")


class CUT(OneWayMethod):
    """The discriminator's step, then that of the generator and the projections."""

    Config = CUTConfig
    model: ResnetTranslator

    def __init__(self, config: CUTConfig, batches: Any) -> None:
        super().__init__(config, batches)
        if config.loss.nce:
            self.projections = Projections(self.model.generator.feature_widths)
            self.networks["projections"] = self.projections

    @classmethod
    def build_model(cls, config: CUTConfig) -> ResnetTranslator:
        return ResnetTranslator(ResnetTranslatorConfig(config.images, config.model))

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        """Adam steps each parameter by itself, so one over generator and projections is the release's two."""
        trained = tuple(name for name in self.networks if name != "discriminator")
        return {"discriminator": OptimizerGroup(("discriminator",)), "generator": OptimizerGroup(trained)}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, *, recompute: bool) -> Iterator[Phase]:
        x, y = self.sides(batch)
        loss = self.config.loss
        flipped = loss.flip_equivariance and float(draws.uniforms(1, batch.seed, "equivariance", batch.step)) < 0.5
        both = torch.cat([x, y]) if loss.nce and loss.identity else x
        features = loss.nce > 0
        with torch.set_grad_enabled(not recompute):
            out: Featured = wrapped["generator"](x if recompute else both, flipped, features and not recompute)
        self.discriminator.requires_grad_(True)
        weight, fake = loss.gan * self.config.discriminator.weight, out.translated[: len(x)]
        yield one_discriminator_phase(wrapped["discriminator"], y, fake, kind=loss.gan_kind, weight=weight)
        if recompute:
            out = wrapped["generator"](both, flipped, features)
            fake = out.translated[: len(x)]
        self.discriminator.requires_grad_(False)
        weighted = [(loss.gan, {"gan": generator_loss(self.discriminator(fake), loss.gan_kind)})]
        if features:
            contrasts = self.contrasts(wrapped["projections"], out, batch)
            weighted.append((loss.nce / len(contrasts), contrasts))
        yield weighted_phase("generator", weighted)

    def contrasts(self, projections: nn.Module, out: Featured, batch: TranslationBatch) -> dict[str, Tensor]:
        """NCE(x, G(x)) and, where it is wanted, NCE(y, G(y)), averaged over layers. All places are projected in one
        call; they are the same for all images of a step."""
        loss, seed, step = self.config.loss, batch.seed, batch.step
        pairs = []
        for layer, (image, translated) in enumerate(zip(out.of_images, out.of_translated, strict=True)):
            order = draws.permutation(image[0, 0].numel(), seed, "places", layer, step)[: loss.places].to(image.device)
            pairs.append(torch.cat([places(translated, order), places(image, order)]))
        found: dict[str, list[Tensor]] = {}
        for vectors in projections(pairs):
            queries, keys = (part.split(len(batch.positions)) for part in vectors.chunk(2))
            for name, query, key in zip(("nce", "nce_identity"), queries, keys, strict=False):
                found.setdefault(name, []).append(patch_contrast(query, key, temperature=loss.temperature))
        return {name: torch.stack(layers).mean() for name, layers in found.items()}
