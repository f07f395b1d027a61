"""DiscoGAN: two generators with batch norm, feature matching, and round trips that count little at first.

Kim, Cha, Kim, Lee, Kim: Learning to Discover Cross-Domain Relations with Generative Adversarial Networks, ICML 2017
(arXiv 1703.05192). In each direction, with the weight r of the round trip, images in [0, 1]:

    L = (1 − r) (0.1 GAN + 0.9 FM) + r MSE(round trip),    r = 0.01 at first, then 0.5

where FM compares the mean features of translations and of real images in the last three layers of the discriminator
before its logits. Every third step is the discriminators', the others are the generators'.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from unit.config.base import ConfigError, OptimConfig, at_least, within
from unit.data.batches import Batches, Shard
from unit.data.two_domains import TranslationBatch
from unit.losses.feature_matching import feature_matching
from unit.losses.gan import GanKind, discriminator_loss, generator_loss
from unit.methods.base import Phase, check_groups, detached, sum_terms, weighted_phase
from unit.methods.translation import TranslationConfig, TranslationMethod, check_size
from unit.models.discogan import DiscoModelConfig, DiscoTranslator, DiscoTranslatorConfig, RoundTrips
from unit.networks.discogan import DiscoDiscriminators, to_unit


@dataclass(frozen=True)
class DiscoLossConfig:
    """The objective's weights and its schedule; the defaults are the release's."""

    gan_kind: GanKind = "bce"
    """the adversarial loss"""
    gan: float = 0.1
    """of the adversarial loss"""
    features: float = 0.9
    """of feature matching (squared differences of means, averaged)"""
    round_trip: float = 0.5
    """r, the share of the round trip (squared error averaged over all elements)"""
    round_trip_at_first: float = 0.01
    """r before the step at which it rises"""
    rises_at: int = 10_000
    """the step at which it rises"""
    discriminator_every: int = 3
    """of so many steps one is the discriminators', the others are the generators'"""

    def __post_init__(self) -> None:
        at_least("loss.gan", self.gan, 0)
        at_least("loss.features", self.features, 0)
        within("loss.round_trip", self.round_trip, 0, 1)
        within("loss.round_trip_at_first", self.round_trip_at_first, 0, 1)
        at_least("loss.rises_at", self.rises_at, 0)
        at_least("loss.discriminator_every", self.discriminator_every, 2)
        if self.gan == self.features == 0:
            raise ConfigError("loss.gan and loss.features: expected one above 0, got 0 for both")


def optimizer() -> OptimConfig:
    """The release's."""
    return OptimConfig(lr=2e-4, weight_decay=1e-5, ema=0.0)


@dataclass(frozen=True)
class DiscoGANConfig(TranslationConfig):
    """A training of DiscoGAN."""

    method: ClassVar[str] = "discogan"
    optim: OptimConfig = field(default_factory=optimizer)
    model: DiscoModelConfig = field(default_factory=DiscoModelConfig)
    loss: DiscoLossConfig = field(default_factory=DiscoLossConfig)

    def __post_init__(self) -> None:
        size, model = self.data.size, self.model
        least = 4 << model.downsamplings
        if size % model.stride or size < least:
            raise ConfigError(
                f"data.size: expected a multiple of {model.stride} of at least {least} for model.downsamplings "
                f"{model.downsamplings}, got {size}"
            )


class DiscoGAN(TranslationMethod):
    """Steps of the discriminators and of the generators in turn, the discriminators' first."""

    Config = DiscoGANConfig

    def __init__(self, config: DiscoGANConfig, batches: Batches[Any, TranslationBatch]) -> None:
        super().__init__(config, batches)
        self.loss = config.loss
        self.model, self.discriminators = build(config)
        self.networks = {"discriminators": self.discriminators, "generators": self.model}

    @classmethod
    def check(cls, config: DiscoGANConfig, shard: Shard) -> None:
        super().check(config, shard)
        loss = config.loss
        check_groups(shard, config.model.group)
        if loss.rises_at >= config.train.steps and loss.round_trip != loss.round_trip_at_first:
            raise ConfigError(
                f"loss.rises_at: expected a step before the end, train.steps {config.train.steps}, got {loss.rises_at}"
            )
        with torch.device("meta"):
            check_size(build(config), config.images)

    def round_trip_share(self, step: int) -> float:
        """r in a step, counted from 0."""
        return self.loss.round_trip_at_first if step < self.loss.rises_at else self.loss.round_trip

    def rehearsed(self, batch: TranslationBatch) -> Sequence[TranslationBatch]:
        """One step of the discriminators and one of the generators."""
        return replace(batch, step=0), replace(batch, step=1)

    def phases(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, *, recompute: bool) -> Iterator[Phase]:
        of_discriminators = batch.step % self.loss.discriminator_every == 0
        self.discriminators.requires_grad_(of_discriminators)
        if of_discriminators:
            with torch.no_grad():
                out: RoundTrips = wrapped["generators"](batch.x_a, batch.x_b, round_trips=False)
            yield self.discriminators_phase(wrapped["discriminators"], batch, out)
        else:
            there_and_back = self.round_trip_share(batch.step) > 0
            out = wrapped["generators"](batch.x_a, batch.x_b, round_trips=there_and_back)
            yield weighted_phase("generators", self.generators_terms(batch, out))

    def discriminators_phase(self, discriminators: nn.Module, batch: TranslationBatch, out: RoundTrips) -> Phase:
        """½ (real + fake) of both domains."""
        count = len(batch.positions)
        judged = discriminators(torch.cat([batch.x_a, out.x_ba]), torch.cat([batch.x_b, out.x_ab]))
        terms = {
            f"discriminator_{domain}": discriminator_loss([logits[:count]], [logits[count:]], self.loss.gan_kind)
            for domain, (logits, _) in zip("ab", judged, strict=True)
        }
        return Phase("discriminators", 0.5 * sum_terms(terms), detached(terms))

    def generators_terms(self, batch: TranslationBatch, out: RoundTrips) -> Iterator[tuple[float, dict[str, Tensor]]]:
        """GAN, feature matching and round trips of both directions with their weights, through frozen discriminators;
        those of weight 0 are not computed."""
        loss, r, count = self.loss, self.round_trip_share(batch.step), len(batch.positions)
        judged = self.discriminators(torch.cat([batch.x_a, out.x_ba]), torch.cat([batch.x_b, out.x_ab]))
        for domain, (logits, features) in zip("ab", judged, strict=True):
            if loss.gan and r < 1:
                yield (1 - r) * loss.gan, {f"gan_{domain}": generator_loss([logits[count:]], loss.gan_kind)}
            if loss.features and r < 1:
                real, fake = [f[:count] for f in features], [f[count:] for f in features]
                matching = feature_matching(real, fake, group=self.config.model.group)
                yield (1 - r) * loss.features, {f"features_{domain}": matching}
        for domain, x, back in (("a", batch.x_a, out.x_aba), ("b", batch.x_b, out.x_bab)):
            if back is not None:
                yield r, {f"round_trip_{domain}": mse_loss(to_unit(back), to_unit(x))}


def build(config: DiscoGANConfig) -> tuple[DiscoTranslator, DiscoDiscriminators]:
    """The networks, untrained."""
    images, model = config.images, config.model
    discriminators = DiscoDiscriminators(
        images.channels_a,
        images.channels_b,
        width=model.width,
        downsamplings=model.downsamplings,
        group=model.group,
    )
    return DiscoTranslator(DiscoTranslatorConfig(images, model)), discriminators
