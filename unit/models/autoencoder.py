"""Autoencoders of small square images: VAE, CVAE, AAE and WAE are all one of these, trained differently.

Notation: x is an image, z its code (B, d), y its label, int64 (B,).
"""

from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from unit.config.base import MAX_WIDTH, ConfigError, above_0, at_least, fraction, within
from unit.config.data import Channels
from unit.core.autoencoder import Autoencoder, joined
from unit.core.likelihood import LikelihoodKind, build_likelihood
from unit.core.posterior import PosteriorKind, encoder_channels
from unit.core.prior import Prior, PriorKind, build_prior
from unit.data.images import from_intensity, to_intensity
from unit.models.base import Model
from unit.networks.codes import Activation, Centered, Init, conv_decoder, conv_encoder, initialize, mlp, one_hot
from unit.networks.coordinates import CoordinateDecoder
from unit.networks.norms import BatchNorm
from unit.networks.strided import Norm, halvings, layer_norm, strided_decoder, strided_encoder

Labels = Literal["none", "decoder", "both"]


@dataclass(frozen=True)
class ImageShape:
    """The images of an autoencoder, and how many classes their labels have."""

    size: int = 28
    """side of the images, in pixels"""
    channels: Channels = 1
    """1 for grayscale, 3 for RGB"""
    classes: int = 10
    """how many classes there are (0: no labels)"""

    def __post_init__(self) -> None:
        within("images.size", self.size, 4, 1024)
        within("images.classes", self.classes, 0, 2**16)
        if isinstance(self.channels, bool | float):  # True is equal to 1
            raise ConfigError(f"images.channels: expected 1 or 3, got {self.channels!r}")

    @property
    def pixels(self) -> int:
        """Numbers per image."""
        return self.channels * self.size**2


@dataclass(frozen=True)
class NetsConfig:
    """An encoder and a decoder that mirror each other."""

    architecture: Literal["mlp", "conv", "strided"] = "mlp"
    """multi-layer perceptrons; small convolutional networks of fixed widths, for digits; or strided: convolutions of
    kernel 5 and stride 2 down to 8 pixels and fewer, and a dense layer, for images of 16 pixels and more"""
    decoder: Literal["mirror", "coordinates"] = "mirror"
    """networks that mirror the encoder's; or coordinates: a perceptron of a pixel's place and the code, of the hidden
    widths, from code to image in reverse, which draws at any size (CPPN)"""
    width: int = 64
    """of the strided networks: channels of the encoder's first convolution, by which all other widths go"""
    latent: int = 20
    """dimensions of the code"""
    hidden: tuple[int, ...] = (500, 500)
    """widths of the perceptrons' hidden layers, from image to code"""
    activations: tuple[Activation, ...] = ("elu", "tanh")
    """their activations, as many"""
    likelihood: LikelihoodKind = "bernoulli"
    """p(x|z) of a pixel"""
    scale: float = 1.0
    """the Gaussian's variance σ², or the Laplace's b"""
    noise: float = 0.0
    """standard deviation of Gaussian noise on the encoder's input, clipped to [0, 1] (denoising; 0: none)"""
    salt_pepper: float = 0.0
    """share of the encoder's input that is set to 0 or 1, each as often, in place of Gaussian noise (denoising; 0:
    none)"""

    def __post_init__(self) -> None:
        within("model.latent", self.latent, 1, MAX_WIDTH)
        within("model.width", self.width, 1, 4096)
        at_least("model.noise", self.noise, 0)
        within("model.salt_pepper", self.salt_pepper, 0, 1)
        if self.noise and self.salt_pepper:
            raise ConfigError(f"model.salt_pepper: expected 0 with model.noise {self.noise}, got {self.salt_pepper}")
        above_0("model.scale", self.scale)
        check_widths("model.hidden", self.hidden)
        if len(self.activations) != len(self.hidden):
            raise ConfigError(
                f"model.activations: expected {len(self.hidden)}, as many as hidden layers, got {len(self.activations)}"
            )

    def nets(self) -> dict[str, Any]:
        """The values of these keys alone, whatever a subclass adds."""
        return {field.name: getattr(self, field.name) for field in fields(NetsConfig)}


