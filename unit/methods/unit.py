"""UNIT: two VAEs that share their high-level layers, and a discriminator for each domain.

Liu, Breuel, Kautz: Unsupervised Image-to-Image Translation Networks, NIPS 2017 (arXiv 1703.00848).

Notation: domains a and b. x_a is an image of a, q_a the posterior of its code, x_aa its reconstruction, x_ab its
translation to b, q_ab the posterior of that translation's code and x_aba the translation brought back; likewise with a
and b exchanged. λ0 … λ4 are the paper's weights. L1 and μ² are averaged over all elements, which is what the λ are for.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from unit import draws
from unit.config.base import ConfigError, above_0, at_least
from unit.core.regularizer import Adversarial, MeanKL, NoRegularizer, Regularizer, SpatialMMD
from unit.data.batches import Batches, Shard
from unit.data.two_domains import TranslationBatch
from unit.losses.gan import GanKind, generator_loss
from unit.losses.perceptual import MIN_SIZE, PerceptualDistance
from unit.methods.base import Phase, weighted_phase
from unit.methods.image_pool import ImagePool
from unit.methods.translation import (
    DiscriminatorConfig,
    TranslationConfig,
    TranslationMethod,
    check_pool,
    check_size,
    discriminator_phase,
    some_images,
)
from unit.models.base import TranslatedImages
from unit.models.unit import (
    POSTERIORS,
    TRANSLATIONS_ALONE,
    Noise,
    Streams,
    Translations,
    UnitModelConfig,
    UnitTranslator,
    UnitTranslatorConfig,
)
from unit.networks.discriminator import Discriminators, code_discriminator
from unit.networks.dropout import dropping


@dataclass(frozen=True)
class LossConfig:
    """The objective's weights; the defaults are the paper's. A term of weight 0 is not computed."""

    gan_kind: GanKind = "bce"
    """the adversarial loss"""
    gan: float = 10.0
    """λ0, of the adversarial loss"""
    kl: float = 0.1
    """λ1, of the KL divergence of the codes (μ² averaged over all elements)"""
    reconstruction: float = 100.0
    """λ2, of the reconstruction (L1 averaged over all elements)"""
    cycle_kl: float = 0.1
    """λ3, of the KL divergence in the cycle: the codes of images and of translations"""
    cycle: float = 100.0
    """λ4, of the round trip (L1 averaged over all elements)"""
    cycle_b: float | None = None
    """the same of domain b's round trip, where it is not that of a's (null: `cycle`)"""
    mmd: float = 10.0
    """in place of λ1 and λ3 with model.regularizer mmd: weight of the codes' maximum mean discrepancy"""
    code_gan: float = 1.0
    """in place of λ1 and λ3 with model.regularizer adversarial: weight of fooling the codes' discriminator"""
    perceptual: float = 0.0
    """weight of the domain-invariant VGG16 distance between an image and its translation"""
    identity: float = 0.0
    """weight of the identity: that an image of the target domain is translated to itself (L1 averaged over all
    elements; CycleGAN: 5)"""
    fresh_noise: bool = False
    """the discriminators judge translations of codes with noise of its own, which costs one more pass; else those that
    the translator's step is about"""

    def __post_init__(self) -> None:
        weights = ("gan", "kl", "reconstruction", "cycle_kl", "cycle", "mmd", "code_gan", "perceptual", "identity")
        for name in weights:
            at_least(f"loss.{name}", getattr(self, name), 0)
        if self.gan == self.reconstruction == self.cycle == 0:
            raise ConfigError(
                "loss.gan, loss.reconstruction and loss.cycle: expected at least one above 0, got 0 for all"
            )
        if self.cycle_b is not None:
            above_0("loss.cycle_b", self.cycle_b)
            if not self.cycle:
                raise ConfigError("loss.cycle: expected a number above 0 beside loss.cycle_b, got 0")


