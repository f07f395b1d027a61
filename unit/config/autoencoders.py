"""The sections of the autoencoders of digits: one `model` section a method, built on one that all have."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from unit.config.base import MOST_WIDTH, Config, ConfigError, above_0, at_least, within
from unit.config.data import DigitsConfig, LabelledDigitsConfig
from unit.core.likelihood import LikelihoodKind
from unit.core.posterior import PosteriorKind
from unit.core.prior import PriorKind, prior_of
from unit.networks.digits import Activation


@dataclass(frozen=True)
class NetsConfig:
    """An encoder and a decoder, mirrored."""

    architecture: Literal["mlp", "conv"] = "mlp"
    """multi-layer perceptrons, or small convolutional networks of fixed widths"""
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

    def __post_init__(self) -> None:
        within("model.latent", self.latent, 1, MOST_WIDTH)
        at_least("model.noise", self.noise, 0)
        above_0("model.scale", self.scale)
        widths("model.hidden", self.hidden)
        if len(self.activations) != len(self.hidden):
            raise ConfigError(
                f"model.activations: expected {len(self.hidden)}, as many as hidden layers, got {len(self.activations)}"
            )


def widths(key: str, hidden: tuple[int, ...]) -> None:
    if not 1 <= len(hidden) <= 100 or not 1 <= min(hidden) <= max(hidden) <= MOST_WIDTH:
        raise ConfigError(f"{key}: expected 1 to 100 widths of 1 to {MOST_WIDTH}, got {list(hidden)}")


def perceptrons(model: NetsConfig) -> None:
    if model.architecture != "mlp":
        raise ConfigError(f"model.architecture: labels need perceptrons; expected mlp, got {model.architecture}")


@dataclass(frozen=True)
class VAEConfig(Config):
    """A variational autoencoder (Kingma & Welling 2014)."""

    method: ClassVar[str] = "vae"

    data: DigitsConfig = field(default_factory=DigitsConfig)
    model: NetsConfig = field(default_factory=NetsConfig)


@dataclass(frozen=True)
class CVAEConfig(VAEConfig):
    """A VAE whose encoder and decoder are told the label."""

    method: ClassVar[str] = "cvae"

    def __post_init__(self) -> None:
        perceptrons(self.model)


@dataclass(frozen=True)
class M1ModelConfig(NetsConfig):
    """A VAE, and a classifier of its codes."""

    latent: int = 50
    classifier: tuple[int, ...] = (100,)
    """widths of the classifier's hidden layers"""

    def __post_init__(self) -> None:
        super().__post_init__()
        widths("model.classifier", self.classifier)


@dataclass(frozen=True)
class M1Config(Config):
    """M1: a VAE's codes, and a classifier that learns on those with labels (Kingma et al. 2014)."""

    method: ClassVar[str] = "m1"

    data: LabelledDigitsConfig = field(default_factory=LabelledDigitsConfig)
    model: M1ModelConfig = field(default_factory=M1ModelConfig)

    def __post_init__(self) -> None:
        labels_needed(self.data)


@dataclass(frozen=True)
class M2ModelConfig(NetsConfig):
    """p(x|y, z), q(z|x, y) and the classifier q(y|x), all perceptrons of the same hidden widths."""

    latent: int = 50
    hidden: tuple[int, ...] = (500,)
    activations: tuple[Activation, ...] = ("softplus",)
    noise: float = 0.0
    """standard deviation of Gaussian noise on the classifier's input, clipped to [0, 1] (0: none)"""
    rho: float | None = None
    """weight of the labelled images' bound, averaged over them (null: their share of the images, as in the paper)"""
    classification: float = 0.1
    """α over the number of images: weight of the labelled images' cross-entropy, averaged over them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        perceptrons(self)
        weights_of_labelled(self.rho, self.classification)


def weights_of_labelled(rho: float | None, classification: float) -> None:
    if rho is not None:
        above_0("model.rho", rho)
    above_0("model.classification", classification)


@dataclass(frozen=True)
class M2Config(Config):
    """M2: a VAE with the label as a second, partly observed code (Kingma et al. 2014)."""

    method: ClassVar[str] = "m2"

    data: LabelledDigitsConfig = field(default_factory=LabelledDigitsConfig)
    model: M2ModelConfig = field(default_factory=M2ModelConfig)


@dataclass(frozen=True)
class M1M2ModelConfig(NetsConfig):
    """M1's VAE, and M2 of its codes."""

    latent: int = 50
    m2_latent: int = 50
    """dimensions of M2's code"""
    m2_hidden: tuple[int, ...] = (500,)
    """widths of M2's hidden layers"""
    m2_noise: float = 0.0
    """standard deviation of Gaussian noise on the codes that M2's classifier learns from (0: none)"""
    beta: float = 1.0
    """weight of the KL divergence in M1's bound: below 1, codes keep more of the image, and of its cluster"""
    head_start: int = 0
    """steps that M1 learns alone before M2 begins beside it"""
    rho: float | None = None
    """weight of the labelled images' bound, averaged over them (null: their share of the images, as in the paper)"""
    classification: float = 0.1
    """α over the number of images: weight of the labelled images' cross-entropy, averaged over them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("model.m2_latent", self.m2_latent, 1, MOST_WIDTH)
        widths("model.m2_hidden", self.m2_hidden)
        at_least("model.m2_noise", self.m2_noise, 0)
        above_0("model.beta", self.beta)
        at_least("model.head_start", self.head_start, 0)
        weights_of_labelled(self.rho, self.classification)


@dataclass(frozen=True)
class M1M2Config(Config):
    """M1+M2: M2 of the codes of M1 (Kingma et al. 2014)."""

    method: ClassVar[str] = "m1m2"

    data: LabelledDigitsConfig = field(default_factory=LabelledDigitsConfig)
    model: M1M2ModelConfig = field(default_factory=M1M2ModelConfig)


@dataclass(frozen=True)
class JudgedConfig(NetsConfig):
    """An autoencoder whose codes are judged by a discriminator; the defaults are the AAE's (Makhzani et al. 2016)."""

    latent: int = 8
    hidden: tuple[int, ...] = (1000, 1000)
    activations: tuple[Activation, ...] = ("relu", "relu")
    likelihood: LikelihoodKind = "gaussian"
    judge: tuple[int, ...] = (1000, 1000)
    """widths of the code discriminator's hidden layers"""
    judge_lr: float = 0.2
    """the discriminator's learning rate, as a factor of optim.lr"""

    def __post_init__(self) -> None:
        super().__post_init__()
        widths("model.judge", self.judge)
        above_0("model.judge_lr", self.judge_lr)


