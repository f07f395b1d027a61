"""VAE/GAN: a VAE whose likelihood is of a discriminator's features, and whose decoder is a GAN's generator.

Larsen, Sønderby, Larochelle, Winther: Autoencoding beyond pixels using a learned similarity metric, 2016.

Notation: x is an image, x̃ the decoder's of z ~ q(z|x), and x_p its of z_p ~ p(z) = N(0, I). D is the discriminator and
D_l the features of its layer l. L_prior = KL(q(z|x) ‖ p(z)), in nats; L_like = ‖D_l(x) − D_l(x̃)‖²/(2σ²), summed over
the features; L_GAN = log D(x) + log(1 − D(x̃)) + log(1 − D(x_p)). All are averaged over the images.

The paper takes its three gradients at one point; here the steps follow one another, the discriminator's (−L_GAN), the
decoder's (γ·L_like − log D(x̃) − log D(x_p), the form that does not saturate), the encoder's (L_prior + L_like), and
each sees the networks as those before it left them. A batch norm is over groups of a fixed number of images, so that
the training is the same however a batch is divided: the discriminator's over x, x̃ or x_p alone; the decoder's over z
and z_p together, so that its running statistics, which a finished model normalizes with, are of both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unit.config.base import ConfigError, above_0, at_least
from unit.core.likelihood import Gaussian, LikelihoodKind
from unit.core.regularizer import KL
from unit.data.batches import Batches, Shard
from unit.data.images import from_intensity
from unit.data.labeled import ImageBatch
from unit.losses.gan import gan_fake, gan_generator, gan_real
from unit.methods.autoencoders.base import (
    AutoencoderMethod,
    AutoencoderMethodConfig,
    CodeDraws,
    read_shape,
)
from unit.methods.base import OptimizerGroup, Phase, check_groups, detached, sum_terms
from unit.models.autoencoder import NetsConfig, autoencoder
from unit.networks.norms import BatchNorm
from unit.networks.strided import DiscriminatorOutput, FeatureDiscriminator, convolutions_of


@dataclass(frozen=True)
class VAEGANModelConfig(NetsConfig):
    """The networks of a VAE/GAN, and the weights of its objective; the defaults are the paper's networks."""

    architecture: Literal["mlp", "conv", "strided"] = "strided"
    latent: int = 128
    likelihood: LikelihoodKind = "gaussian"
    """of the features: gaussian, of variance model.scale"""
    layer: int = 3
    """l: which convolution of the discriminator gives the features, from 1"""
    gamma: float = 1e-3
    """γ: weight of the features' likelihood in the decoder's step, beside fooling the discriminator"""
    group: int = 64
    """a batch norm is over groups of this many images; a process's micro-batch must hold whole groups"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value, wanted in (
            ("architecture", self.architecture, "strided"),
            ("likelihood", self.likelihood, "gaussian"),
        ):
            if value != wanted:
                raise ConfigError(f"model.{key}: a VAE/GAN's is {wanted}, got {value}")
        at_least("model.layer", self.layer, 1)
        above_0("model.gamma", self.gamma)
        at_least("model.group", self.group, 2)


@dataclass(frozen=True)
class VAEGANConfig(AutoencoderMethodConfig):
    """A VAE whose likelihood is of a discriminator's features (Larsen et al. 2016)."""

    method: ClassVar[str] = "vae_gan"
    model: VAEGANModelConfig = field(default_factory=VAEGANModelConfig)