@dataclass(frozen=True)
class TrainedNetsConfig(NetsConfig):
    """How these networks begin, and what else there is in them for the sake of their training."""

    init: Init = "torch"
    """weights to begin with: torch's own; he, N(0, 2/n_in); or xavier, uniform in ±√(6/(n_in + n_out)); of the latter
    two biases are 0"""
    dropout: float = 0.0
    """share of a perceptron's hidden units that are dropped in training, after their activation (0: none)"""
    batch_norm: int = 0
    """batch normalization before each hidden activation, over groups of so many images; a process's micro-batch must
    hold whole groups (0: none in perceptrons, layer normalization in strided networks)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("model.dropout", self.dropout)
        at_least("model.batch_norm", self.batch_norm, 0)
        if self.batch_norm == 1:
            raise ConfigError("model.batch_norm: expected 0 or at least 2, got 1")
        kind = f"architecture {self.architecture}" if self.decoder == "mirror" else f"decoder {self.decoder}"
        if self.dropout and kind != "architecture mlp":
            raise ConfigError(f"model.dropout: expected 0 with {kind}, got {self.dropout}")
        if self.batch_norm and kind not in ("architecture mlp", "architecture strided"):
            raise ConfigError(f"model.batch_norm: expected 0 with {kind}, got {self.batch_norm}")

    def nets(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(TrainedNetsConfig)}


def check_widths(key: str, hidden: tuple[int, ...]) -> None:
    """Raise ConfigError for widths that no perceptron can have."""
    if not 1 <= len(hidden) <= 100 or not 1 <= min(hidden) <= max(hidden) <= MAX_WIDTH:
        raise ConfigError(f"{key}: expected 1 to 100 widths of 1 to {MAX_WIDTH}, got {list(hidden)}")


def require_mlp(model: NetsConfig) -> None:
    """Raise ConfigError for networks that can't take a label beside the image."""
    if model.architecture != "mlp":
        raise ConfigError(f"model.architecture: labels need perceptrons; expected mlp, got {model.architecture}")


@dataclass(frozen=True)
class AutoencoderConfig(TrainedNetsConfig):
    """The networks, and what their output means."""

    posterior: PosteriorKind = "gaussian"
    """what the encoder gives: a code, or a Gaussian of which one is drawn"""
    prior: PriorKind = "normal"
    """p(z)"""
    prior_sd: float = 1.0
    """standard deviation of the normal prior"""
    labels: Labels = "none"
    """whether the decoder, or the encoder too, gets the label"""
    regularizer: Literal["kl", "mmd", "adversarial", "none"] = "kl"
    """what pulled the codes towards the prior in training"""
    features: bool = False
    """whether the likelihood was one of a discriminator's features, so that there is no bound in pixels, and batch
    normalization in the decoder is over twice as many codes (VAE/GAN)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.prior_sd", self.prior_sd)
        if self.labels != "none":
            require_mlp(self)
        check_prior(self.prior, self.latent)


def check_prior(kind: PriorKind, latent: int) -> Prior:
    """The prior; raises ConfigError for a number of dimensions that it can't have."""
    try:
        return build_prior(kind, latent)
    except ValueError as error:
        raise ConfigError(f"model.latent: {error}") from error


@dataclass(frozen=True)
class ImageAutoencoderConfig:
    """What an autoencoder of images is built from."""

    images: ImageShape = field(default_factory=ImageShape)
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)


def image_encoder(
    config: NetsConfig,
    images: ImageShape,
    n_out: int,
    *,
    conditions: int = 0,
    norm: Norm | None = None,
    dropout: float = 0.0,
) -> nn.Module:
    """(B, C, size, size), or flat with a condition behind it, → (B, n_out); `norm` is that of perceptrons and of
    strided networks, `dropout` that of perceptrons."""
    match config.architecture:
        case "conv":
            return conv_encoder(images.size, n_out, channels=images.channels)
        case "strided":
            return strided_encoder(
                images.size, n_out, channels=images.channels, width=config.width, norm=norm or layer_norm
            )
    n_in = images.pixels + conditions
    return mlp(n_in, config.hidden, n_out, config.activations, norm=norm, dropout=dropout)


def centered_encoder(config: NetsConfig, images: ImageShape, n_out: int) -> nn.Sequential:
    """A perceptron with layer normalization, of images less their mean: (B, C, size, size) → (B, n_out)."""
    return nn.Sequential(
        Centered(images.channels, images.size, images.size),
        mlp(images.pixels, config.hidden, n_out, config.activations, norm=nn.LayerNorm),
    )


