"""UNIT's sections: the two VAEs, the discriminators, and the objective's weights."""

from dataclasses import dataclass, field
from typing import ClassVar

from unit.config.base import Config, ConfigError, at_least, within
from unit.config.data import DataConfig
from unit.core.regularizer import RegularizerKind
from unit.losses import GanKind
from unit.networks.blocks import Init, Norm, Padding, Upsampling


@dataclass(frozen=True)
class ModelConfig:
    """The two VAEs; the defaults are the paper's."""

    width: int = 64
    """channels of the first layer; each down-sampling doubles them"""
    downsamplings: int = 2
    """convolutions of stride 2 in an encoder"""
    blocks: int = 4
    """residual blocks in an encoder, and as many in a generator"""
    shared_blocks: int = 1
    """how many of them the two domains share: an encoder's last ones, a generator's first ones (0: none)"""
    regularizer: RegularizerKind = "kl"
    """what pulls the codes towards N(0, I): kl, the KL divergence with unit variance (the paper's); kl_learned, with a
    variance that the encoder learns; mmd or adversarial, of codes without noise; or none"""
    down_kernel: int = 3
    """kernel size of the down-sampling convolutions"""
    up_kernel: int = 3
    """kernel size of the up-sampling convolutions"""
    last_kernel: int = 1
    """kernel size of the last convolution"""
    upsampling: Upsampling = "transposed"
    """transposed convolution, or resize: nearest ×2 and a convolution, which makes no checkerboard"""
    encoder_norm: Norm = "none"
    """norm after each convolution of an encoder outside its residual blocks"""
    generator_norm: Norm = "none"
    """norm after each up-sampling convolution of a generator"""
    slope: float = 0.01
    """LeakyReLU's slope (0 is ReLU)"""
    padding: Padding = "zeros"
    """what lies beyond the border"""
    init: Init = "normal"
    """weights from N(0, 0.02²), or Kaiming's"""

    def __post_init__(self) -> None:
        within("model.width", self.width, 1, 4096)
        within("model.downsamplings", self.downsamplings, 0, 10)
        within("model.blocks", self.blocks, 1, 100)
        at_least("model.slope", self.slope, 0)
        within("model.shared_blocks", self.shared_blocks, 0, self.blocks)
        within("model.down_kernel", self.down_kernel, 1, 9)
        within("model.up_kernel", self.up_kernel, 1, 9)
        within("model.last_kernel", self.last_kernel, 1, 9)
        if self.last_kernel % 2 == 0 or (self.upsampling == "resize" and self.up_kernel % 2 == 0):
            raise ConfigError(
                "model.last_kernel, and model.up_kernel with upsampling resize: expected odd numbers, got "
                f"{self.last_kernel} and {self.up_kernel}"
            )


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The two discriminators; the defaults are the paper's."""

    width: int = 64
    """channels of the first layer; each layer doubles them"""
    layers: int = 5
    """convolutions of stride 2"""
    kernel: int = 3
    """their kernel size"""
    slope: float = 0.01
    """LeakyReLU's slope"""
    scales: int = 1
    """how many scales the image is judged on, each at half the size of the one before"""
    shared_layers: int = 0
    """how many of the last layers the two domains share (0: none; layers + 1: all)"""
    spectral_norm: bool = False
    """spectral normalisation of every layer"""

    def __post_init__(self) -> None:
        within("discriminator.width", self.width, 1, 4096)
        within("discriminator.layers", self.layers, 1, 10)
        within("discriminator.kernel", self.kernel, 3, 7)
        at_least("discriminator.slope", self.slope, 0)
        within("discriminator.scales", self.scales, 1, 10)
        within("discriminator.shared_layers", self.shared_layers, 0, self.layers + 1)


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
    mmd: float = 10.0
    """in place of λ1 and λ3 with model.regularizer mmd: weight of the codes' maximum mean discrepancy"""
    code_gan: float = 1.0
    """in place of λ1 and λ3 with model.regularizer adversarial: weight of fooling the codes' discriminator"""
    perceptual: float = 0.0
    """weight of the domain-invariant VGG16 distance between an image and its translation"""

    def __post_init__(self) -> None:
        at_least("loss.gan", self.gan, 0)
        at_least("loss.kl", self.kl, 0)
        at_least("loss.reconstruction", self.reconstruction, 0)
        at_least("loss.cycle_kl", self.cycle_kl, 0)
        at_least("loss.cycle", self.cycle, 0)
        at_least("loss.mmd", self.mmd, 0)
        at_least("loss.code_gan", self.code_gan, 0)
        at_least("loss.perceptual", self.perceptual, 0)
        if self.gan == self.reconstruction == self.cycle == 0:
            raise ConfigError(
                "loss.gan, loss.reconstruction and loss.cycle: expected at least one above 0, got 0 for all"
            )


@dataclass(frozen=True)
class UnitConfig(Config):
    """A training of UNIT."""

    method: ClassVar[str] = "unit"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        stride = 1 << self.model.downsamplings
        if self.data.size % stride:
            raise ConfigError(
                f"data.size: expected a multiple of {stride} for model.downsamplings {self.model.downsamplings}, "
                f"got {self.data.size}"
            )