@dataclass(frozen=True)
class AdversarialConfig(JudgedConfig):
    """How the encoder learns to fool the discriminator."""

    fooling_steps: int = 2
    """how often a step the encoder learns to fool the discriminator"""
    combined: float = 0.0
    """weight of fooling the discriminator in one step with the reconstruction (0: steps of their own)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("model.fooling_steps", self.fooling_steps, 1)
        at_least("model.combined", self.combined, 0)


@dataclass(frozen=True)
class AAEModelConfig(AdversarialConfig):
    """An AAE's networks and prior."""

    posterior: PosteriorKind = "deterministic"
    """what the encoder gives: a code, or a Gaussian of which one is drawn"""
    prior: PriorKind = "normal"
    """p(z); the mixture and the swiss roll lie in the plane and have a part for each label"""
    prior_sd: float = 5.0
    """standard deviation of the normal prior"""
    informed: bool = False
    """tell the discriminator the label, so that each digit gets its own part of the prior"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.prior_sd", self.prior_sd)
        try:
            prior = prior_of(self.prior, self.latent)
        except ValueError as error:
            raise ConfigError(f"model.latent: {error}") from error
        if self.informed and self.combined:
            raise ConfigError(f"model.combined: expected 0 with model.informed, got {self.combined}")
        if self.informed and not prior.labels:
            raise ConfigError(
                f"model.informed: the {self.prior} prior has no labels; expected the mixture or the swiss_roll"
            )


@dataclass(frozen=True)
class AAEConfig(Config):
    """An adversarial autoencoder (Makhzani et al. 2016)."""

    method: ClassVar[str] = "aae"

    data: LabelledDigitsConfig = field(default_factory=lambda: LabelledDigitsConfig(labelled=0))
    model: AAEModelConfig = field(default_factory=AAEModelConfig)

    def __post_init__(self) -> None:
        if self.model.informed:
            labels_needed(self.data)
        elif self.data.labelled:
            raise ConfigError(f"data.labelled: expected 0 without model.informed, got {self.data.labelled}")


@dataclass(frozen=True)
class SupervisedAAEModelConfig(AdversarialConfig):
    """An AAE's networks; the decoder is told the label."""

    latent: int = 15
    prior_sd: float = 5.0
    """standard deviation of the normal prior"""

    def __post_init__(self) -> None:
        super().__post_init__()
        perceptrons(self)
        above_0("model.prior_sd", self.prior_sd)


@dataclass(frozen=True)
class SupervisedAAEConfig(Config):
    """A supervised AAE: the decoder gets the label, so that the code holds the style alone (section 4)."""

    method: ClassVar[str] = "aae_supervised"

    data: DigitsConfig = field(default_factory=DigitsConfig)
    model: SupervisedAAEModelConfig = field(default_factory=SupervisedAAEModelConfig)


