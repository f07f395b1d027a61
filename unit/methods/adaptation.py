"""Domain adaptation with UNIT: classify the images of a domain whose labels nobody knows, by those of another.

Liu, Breuel, Kautz: Unsupervised Image-to-Image Translation Networks, NIPS 2017 (arXiv 1703.00848), section 5. UNIT's
two VAEs and its discriminators, whose high layers the two domains share; a classifier sits on those shared features and
learns from the labels of the source. Notation as in unit.py; s is the source, t the target, C_t the classifier behind
the target's own layers, f_a and f_b the shared layers' features of images of each domain:

    D:     λ_gan GAN + λ_class CE(C_s(x_s), y_s) + λ_translated CE(C_t(x_st), y_s)
    E, G:  λ_gan GAN + λ_kl KL + λ_rec |x_aa − x_a| + λ_cyc |x_aba − x_a| + λ_feat (f_b(x_ab) − f_a(x_aa))²
           + λ_translated CE(C_t(x_st), y_s)                                                  (and with a, b exchanged)

L1, μ² and squares are averaged over all elements, cross-entropies over images. The paper has no λ_translated, and needs
no cycle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

from unit.config.base import ConfigError, OptimConfig, above_0, at_least
from unit.config.data import LabeledDomainConfig
from unit.core.regularizer import MeanKL
from unit.data.batches import Batches, Shard
from unit.data.domain import Domain
from unit.data.labeled_domains import LabeledBatch, LabeledBatches
from unit.data.two_domains import TranslationBatch, open_domains
from unit.losses.gan import GanKind, discriminator_loss, generator_loss
from unit.methods.base import Phase, named_domains, weighted_phase
from unit.methods.translation import TranslationConfig, TranslationMethod, check_size
from unit.methods.unit import BatchDraws
from unit.models.adaptation import AdaptedTranslator, AdaptedTranslatorConfig, ClassesConfig, ClassifierConfig
from unit.models.unit import POSTERIORS, Noise, Streams, Translations, UnitModelConfig
from unit.networks.classifier import ClassifyingDiscriminators, Judged
from unit.networks.dropout import dropping

Terms = dict[str, Tensor]
OTHER: dict[str, str] = {"a": "b", "b": "a"}


@dataclass(frozen=True)
class AdaptationLossConfig:
    """The objective's weights. A term of weight 0 is not computed; with those of the translator all 0 the classifier
    learns from the source alone."""

    gan_kind: GanKind = "bce"
    """the adversarial loss"""
    gan: float = 1.0
    """of the adversarial loss"""
    own_logits: bool = True
    """each domain judges by a last layer of its own; else one layer says of images of both whether they are real"""
    judge_reconstructions: bool = True
    """reconstructions are fakes, too, beside translations"""
    classification: float = 1.0
    """of the classification of the source's images"""
    classify_translated: float = 0.0
    """of the classification of the source's images translated to the target, by classifier and translator (not in the
    paper)"""
    kl: float = 0.01
    """of the KL divergence of the codes of images (μ² averaged over all elements)"""
    reconstruction: float = 10.0
    """of the reconstruction (L1 averaged over all elements)"""
    cycle: float = 0.0
    """of the round trip (L1 averaged over all elements), which the paper does without"""
    features: float = 0.1
    """of the distance between the shared features of an image's translation and of its reconstruction (mean square)"""

    def __post_init__(self) -> None:
        for name in ("gan", "classify_translated", "kl", "reconstruction", "cycle", "features"):
            at_least(f"loss.{name}", getattr(self, name), 0)
        above_0("loss.classification", self.classification)

    @property
    def translates(self) -> bool:
        """Whether the translator learns anything."""
        return any((self.gan, self.classify_translated, self.reconstruction, self.cycle, self.features))


def adaptation_optim() -> OptimConfig:
    """The release's."""
    return OptimConfig(lr=2e-4, weight_decay=5e-4)


