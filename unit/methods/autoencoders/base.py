"""What methods of autoencoders share: the data, the noisy input, the reconstruction and the sample grid."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unit import draws
from unit.config.base import Config, ConfigError, above_0, at_least
from unit.config.data import ImagesConfig, LabeledImagesConfig
from unit.core.autoencoder import joined
from unit.core.likelihood import LikelihoodKind
from unit.core.noise import noisy
from unit.core.posterior import Posterior, build_posterior
from unit.core.prior import Prior
from unit.core.regularizer import Adversarial
from unit.data.batches import Batches, DataError, Shard
from unit.data.domain import Choose, Domain
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8
from unit.data.labeled import ImageBatch, ImageBatches, open_batches
from unit.data.one_domain import open_images, validation_split
from unit.memory import check_batch
from unit.methods.base import Method, OptimizerGroup, Part, Phase, check_groups, named_domains
from unit.models.autoencoder import ImageAutoencoder, ImageShape, NetsConfig, TrainedNetsConfig, check_widths
from unit.models.base import Model
from unit.networks.codes import Activation
from unit.networks.dropout import dropping

SAMPLES = 20
"""Columns of a sample grid."""


@dataclass(frozen=True)
class AutoencoderMethodConfig(Config):
    """A training of an autoencoder."""

    data: ImagesConfig = field(default_factory=ImagesConfig)
    model: NetsConfig = field(default_factory=NetsConfig)


@dataclass(frozen=True)
class SemiSupervisedConfig(Config):
    """A training on images of which some have labels."""

    data: LabeledImagesConfig = field(default_factory=LabeledImagesConfig)
    model: NetsConfig = field(default_factory=NetsConfig)


def require_labels(data: LabeledImagesConfig) -> None:
    """Raise ConfigError where a method that needs labels gets none."""
    if not data.labeled:
        raise ConfigError("data.labeled: this method needs labels; expected at least 1 per class, got 0")


@dataclass(frozen=True)
class AdversaryConfig(NetsConfig):
    """An autoencoder with a discriminator of its codes; the defaults are the AAE's (Makhzani et al. 2016)."""

    latent: int = 8
    hidden: tuple[int, ...] = (1000, 1000)
    activations: tuple[Activation, ...] = ("relu", "relu")
    likelihood: LikelihoodKind = "gaussian"
    discriminator: tuple[int, ...] = (1000, 1000)
    """widths of the code discriminator's hidden layers"""
    discriminator_lr: float = 0.2
    """the discriminator's learning rate, as a factor of optim.lr"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.discriminator", self.discriminator)
        above_0("model.discriminator_lr", self.discriminator_lr)


@dataclass(frozen=True)
class AdversarialConfig(AdversaryConfig):
    """How the encoder learns to fool the discriminator of codes."""

    generator_steps: int = 2
    """how many times per step the encoder learns to fool the discriminator"""
    combined: float = 0.0
    """weight of fooling the discriminator in one step with the reconstruction (0: steps of their own)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("model.generator_steps", self.generator_steps, 1)
        at_least("model.combined", self.combined, 0)


class ImageMethod(Method[ImageBatch]):
    """A method of one domain of images. `labels_needed` says whether the data must have labels."""

    labels_needed = False

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        check_batch(len(shard.positions(0)), (config.data.channels or 1) * (config.data.size or 28) ** 2)

    @classmethod
    def open(cls, config: Any, shard: Shard, domains: Mapping[str, Domain] | None = None) -> ImageBatches:
        given = None if domains is None else named_domains(domains, "images")[0]
        batches = open_batches(config.data, shard, given)
        check_square(batches.images)
        if cls.labels_needed and not batches.images.classes:
            raise DataError(f"data: {config.method} needs labels, and these images have none; give a folder per class")
        return batches

    @classmethod
    def read(cls, config: Any, part: Part, choose: Choose | None = None) -> dict[str, Domain]:
        split = validation_split(config.data) if part == "val" else part
        if split is None:
            return {}
        images = open_images(config.data, split)
        chosen = images.names if choose is None else choose(images.names)
        return {"images": images.without(set(images.names) - set(chosen))}

    @classmethod
    def open_shown(cls, config: Any, shard: Shard, domains: Mapping[str, Domain]) -> ImageBatches:
        return ImageBatches(domains["images"], shard)


def check_square(images: Domain) -> None:
    """Raise DataError for images that are not square, or not all of one size."""
    shapes = {tuple(images[i].shape) for i in (range(len(images)) if isinstance(images.images, list) else (0,))}
    if not isinstance(images.images, Tensor) or any(height != width for _, height, width in shapes):
        sizes = ", ".join(f"{width}×{height}" for _, height, width in sorted(shapes)[:3])
        raise DataError(f"data: an autoencoder needs square images of one size, got {sizes}")