@dataclass(frozen=True)
class UnitConfig(TranslationConfig):
    """A training of UNIT."""

    method: ClassVar[str] = "unit"
    model: UnitModelConfig = field(default_factory=UnitModelConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        data = self.data
        if data.size % self.model.stride:
            raise ConfigError(
                f"data.size: expected a multiple of {self.model.stride} for model.downsamplings "
                f"{self.model.downsamplings}, got {data.size}"
            )
        if data.channels != data.channels_of_b and self.discriminator.shared_layers == self.discriminator.count:
            raise ConfigError(
                f"discriminator.shared_layers: expected at most {self.discriminator.count - 1} where the domains have "
                f"{data.channels} and {data.channels_of_b} channels, got {self.discriminator.shared_layers}"
            )
        if data.channels != data.channels_of_b and self.loss.identity:
            raise ConfigError(
                f"loss.identity: expected 0 for domains of {data.channels} and {data.channels_of_b} channels, got "
                f"{self.loss.identity}"
            )
        if self.loss.fresh_noise and POSTERIORS[self.model.regularizer] == "deterministic":
            raise ConfigError(
                "loss.fresh_noise: expected a model.regularizer whose codes have noise (kl or kl_learned), got "
                f"{self.model.regularizer}"
            )
        check_pool(self.discriminator.pool, self.train.batch_size)
        if self.loss.perceptual and data.size < MIN_SIZE:
            raise ConfigError(f"data.size: loss.perceptual needs at least {MIN_SIZE}, got {data.size}")


def build(
    images: TranslatedImages, model: UnitModelConfig, discriminator: DiscriminatorConfig
) -> tuple[UnitTranslator, Discriminators]:
    """The networks, untrained."""
    return UnitTranslator(UnitTranslatorConfig(images, model)), Discriminators(
        images.channels_a, images.channels_b, **discriminator.options(padding=model.padding, init=model.init)
    )


@functools.lru_cache(maxsize=64)
def check_networks(images: TranslatedImages, model: UnitModelConfig, discriminator: DiscriminatorConfig) -> None:
    """Raise ConfigError unless they take images of that size. Who trains often in one process, as a sweep or a test
    does, asks once: it takes as long as ten steps of small networks."""
    with torch.device("meta"):
        check_size(build(images, model, discriminator), images)


def build_regularizer(model: UnitModelConfig, loss: LossConfig) -> Regularizer:
    """What pulls the codes towards N(0, I), with its weights on the codes of images and of translations."""
    match model.regularizer:
        case "kl" | "kl_learned":
            # CC holds KL(q(z|x)) too, so the weight of the codes of real images is λ1 + λ3.
            return MeanKL(loss.kl + loss.cycle_kl, loss.cycle_kl, learned=model.regularizer == "kl_learned")
        case "mmd":
            return SpatialMMD(loss.mmd, loss.mmd)
        case "adversarial":
            return Adversarial(code_discriminator(model.code_channels), loss.code_gan, loss.code_gan)
        case "none":
            return NoRegularizer()


class BatchDraws:
    """Samples of N(0, I) for the codes of a batch, functions of (seed, code, step, position)."""

    def __init__(self, batch: TranslationBatch) -> None:
        self.batch = batch

    def prior(self, code: str, shape: tuple[int, ...]) -> Tensor:
        return self.batch.normals(shape, "prior", code)

    def permutation(self, count: int) -> Tensor:
        return draws.permutation(count, self.batch.seed, "places", self.batch.step)


class Unit(TranslationMethod):
    """Two optimizers: the translator's (E and G) and the discriminators' (D); a third, of the codes' discriminator,
    where an adversary regularizes them."""

    Config = UnitConfig
    generators_first: ClassVar[bool] = False
    """whether the translator takes its step before the discriminators"""

    def __init__(self, config: UnitConfig, batches: Batches[Any, TranslationBatch]) -> None:
        super().__init__(config, batches)
        self.loss = loss = config.loss
        self.translator, self.discriminators = build(config.images, config.model, config.discriminator)
        self.model = self.translator
        if config.discriminator.standardize:
            self.discriminators.measure(*some_images(batches))
        self.regularizer = build_regularizer(config.model, loss)
        assert self.regularizer.posterior == POSTERIORS[config.model.regularizer]
        self.networks = {"discriminators": self.discriminators, "translator": self.translator}
        if not loss.gan:
            del self.networks["discriminators"]
        if self.regularizer.discriminator is not None and self.regularizer.weight:
            self.networks = {"code_discriminator": self.regularizer.discriminator} | self.networks
        self.streams = Streams(
            reconstruction=loss.reconstruction > 0,
            cycle_code=self.regularizer.cycle_weight > 0,
            cycle=loss.cycle > 0,
            identity=loss.identity > 0,
        )
        self.pools: dict[str, ImagePool] = {}
        if loss.gan and config.discriminator.pool is not None:
            size = config.data.size
            for domain in ("a", "b"):
                pool = ImagePool(config.discriminator.pool, (config.images.channels(domain), size, size), domain)
                self.state.add_module(f"pool_{domain}", pool)
                self.pools[domain] = pool
        self.perceptual: PerceptualDistance | None = None

    @classmethod
    def check(cls, config: UnitConfig, shard: Shard) -> None:
        super().check(config, shard)
        check_networks(config.images, config.model, config.discriminator)

    def to(self, device: torch.device) -> None:
        super().to(device)
        if self.loss.perceptual:
            self.perceptual = PerceptualDistance().to(device)

    def sample_columns(self, model: UnitTranslator, x_a: Tensor, x_b: Tensor) -> list[Tensor]:
        """x_a, x_aa, x_ab, x_aba and x_b, x_bb, x_ba, x_bab: an image, its reconstruction, its translation and the
        translation brought back; without reconstructions where none are trained."""
        out = model(x_a, x_b)
        if not self.streams.reconstruction:
            return [x_a, out.x_ab, out.x_aba, x_b, out.x_ba, out.x_bab]
        return [x_a, out.x_aa, out.x_ab, out.x_aba, x_b, out.x_bb, out.x_ba, out.x_bab]

    def noise(self, batch: TranslationBatch, purpose: str = "latent") -> Noise | None:
        """The step's latent noise, a function of (seed, code, step, position); none where codes are deterministic."""
        if self.regularizer.posterior == "deterministic":
            return None
        shape = self.translator.code_shape(batch.x_a)
        return Noise(*(batch.normals(shape, purpose, code) for code in Noise._fields))

    def translations(
        self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, streams: Streams, *, fresh: bool = False
    ) -> Translations:
        """One pass through the translator; `fresh`: with noise that only the discriminators' step sees."""
        with dropping(self.translator, batch.masks("fresh" if fresh else "translator")):
            noise = self.noise(batch, "fresh" if fresh else "latent")
            out: Translations = wrapped["translator"](batch.x_a, batch.x_b, noise, streams)
        return out

    def fakes(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch) -> Translations:
        """The translations that the discriminators' step is about, in a pass of its own, without gradients."""
        cycle_code = self.streams.cycle_code and "code_discriminator" in self.networks
        streams = TRANSLATIONS_ALONE._replace(cycle_code=cycle_code)
        with torch.no_grad():
            return self.translations(wrapped, batch, streams, fresh=self.loss.fresh_noise)

    def phases(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, *, recompute: bool) -> Iterator[Phase]:
        """One D step on the detached translations, one of the codes' discriminator, then one E+G step; or, with
        `generators_first`, E+G before the others."""
        adversaries = [network for name, network in self.networks.items() if name != "translator"]
        apart = recompute or self.loss.fresh_noise
        out: Translations | None = None
        if adversaries and not self.generators_first:
            out = self.fakes(wrapped, batch) if apart else self.translations(wrapped, batch, self.streams)
            yield from self.adversaries_phases(wrapped, batch, out)
        if out is None or apart:
            out = self.translations(wrapped, batch, self.streams)
        for network in adversaries:
            network.requires_grad_(False)
        yield self.translator_phase(batch, out)
        if adversaries and self.generators_first:
            out = self.fakes(wrapped, batch) if self.loss.fresh_noise else out
            yield from self.adversaries_phases(wrapped, batch, out)

    def adversaries_phases(
        self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, out: Translations
    ) -> Iterator[Phase]:
        """The steps of the discriminators on the translations, detached, or on a pool's, and of the codes'
        discriminator."""
        if "discriminators" in self.networks:
            self.discriminators.requires_grad_(True)
            real, fake = (batch.x_a, batch.x_b), (self.pooled("a", out.x_ba, batch), self.pooled("b", out.x_ab, batch))
            kind, weight = self.loss.gan_kind, self.loss.gan * self.config.discriminator.weight
            yield discriminator_phase(wrapped["discriminators"], real, fake, kind=kind, weight=weight)
        if "code_discriminator" in self.networks:
            self.networks["code_discriminator"].requires_grad_(True)
            yield self.code_discriminator_phase(wrapped["code_discriminator"], batch, out)

    def pooled(self, domain: str, x: Tensor, batch: TranslationBatch) -> Tensor:
        """What the domain's discriminator judges in place of the translations x: of a pool some earlier ones."""
        if domain not in self.pools:
            return x
        return self.pools[domain].exchange(
            x,
            seed=batch.seed,
            step=batch.step,
            positions=batch.positions,
            batch_size=self.config.train.batch_size,
            gather=self.gather,
        )

    def code_discriminator_phase(self, network: nn.Module, batch: TranslationBatch, out: Translations) -> Phase:
        """Samples of N(0, I) against codes, place by place, in one pass."""
        assert isinstance(self.regularizer, Adversarial)
        shape, codes = self.translator.code_shape(batch.x_a), out.codes
        real = torch.cat([BatchDraws(batch).prior(code, shape) for code in codes])
        mu = torch.cat([q.mu for q in codes.values()])
        loss = self.regularizer.discriminator_loss(network, [real], [mu])
        return Phase("code_discriminator", loss, {"code_discriminator": loss.detach()})

    def translator_phase(self, batch: TranslationBatch, out: Translations) -> Phase:
        """VAE + GAN + CC of both domains, through frozen discriminators."""
        return weighted_phase("translator", self.translator_terms(batch, out))

    def translator_terms(self, batch: TranslationBatch, out: Translations) -> Iterator[tuple[float, dict[str, Tensor]]]:
        """The objective's terms with their weights; those of weight 0 are not computed."""
        loss, regularizer = self.loss, self.regularizer
        if loss.gan:
            logits_a, logits_b = self.discriminators(out.x_ba, out.x_ab)
            kind = loss.gan_kind
            yield loss.gan, {"gan_a": generator_loss(logits_a, kind), "gan_b": generator_loss(logits_b, kind)}
        if regularizer.weight:
            real = {name: out.codes[name] for name in ("a", "b")}
            yield regularizer.weight, regularizer.terms(real, BatchDraws(batch))
        if out.x_aa is not None and out.x_bb is not None:
            again = {"reconstruction_a": l1_loss(out.x_aa, batch.x_a), "reconstruction_b": l1_loss(out.x_bb, batch.x_b)}
            yield loss.reconstruction, again
        if regularizer.cycle_weight:
            translated = {name: out.codes[name] for name in ("ab", "ba")}
            terms = regularizer.terms(translated, BatchDraws(batch))
            yield regularizer.cycle_weight, {f"cycle_{name[:-1]}": value for name, value in terms.items()}
        if out.x_aba is not None and out.x_bab is not None:
            there, back = {"cycle_a": l1_loss(out.x_aba, batch.x_a)}, {"cycle_b": l1_loss(out.x_bab, batch.x_b)}
            if loss.cycle_b is None:
                yield loss.cycle, there | back
            else:
                yield from [(loss.cycle, there), (loss.cycle_b, back)]
        if out.same_a is not None and out.same_b is not None:
            same = {"identity_a": l1_loss(out.same_a, batch.x_a), "identity_b": l1_loss(out.same_b, batch.x_b)}
            yield loss.identity, same
        if self.perceptual is not None:
            yield (
                loss.perceptual,
                {
                    "perceptual_a": self.perceptual(batch.x_a, out.x_ab),
                    "perceptual_b": self.perceptual(batch.x_b, out.x_ba),
                },
            )