@dataclass(frozen=True)
class AdaptationConfig(TranslationConfig):
    """A training of a classifier for a domain without labels."""

    method: ClassVar[str] = "adaptation"
    data: LabeledDomainConfig = field(default_factory=LabeledDomainConfig)
    optim: OptimConfig = field(default_factory=adaptation_optim)
    model: UnitModelConfig = field(default_factory=UnitModelConfig)
    discriminator: ClassifierConfig = field(default_factory=ClassifierConfig)
    loss: AdaptationLossConfig = field(default_factory=AdaptationLossConfig)

    def __post_init__(self) -> None:
        if self.data.size % self.model.stride:
            raise ConfigError(
                f"data.size: expected a multiple of {self.model.stride} for model.downsamplings "
                f"{self.model.downsamplings}, got {self.data.size}"
            )
        if POSTERIORS[self.model.regularizer] == "deterministic" and self.loss.kl:
            raise ConfigError(
                f"model.regularizer: expected kl or kl_learned, or loss.kl 0, got {self.model.regularizer}"
            )
        layers, shared = self.discriminator.layers, self.discriminator.shared_layers
        if shared < layers and not (self.loss.gan or self.loss.classify_translated):
            raise ConfigError(
                f"discriminator.shared_layers: expected all {layers} where nothing teaches the target's own layers "
                f"(loss.gan and loss.classify_translated are 0), got {shared}"
            )


def build(config: AdaptationConfig, class_names: list[str]) -> tuple[AdaptedTranslator, ClassifyingDiscriminators]:
    """The networks, untrained; the model's classifier is part of the discriminators."""
    classes = ClassesConfig(class_names, config.data.source)
    model = AdaptedTranslator(AdaptedTranslatorConfig(config.images, config.model, config.discriminator, classes))
    return model, ClassifyingDiscriminators(
        model.classifier,
        adversarial=config.loss.gan > 0,
        own_logits=config.loss.own_logits,
        init=config.discriminator.init,
    )