def read_shape(batches: Batches[Any, ImageBatch]) -> ImageShape:
    """The images of the data: size, channels, classes."""
    assert isinstance(batches, ImageBatches)
    _, channels, height, _ = batches.images.tensor.shape
    return ImageShape(height, 1 if channels == 1 else 3, batches.images.classes)


class AutoencoderMethod(ImageMethod):
    """A method that trains an ImageAutoencoder, which is its model or part of it.

    Encoder and decoder are wrapped apart, since some steps use but one.
    """

    autoencoder: ImageAutoencoder

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        super().check(config, shard)
        if isinstance(config.model, TrainedNetsConfig) and config.model.batch_norm:
            check_groups(shard, config.model.batch_norm, key="model.batch_norm")

    def use(self, model: Model, autoencoder: ImageAutoencoder) -> None:
        """Train this autoencoder, which is the model or part of it."""
        self.model, self.autoencoder = model, autoencoder
        self.networks = {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder}

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        return {"autoencoder": OptimizerGroup(("encoder", "decoder"))}

    def encode(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch) -> Posterior:
        """q(z|x) of the batch's images, or of noisy ones where the config has noise."""
        x = with_noise(batch, self.config.model)
        with self.dropping("encoder", "encode", batch):
            output = wrapped["encoder"](joined(x, self.autoencoder.encoder_condition(batch.y)))
        return build_posterior(output, self.autoencoder.posterior)

    def decode(self, wrapped: Mapping[str, nn.Module], z: Tensor, batch: ImageBatch) -> Tensor:
        """The decoder's output of these codes."""
        with self.dropping("decoder", "decode", batch):
            output: Tensor = wrapped["decoder"](joined(z, self.autoencoder.decoder_condition(batch.y)))
        return output

    def dropping(self, network: str, purpose: str, *parts: ImageBatch) -> AbstractContextManager[None]:
        """Dropout in that network, which gets the images or codes of these parts one after another."""

        def draw(shape: tuple[int, ...], key: str) -> Tensor:
            assert shape[0] == sum(len(part.x) for part in parts)
            names = (f"dropout {purpose} {key} {number}" for number in range(len(parts)))
            return torch.cat([part.normals(name, *shape[1:]) for part, name in zip(parts, names, strict=True)])

        return dropping(self.networks[network], draw)

    def reconstruction(self, output: Tensor, batch: ImageBatch) -> Tensor:
        """−log p(x|z) in nats, averaged over the images: a scalar."""
        return self.autoencoder.likelihood.nll(batch.intensities, output).mean()

    def latent_noise(self, batch: ImageBatch) -> Tensor:
        """ε ~ N(0, I) for the batch's codes."""
        return batch.normals("latent", self.config.model.latent)

    @torch.no_grad()
    def samples(self, model: Model, batches: Batches[Any, ImageBatch], device: torch.device) -> Grid:
        """Images, their reconstructions, and images of codes drawn from the prior."""
        assert isinstance(model, ImageAutoencoder) and isinstance(batches, ImageBatches)
        some = batches.images.part(0, SAMPLES)
        x, y = to_float(some.tensor).to(device), some.class_labels.to(device)
        z = model.prior.sample(len(x), draws.generator(0, "samples")).to(device)
        return Grid(to_uint8(torch.cat([x, model.image(model.code(x, y), y), model.image(z, y)])), len(x))


class CodeDraws:
    """Samples of a prior for the codes of a batch."""

    def __init__(self, batch: ImageBatch, prior: Prior) -> None:
        self.batch, self.distribution = batch, prior

    def prior(self, code: str, shape: tuple[int, ...]) -> Tensor:
        """float (B, d), the same for every code of the batch."""
        assert shape == (self.distribution.dimensions,)
        return self.batch.take_rows(self.distribution.sample(self.batch.size, self.batch.generator("prior")))

    def permutation(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.batch.generator("places"))


def code_discriminator_phase(
    adversary: Adversarial, network: nn.Module, real: list[Tensor], codes: list[Tensor]
) -> Phase:
    """The discriminator's step: samples of the prior against codes, part by part of the code, in one pass."""
    loss = adversary.discriminator_loss(network, real, codes)
    return Phase("discriminator", loss, {"discriminator": loss.detach()})


def with_noise(batch: ImageBatch, model: NetsConfig, purpose: str = "noise") -> Tensor:
    """The images' intensities, with the noise that the model's config has."""
    x = batch.intensities
    if not (model.noise or model.salt_pepper):
        return x
    return noisy(x, batch.normals(purpose, *x.shape[1:]), sd=model.noise, salt_pepper=model.salt_pepper)
