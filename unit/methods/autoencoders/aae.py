"""AAE: a discriminator makes the codes' distribution the prior's (Makhzani et al., Adversarial Autoencoders, 2016).

Three kinds of steps: encoder and decoder learn to reconstruct; the discriminator learns to tell samples of the prior
from codes; the encoder learns to fool it. With `model.informed` the discriminator gets the label too, or that there
is none, so that each class gets its own part of the prior (section 2.3).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unit.config.base import Config, ConfigError, above_0
from unit.config.data import LabeledImagesConfig
from unit.core.autoencoder import joined
from unit.core.posterior import PosteriorKind, build_posterior
from unit.core.prior import PriorKind, draw_labels
from unit.core.regularizer import Adversarial
from unit.data.batches import Batches, DataError
from unit.data.labeled import ImageBatch
from unit.losses.gan import generator_loss
from unit.methods.autoencoders.base import (
    AdversarialConfig,
    AutoencoderMethod,
    code_discriminator_phase,
    read_shape,
    require_labels,
    with_noise,
)
from unit.methods.base import OptimizerGroup, Phase, detached
from unit.models.autoencoder import ImageAutoencoder, TrainedNetsConfig, autoencoder, check_prior
from unit.networks.codes import initialize, one_hot, vector_discriminators


@dataclass(frozen=True)
class AAEModelConfig(AdversarialConfig, TrainedNetsConfig):
    """An AAE's networks and prior."""

    posterior: PosteriorKind = "deterministic"
    """what the encoder gives: a code, or a Gaussian of which one is drawn"""
    prior: PriorKind = "normal"
    """p(z): N(0, sd²·I), or uniform in [-1, 1]; or one that lies in the plane and has a part for each label: a mixture
    (a flower of Gaussians), a swiss roll, the sectors of a normal prior, or cells of a uniform one"""
    prior_sd: float = 5.0
    """standard deviation of the normal prior, and of its sectors"""
    informed: bool = False
    """give the discriminator the label, so that each class gets its own part of the prior"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.prior_sd", self.prior_sd)
        prior = check_prior(self.prior, self.latent)
        if self.informed and self.batch_norm:
            raise ConfigError(f"model.batch_norm: expected 0 with model.informed, got {self.batch_norm}")
        if self.informed and self.combined:
            raise ConfigError(f"model.combined: expected 0 with model.informed, got {self.combined}")
        if self.informed and not prior.labels:
            raise ConfigError(
                f"model.informed: the {self.prior} prior has no labels; expected mixture, swiss_roll, sectors or cells"
            )


@dataclass(frozen=True)
class AAEConfig(Config):
    """An adversarial autoencoder (Makhzani et al. 2016)."""

    method: ClassVar[str] = "aae"
    data: LabeledImagesConfig = field(default_factory=lambda: LabeledImagesConfig(labeled=0))
    model: AAEModelConfig = field(default_factory=AAEModelConfig)

    def __post_init__(self) -> None:
        if self.model.informed:
            require_labels(self.data)
        elif self.data.labeled:
            raise ConfigError(f"data.labeled: expected 0 without model.informed, got {self.data.labeled}")


class AAE(AutoencoderMethod):
    """−log p(x|z) in one step, BCE of prior against codes in the next, and fooling the discriminator in the last, which
    `combined` > 0 puts into the first with that weight."""

    Config: ClassVar[type[Any]] = AAEConfig

    def __init__(self, config: Any, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        self.settings = config.model
        self.combined = config.model.combined
        self.informed = getattr(config.model, "informed", False)
        model = self.build(config, batches)
        self.use(model, model)
        self.classes = self.autoencoder.prior.labels
        if self.informed and self.classes != model.images.classes:
            raise DataError(
                f"model.informed: the {config.model.prior} prior has {self.classes} parts, one for each label; "
                f"the data has {model.images.classes} classes"
            )
        labels = self.classes + 1 if self.informed else 0
        self.discriminator = vector_discriminators([config.model.latent + labels], hidden=config.model.discriminator)
        initialize(self.discriminator, config.model.init)
        self.adversary = Adversarial(self.discriminator, self.combined)
        self.networks["discriminator"] = self.discriminator

    def build(self, config: Any, batches: Batches[Any, ImageBatch]) -> ImageAutoencoder:
        """The autoencoder, of the config's posterior and prior."""
        model = config.model
        return autoencoder(
            model,
            read_shape(batches),
            posterior=model.posterior,
            prior=model.prior,
            prior_sd=model.prior_sd,
            regularizer="adversarial",
        )

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        groups = super().optimizers
        groups["discriminator"] = OptimizerGroup(("discriminator",), self.settings.discriminator_lr)
        return groups if self.combined else groups | {"encoder": OptimizerGroup(("encoder",))}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """Reconstruction, discriminator, encoder (as often as the config says); combined: discriminator, then both."""
        if not self.combined:
            yield self.reconstruction_phase(wrapped, batch)
        with torch.no_grad():
            codes = self.fake_codes(wrapped, batch, "judged")
        self.discriminator.requires_grad_(True)
        yield code_discriminator_phase(self.adversary, wrapped["discriminator"], [self.real_codes(batch)], [codes])
        self.discriminator.requires_grad_(False)
        if self.combined:
            yield self.reconstruction_phase(wrapped, batch)
            return
        for number in range(self.settings.generator_steps):
            loss = generator_loss(self.discriminator(self.fake_codes(wrapped, batch, f"fooling {number}")), "bce")
            yield Phase("encoder", loss, {"code_gan": loss.detach()})

    def reconstruction_phase(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch) -> Phase:
        """One step of encoder and decoder."""
        z = self.encode(wrapped, batch).sample(self.latent_noise(batch))
        terms = {"reconstruction": self.reconstruction(self.decode(wrapped, z, batch), batch)}
        loss = terms["reconstruction"]
        if self.combined:
            terms["code_gan"] = generator_loss(self.discriminator(self.with_labels(z, [])), "bce")
            loss = loss + self.combined * terms["code_gan"]
        return Phase("autoencoder", loss, detached(terms))

    def images_with_codes(self, batch: ImageBatch) -> dict[int, ImageBatch]:
        """The images whose codes the discriminator sees: 0, all, unless all have labels; and, where it gets labels, 1,
        the labeled ones."""
        if batch.labeled is None or not self.informed:
            return {0: batch}
        return {1: batch.labeled} if self.config.data.labeled == "all" else {0: batch, 1: batch.labeled}

    def fake_codes(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, purpose: str) -> Tensor:
        """What the discriminator is to take for samples of the prior; each purpose has its own dropout."""
        parts = self.images_with_codes(batch)
        purposes = ("noise", "labelled noise")
        seen = [with_noise(part, self.settings, purposes[i]) for i, part in parts.items()]
        noise = torch.cat([part.normals(f"judged {i}", self.settings.latent) for i, part in parts.items()])
        with self.dropping("encoder", purpose, *parts.values()):
            output = wrapped["encoder"](torch.cat(seen))
        z = build_posterior(output, self.autoencoder.posterior).sample(noise)
        return self.with_labels(z, [part.y for i, part in parts.items() if i])

    def real_codes(self, batch: ImageBatch) -> Tensor:
        """Samples of the prior: of all of it for the images without a label, of the label's part for those with one."""
        samples: list[Tensor] = []
        labels: list[Tensor] = []
        prior = self.autoencoder.prior
        for i, part in self.images_with_codes(batch).items():
            generator = part.generator(f"prior {i}")
            y = draw_labels(prior, part.size, generator) if i else None
            samples.append(part.take_rows(prior.sample(part.size, generator, y)))
            labels += [] if y is None else [part.take_rows(y)]
        return self.with_labels(torch.cat(samples), labels)

    def with_labels(self, z: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """Codes with one-hot labels behind them, the last codes those given; no label is a class of its own."""
        if not self.informed:
            return z
        none = torch.full((len(z) - sum(map(len, labels)),), self.classes, device=z.device)
        return joined(z, one_hot(torch.cat([none, *labels]), self.classes + 1))