def image_decoder(
    config: NetsConfig, images: ImageShape, n_in: int, *, norm: Norm | None = None, dropout: float = 0.0
) -> nn.Module:
    """(B, n_in) → (B, C, size, size): logits for the Bernoulli likelihood, else means in [0, 1]."""
    shape = (images.channels, images.size, images.size)
    hidden, activations = config.hidden[::-1], config.activations[::-1]
    layers: list[nn.Module]
    match config.architecture:
        case _ if config.decoder == "coordinates":
            layers = [CoordinateDecoder(n_in, images.size, hidden, activations, channels=images.channels)]
        case "conv":
            layers = [conv_decoder(n_in, images.size, channels=images.channels)]
        case "strided":
            norm = norm or layer_norm
            layers = [strided_decoder(n_in, images.size, channels=images.channels, width=config.width, norm=norm)]
        case "mlp":
            perceptron = mlp(n_in, hidden, images.pixels, activations, norm=norm, dropout=dropout)
            layers = [perceptron, nn.Unflatten(1, shape)]
    return nn.Sequential(*layers, *([] if config.likelihood == "bernoulli" else [nn.Sigmoid()]))


def check_conv(config: NetsConfig, size: int) -> None:
    """Raise ConfigError for a size that the convolutional networks can't take."""
    if config.architecture == "conv" and size % 4:
        raise ConfigError(f"data.size: expected a multiple of 4 for model.architecture conv, got {size}")
    if config.architecture == "strided" and not halvings(size):
        raise ConfigError(
            "data.size: for model.architecture strided expected one that can be halved to 8 pixels or fewer, such as "
            f"28, 32, 48, 64, 96 or 128, got {size}"
        )


def batch_norm(group: int) -> Norm | None:
    """Batch normalization over groups of so many images; of 0, none."""
    return partial(BatchNorm, group=group) if group else None


class ImageAutoencoder(Model, Autoencoder[nn.Module, nn.Module], name="autoencoder"):
    """An autoencoder of images, float (B, C, size, size) in [-1, 1], with codes (B, d).

    Its networks and its likelihood see intensities in [0, 1]: `encode` and `decode` are of these.
    """

    Config = ImageAutoencoderConfig

    def __init__(self, config: ImageAutoencoderConfig) -> None:
        model, images = config.model, config.images
        check_conv(model, images.size)
        in_encoder, in_decoder = (
            images.classes if model.labels in kinds else 0 for kinds in (("both",), ("both", "decoder"))
        )
        Autoencoder.__init__(
            self,
            image_encoder(
                model,
                images,
                encoder_channels(model.latent, model.posterior),
                conditions=in_encoder,
                norm=batch_norm(model.batch_norm),
                dropout=model.dropout,
            ),
            image_decoder(
                model,
                images,
                model.latent + in_decoder,
                norm=batch_norm(2 * model.batch_norm if model.features else model.batch_norm),
                dropout=model.dropout,
            ),
            posterior=model.posterior,
        )
        initialize(self, model.init)
        self.config, self.images, self.labels = config, images, model.labels
        self.prior: Prior = build_prior(model.prior, model.latent, sd=model.prior_sd)
        self.likelihood = build_likelihood(model.likelihood, model.scale)

    @property
    def has_bound(self) -> bool:
        """Whether the codes' KL divergence and a likelihood of pixels were trained, a bound of log p(x)."""
        return self.config.model.regularizer == "kl" and not self.config.model.features

    def encoder_condition(self, y: Tensor | None) -> Tensor | None:
        """What the encoder gets beside the image: one-hot labels, or nothing."""
        return None if y is None or self.labels != "both" else one_hot(y, self.images.classes)

    def decoder_condition(self, y: Tensor | None) -> Tensor | None:
        """What the decoder gets beside the code."""
        return None if y is None or self.labels == "none" else one_hot(y, self.images.classes)

    def code(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z|x): (B, d)."""
        return self.encode(to_intensity(x), self.encoder_condition(y)).sample(None)

    def image(self, z: Tensor, y: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """The mean image of p(x|z), in [-1, 1]; of another size, for a decoder of coordinates."""
        code = joined(z, self.decoder_condition(y))
        if size is not None:
            assert isinstance(self.decoder, nn.Sequential) and self.any_size
            first, *rest = self.decoder
            output = nn.Sequential(*rest)(first(code, size))
        else:
            output = self.decoder(code)
        return from_intensity(self.likelihood.mean(output))

    @property
    def any_size(self) -> bool:
        """Whether images can be drawn at any size."""
        return bool(self.config.model.decoder == "coordinates")


def autoencoder(section: NetsConfig, images: ImageShape, **kind: Any) -> ImageAutoencoder:
    """The autoencoder of a method's `model` section; `kind` are the keys of AutoencoderConfig that the method sets."""
    return ImageAutoencoder(ImageAutoencoderConfig(images, AutoencoderConfig(**section.nets(), **kind)))