@dataclass(frozen=True)
class CategoricalAAEModelConfig(AdversarialConfig):
    """An AAE whose code is a category and a style."""

    latent: int = 10
    categories: int = 10
    """how many categories: the digits, or clusters"""
    judge_noise: float = 0.0
    """standard deviation of noise on the categories that the discriminator sees, so that it can't tell one-hot samples
    of the prior from probabilities by their being exactly 0 and 1"""
    judge_noise_end: float | None = None
    """what judge_noise comes to, linearly, at the end of the training: much noise keeps all categories in use, little
    makes them sure (null: it stays)"""
    classification: float = 1.0
    """weight of the labelled images' cross-entropy with model.combined (else it has a step of its own)"""
    smoothness: float = 0.0
    """weight of virtual adversarial training: an image's categories are to stay the same under the change of the image
    that changes them most; needs model.combined (0: none)"""
    radius: float = 1.0
    """length of that change, as a vector of pixels in [0, 1]"""
    warp: float = 0.0
    """strength of a random affine map under which, with that change, the categories are to stay the same: standard
    deviation of its angle in radians and of its shear, with half as much stretch (0: none)"""
    balance: float = 0.0
    """weight of the KL divergence between the mean of the images' categories and equal shares, which keeps all
    categories in use; needs model.combined (0: none)"""
    group: int = 100
    """that mean is over groups of this many images; a process's part of the batch must hold whole groups"""
    normalized: bool = False
    """the encoder is a perceptron with layer normalisation, and sees images less the mean of all training images"""
    heads: float = 0.0
    """dimensionality reduction: the code is a learned point of each category plus the style, and points nearer to one
    another than this are driven apart (0: category and style side by side)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("model.categories", self.categories, 2, MOST_WIDTH)
        at_least("model.judge_noise", self.judge_noise, 0)
        if self.judge_noise_end is not None:
            at_least("model.judge_noise_end", self.judge_noise_end, 0)
        at_least("model.heads", self.heads, 0)
        above_0("model.classification", self.classification)
        at_least("model.smoothness", self.smoothness, 0)
        above_0("model.radius", self.radius)
        at_least("model.warp", self.warp, 0)
        at_least("model.balance", self.balance, 0)
        at_least("model.group", self.group, 2)
        for key, value, needed in (
            ("smoothness", self.smoothness, "combined"),
            ("balance", self.balance, "combined"),
            ("warp", self.warp, "smoothness"),
        ):
            if value and not getattr(self, needed):
                raise ConfigError(f"model.{key}: expected 0 without model.{needed}, got {value}")
        if self.normalized and self.architecture != "mlp":
            raise ConfigError(f"model.normalized: expected false with model.architecture {self.architecture}, got true")


@dataclass(frozen=True)
class SemiAAEConfig(Config):
    """A semi-supervised AAE: categories are digits, learned from the labelled images (section 5)."""

    method: ClassVar[str] = "aae_semi"

    data: LabelledDigitsConfig = field(default_factory=LabelledDigitsConfig)
    model: CategoricalAAEModelConfig = field(default_factory=CategoricalAAEModelConfig)

    def __post_init__(self) -> None:
        labels_needed(self.data)
        if self.model.categories != 10:
            raise ConfigError(f"model.categories: expected 10, one a digit, got {self.model.categories}")


@dataclass(frozen=True)
class ClusterAAEConfig(Config):
    """A clustering AAE: categories are found without labels (section 6); with heads, in few dimensions (section 7)."""

    method: ClassVar[str] = "aae_cluster"

    data: DigitsConfig = field(default_factory=DigitsConfig)
    model: CategoricalAAEModelConfig = field(default_factory=lambda: CategoricalAAEModelConfig(categories=16))


@dataclass(frozen=True)
class WAEModelConfig(JudgedConfig):
    """A WAE's networks and penalty."""

    scale: float = 10.0
    regularizer: Literal["mmd", "adversarial"] = "mmd"
    """the penalty D_z: the maximum mean discrepancy, or a discriminator of codes"""
    weight: float = 10.0
    """λ, the penalty's weight"""
    prior_sd: float = 1.0
    """standard deviation of the normal prior"""
    group: int = 100
    """the discrepancy is taken over groups of this many images; a process's part of the batch must hold whole groups"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.weight", self.weight)
        at_least("model.group", self.group, 2)
        above_0("model.prior_sd", self.prior_sd)


@dataclass(frozen=True)
class WAEConfig(Config):
    """A Wasserstein autoencoder (Tolstikhin et al. 2018)."""

    method: ClassVar[str] = "wae"

    data: DigitsConfig = field(default_factory=DigitsConfig)
    model: WAEModelConfig = field(default_factory=WAEModelConfig)


def labels_needed(data: LabelledDigitsConfig) -> None:
    if not data.labelled:
        raise ConfigError("data.labelled: this method needs labels; expected at least 10, got 0")


AutoencoderConfig = (
    VAEConfig
    | CVAEConfig
    | M1Config
    | M2Config
    | M1M2Config
    | AAEConfig
    | SupervisedAAEConfig
    | SemiAAEConfig
    | ClusterAAEConfig
    | WAEConfig
)
