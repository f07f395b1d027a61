"""An autoencoder whose code is a category and a style.

Makhzani et al., Adversarial Autoencoders, 2016, sections 5 to 7.

Notation: y is the category's probabilities (B, K), z the style (B, d). With `heads` the decoder gets one point of few
dimensions, y's learned point plus z.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unit.config.base import MAX_WIDTH, ConfigError, at_least, within
from unit.core.likelihood import LikelihoodKind, build_likelihood
from unit.core.prior import Categorical, Normal
from unit.data.images import from_intensity, to_intensity
from unit.models.autoencoder import (
    ImageShape,
    NetsConfig,
    centered_encoder,
    check_conv,
    image_decoder,
    image_encoder,
)
from unit.models.base import Model
from unit.networks.codes import Activation


@dataclass(frozen=True)
class CategoricalConfig(NetsConfig):
    """The networks of an autoencoder with categories."""

    latent: int = 10
    hidden: tuple[int, ...] = (1000, 1000)
    activations: tuple[Activation, ...] = ("relu", "relu")
    likelihood: LikelihoodKind = "gaussian"
    categories: int = 10
    """how many categories: the classes, or clusters"""
    heads: float = 0.0
    """dimensionality reduction: the code is a learned point of each category plus the style, and points nearer to one
    another than this are driven apart (0: category and style side by side)"""
    normalized: bool = False
    """the encoder is a perceptron with layer normalization, and sees images less the mean of all training images"""
    supervised: bool = True
    """whether the categories are the classes of the labels, or clusters"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("model.categories", self.categories, 2, MAX_WIDTH)
        at_least("model.heads", self.heads, 0)
        if self.normalized and self.architecture != "mlp":
            raise ConfigError(f"model.normalized: expected false with model.architecture {self.architecture}, got true")


@dataclass(frozen=True)
class CategoricalAutoencoderConfig:
    """What an autoencoder with categories is built from."""

    images: ImageShape = field(default_factory=ImageShape)
    model: CategoricalConfig = field(default_factory=CategoricalConfig)


class Code(NamedTuple):
    """Logits of the categories (B, K), and the style (B, d)."""

    logits: Tensor
    z: Tensor

    @property
    def y(self) -> Tensor:
        return self.logits.softmax(1)


class CategoricalDecoder(nn.Module):
    """(y, z) side by side to an image; or, with heads, y's point W·y plus z."""

    def __init__(self, config: CategoricalConfig, images: ImageShape) -> None:
        super().__init__()
        self.heads = nn.Linear(config.categories, config.latent, bias=False) if config.heads else None
        if self.heads is not None:
            room = config.heads * config.categories ** (1 / config.latent)  # side of a cube for points that far apart
            nn.init.uniform_(self.heads.weight, -room / 2, room / 2)
        n_in = config.latent if config.heads else config.categories + config.latent
        self.image = image_decoder(config, images, n_in)

    def point(self, y: Tensor, z: Tensor) -> Tensor:
        """What the image is made of: (B, d) with heads, else (B, K + d)."""
        return torch.cat([y, z], dim=1) if self.heads is None else self.heads(y) + z

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.image(self.point(y, z))
        return output


class CategoricalAutoencoder(Model, name="categorical"):
    """An autoencoder of images, float (B, C, size, size) in [-1, 1], with codes of a category and a style.

    Its networks and its likelihood see intensities in [0, 1].
    """

    Config = CategoricalAutoencoderConfig

    def __init__(self, config: CategoricalAutoencoderConfig) -> None:
        super().__init__()
        model, images = config.model, config.images
        check_conv(model, images.size)
        self.config, self.images, self.supervised = config, images, model.supervised
        encoder = centered_encoder if model.normalized else image_encoder
        self.encoder = encoder(model, images, model.categories + model.latent)
        self.decoder = CategoricalDecoder(model, images)
        self.category_prior, self.style_prior = Categorical(model.categories), Normal(model.latent)
        self.likelihood = build_likelihood(model.likelihood, model.scale)

    def code(self, x: Tensor) -> Code:
        """Category and style of images (B, C, size, size) in [-1, 1]."""
        return self.split(self.encoder(to_intensity(x)))

    def split(self, output: Tensor) -> Code:
        """The encoder's output (B, K + d) as a code."""
        categories = self.config.model.categories
        return Code(output[:, :categories], output[:, categories:])

    def image(self, y: Tensor, z: Tensor) -> Tensor:
        """The mean image, in [-1, 1]."""
        return from_intensity(self.likelihood.mean(self.decoder(y, z)))


def log_odds(logits: Tensor) -> Tensor:
    """log p/(1 − p) of each category, float64 (B, K): in the order of p, also where p is 1 but for rounding."""
    others = logits.double()[:, None].repeat(1, logits.shape[1], 1)
    others.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return logits.double() - others.logsumexp(2)