class Adaptation(TranslationMethod):
    """The step of discriminators and classifier, then that of the translator."""

    Config = AdaptationConfig
    model: AdaptedTranslator

    def __init__(self, config: AdaptationConfig, batches: Batches[Any, TranslationBatch]) -> None:
        super().__init__(config, batches)
        assert isinstance(batches, LabeledBatches)
        self.loss: AdaptationLossConfig = config.loss
        self.model, self.discriminators = build(config, batches.class_names)
        self.translator = self.model.translator
        self.networks = {"discriminators": self.discriminators, "translator": self.translator}
        if not self.loss.translates:
            del self.networks["translator"]
        self.regularizer = MeanKL(self.loss.kl, learned=config.model.regularizer == "kl_learned")
        with_reconstructions = self.loss.reconstruction or self.loss.features or self.judges_reconstructions
        self.streams = Streams(
            reconstruction=bool(with_reconstructions), cycle_code=self.loss.cycle > 0, cycle=self.loss.cycle > 0
        )

    @property
    def judges_reconstructions(self) -> bool:
        return self.loss.gan > 0 and self.loss.judge_reconstructions

    @classmethod
    def check(cls, config: AdaptationConfig, shard: Shard) -> None:
        super().check(config, shard)
        with torch.device("meta"):
            model, discriminators = build(config, ClassesConfig().names)
            check_size((model.translator, discriminators), config.images)

    @classmethod
    def open(
        cls, config: AdaptationConfig, shard: Shard, domains: Mapping[str, Domain] | None = None
    ) -> LabeledBatches:
        a, b = open_domains(config.data) if domains is None else named_domains(domains, "a", "b")
        return LabeledBatches(a, b, config.data, shard)

    def translations(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch) -> Translations:
        """One pass through the translator, with the step's noise."""
        noise = None
        if POSTERIORS[self.config.model.regularizer] != "deterministic":
            shape = self.translator.code_shape(batch.x_a)
            noise = Noise(*(batch.normals(shape, "latent", code) for code in Noise._fields))
        with dropping(self.translator, batch.masks("translator")):
            out: Translations = wrapped["translator"](batch.x_a, batch.x_b, noise, self.streams)
        return out

    def made(self, out: Translations, *, reconstructed: bool) -> dict[str, list[Tensor]]:
        """By domain, what the translator made for it: translations, and reconstructions where they are wanted."""
        made = {"a": [out.x_ba, out.x_aa], "b": [out.x_ab, out.x_bb]}
        return {domain: [x for x in images[: 1 + reconstructed] if x is not None] for domain, images in made.items()}

    def judged(
        self, network: nn.Module, x: Mapping[str, list[Tensor]], batch: TranslationBatch, *, purpose: str
    ) -> dict[str, list[Judged]]:
        """What the discriminators make of each domain's batches, all in one pass."""
        with dropping(self.discriminators, batch.masks(purpose)):
            both: tuple[Judged, Judged] = network(torch.cat(x["a"]), torch.cat(x["b"]))
        return {domain: judged.parts(len(batch.positions)) for domain, judged in zip("ab", both, strict=True)}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: TranslationBatch, *, recompute: bool) -> Iterator[Phase]:
        assert isinstance(batch, LabeledBatch)
        out: Translations | None = None
        if self.loss.translates:
            with torch.set_grad_enabled(not recompute):
                out = self.translations(wrapped, batch)
        self.discriminators.requires_grad_(True)
        yield weighted_phase("discriminators", self.discriminator_terms(wrapped["discriminators"], batch, out))
        if out is None:
            return
        if recompute:
            out = self.translations(wrapped, batch)
        self.discriminators.requires_grad_(False)
        yield weighted_phase("translator", self.translator_terms(batch, out))

    def discriminator_terms(
        self, network: nn.Module, batch: LabeledBatch, out: Translations | None
    ) -> Iterator[tuple[float, Terms]]:
        """Real images against translations (and reconstructions), which are detached, and the classes."""
        loss, source = self.loss, self.config.data.source
        x = {"a": [batch.x_a], "b": [batch.x_b]}
        if out is not None and (loss.gan or loss.classify_translated):
            made = self.made(out, reconstructed=self.judges_reconstructions)
            x = {domain: [*x[domain], *(image.detach() for image in made[domain])] for domain in x}
        judged = self.judged(network, x, batch, purpose="discriminators")
        if loss.gan:
            terms = {
                f"discriminator_{name}": discriminator_loss([real_of(parts[:1])], [real_of(parts[1:])], loss.gan_kind)
                for name, parts in judged.items()
            }
            yield loss.gan, terms
        yield loss.classification, {"classification": cross_entropy(judged[source][0].classes, batch.y)}
        if loss.classify_translated:
            translated = judged[OTHER[source]][1].classes
            yield loss.classify_translated, {"classification_translated": cross_entropy(translated, batch.y)}

    def translator_terms(self, batch: LabeledBatch, out: Translations) -> Iterator[tuple[float, Terms]]:
        """The translator's terms, through frozen discriminators."""
        loss, codes = self.loss, out.codes
        if loss.gan or loss.features or loss.classify_translated:
            yield from self.judged_terms(batch, out)
        if loss.kl:
            yield loss.kl, self.regularizer.terms({name: codes[name] for name in ("a", "b")}, BatchDraws(batch))
        if loss.reconstruction and out.x_aa is not None and out.x_bb is not None:
            pairs = {"reconstruction_a": (out.x_aa, batch.x_a), "reconstruction_b": (out.x_bb, batch.x_b)}
            yield loss.reconstruction, {name: l1_loss(*pair) for name, pair in pairs.items()}
        if loss.cycle and out.x_aba is not None and out.x_bab is not None:
            yield loss.cycle, {"cycle_a": l1_loss(out.x_aba, batch.x_a), "cycle_b": l1_loss(out.x_bab, batch.x_b)}

    def judged_terms(self, batch: LabeledBatch, out: Translations) -> Iterator[tuple[float, Terms]]:
        """Those that the discriminators and the classifier have a say in."""
        loss, with_reconstructions = self.loss, self.judges_reconstructions
        made = self.made(out, reconstructed=with_reconstructions or self.loss.features > 0)
        judged = self.judged(self.discriminators, made, batch, purpose="judged")
        if loss.gan:
            real = {name: real_of(parts[: 1 + with_reconstructions]) for name, parts in judged.items()}
            yield loss.gan, {f"gan_{name}": generator_loss([logits], loss.gan_kind) for name, logits in real.items()}
        if loss.features:
            (x_ba, x_aa), (x_ab, x_bb) = (judged[domain][:2] for domain in "ab")
            pairs = {"features_a": (x_ab, x_aa), "features_b": (x_ba, x_bb)}
            yield loss.features, {name: mse_loss(one.features, two.features) for name, (one, two) in pairs.items()}
        if loss.classify_translated:
            classes = judged[OTHER[self.config.data.source]][0].classes
            yield loss.classify_translated, {"translated_class": cross_entropy(classes, batch.y)}


def real_of(parts: list[Judged]) -> Tensor:
    """The logits of being real, of several batches together."""
    return torch.cat([part.real for part in parts if part.real is not None])