class VAEGAN(AutoencoderMethod):
    """The discriminator's step, the decoder's, and the encoder's."""

    Config = VAEGANConfig

    def __init__(self, config: VAEGANConfig, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        settings, images = config.model, read_shape(batches)
        model = autoencoder(settings, images, batch_norm=settings.group, features=True)
        if settings.layer > convolutions_of(images.size):
            raise ConfigError(
                f"model.layer: expected 1 to {convolutions_of(images.size)}, the convolutions of a discriminator of "
                f"{images.size}×{images.size} pixels, got {settings.layer}"
            )
        self.use(model, model)
        self.discriminator = FeatureDiscriminator(
            images.size,
            layer=settings.layer,
            channels=images.channels,
            width=settings.width,
            norm=partial(BatchNorm, group=settings.group, running=False),
        )
        self.networks["discriminator"] = self.discriminator
        self.regularizer, self.likelihood = KL(1.0), Gaussian(settings.scale)

    @classmethod
    def check(cls, config: VAEGANConfig, shard: Shard) -> None:
        super().check(config, shard)
        check_groups(shard, config.model.group)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        return {name: OptimizerGroup((name,)) for name in ("encoder", "decoder", "discriminator")}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of each network."""
        decoder, discriminator = self.autoencoder.decoder, self.discriminator
        z_p = CodeDraws(batch, self.autoencoder.prior).prior("", (self.config.model.latent,)).to(batch.x.dtype)
        noise = self.latent_noise(batch).to(batch.x.dtype)
        decoder.requires_grad_(True)
        discriminator.requires_grad_(True)
        with torch.set_grad_enabled(not recompute):
            q = self.encode(wrapped, batch)
            z = q.sample(noise).detach()
            images = decode_pairs(wrapped["decoder"], z, z_p)
        yield discriminator_phase(discriminate(wrapped["discriminator"], batch.x, *images, detach=True))
        discriminator.requires_grad_(False)
        if recompute:
            images = decode_pairs(wrapped["decoder"], z, z_p)
        yield self.decoder_phase(discriminate(discriminator, batch.x, *images))
        decoder.requires_grad_(False)
        if recompute:
            q = self.encode(wrapped, batch)
        images = decode_pairs(decoder, q.sample(noise), z_p)
        terms = {"reconstruction": self.features_nll(discriminate(discriminator, batch.x, *images))}
        terms |= self.regularizer.terms({"": q}, CodeDraws(batch, self.autoencoder.prior))
        yield Phase("encoder", sum_terms(terms), detached(terms))

    def decoder_phase(self, outputs: list[DiscriminatorOutput]) -> Phase:
        """γ·L_like, and fooling the discriminator with reconstructions and with drawn images."""
        _, rebuilt, drawn = outputs
        terms = {
            "gan_reconstruction": gan_generator(rebuilt.logits, "bce"),
            "gan_sample": gan_generator(drawn.logits, "bce"),
        }
        likelihood = self.config.model.gamma * self.features_nll(outputs)
        return Phase("decoder", likelihood + sum_terms(terms), detached(terms))

    def features_nll(self, outputs: list[DiscriminatorOutput]) -> Tensor:
        """L_like: −log N(D_l(x); D_l(x̃), σ²I) but for its constant, averaged over the images: a scalar."""
        x, rebuilt, _ = (part.features for part in outputs)
        return ((x - rebuilt).square() / (2 * self.likelihood.variance)).sum(1).mean()


def discriminator_phase(outputs: list[DiscriminatorOutput]) -> Phase:
    """−L_GAN."""
    x, rebuilt, drawn = (part.logits for part in outputs)
    loss = gan_real(x, "bce") + gan_fake(rebuilt, "bce") + gan_fake(drawn, "bce")
    return Phase("discriminator", loss, {"discriminator": loss.detach()})


def decode_pairs(decoder: nn.Module, z: Tensor, z_p: Tensor) -> tuple[Tensor, Tensor]:
    """x̃ and x_p in [-1, 1], in one pass in which z₁, z_p₁, z₂, z_p₂, … stand one after another."""
    pairs = torch.stack([z, z_p], dim=1)
    images = from_intensity(decoder(pairs.flatten(0, 1)))
    x_tilde, x_p = images.reshape(*pairs.shape[:2], *images.shape[1:]).unbind(1)
    return x_tilde, x_p


def discriminate(discriminator: nn.Module, *images: Tensor, detach: bool = False) -> list[DiscriminatorOutput]:
    """The discriminator's of each of several batches of images, in one pass in which they stand one after another."""
    features, logits = discriminator(torch.cat([x.detach() if detach else x for x in images]))
    parts = (part.chunk(len(images)) for part in (features, logits))
    return [DiscriminatorOutput(*pair) for pair in zip(*parts, strict=True)]
