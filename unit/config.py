"""The configuration of a run: typed, in YAML, each key also a command-line option (`--optim.lr 2e-4`).

Values are checked here, at the border; what is inside can rely on them.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from unit.losses import GanKind
from unit.networks.blocks import Init, Norm, Padding, Upsampling


class ConfigError(ValueError):
    """A wrong command or config: one line that says what was wrong, what was given and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def at_least(key: str, value: float, low: float) -> None:
    within(key, value, low, math.inf)


def within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isinf(value):
        allowed = f"at least {low}" if math.isinf(high) else f"{low} to {high}"
        raise ConfigError(f"{key}: expected {allowed}, got {value}")


def fraction(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{key}: expected at least 0 and below 1, got {value}")


@dataclass(frozen=True)
class DataConfig:
    """Two folders of images and how a batch is made of them."""

    root: str | None = None
    """folder that holds trainA and trainB (and, for evaluation, testA and testB)"""
    a: str | None = None
    """folder of domain a's training images, in place of root/trainA"""
    b: str | None = None
    """folder of domain b's training images, in place of root/trainB"""
    channels: Literal[1, 3] = 3
    """1 for grey images, 3 for RGB; files of another kind are converted"""
    resize: int | None = None
    """scale images so that their shorter side is this, in pixels; null keeps their sizes"""
    size: int = 256
    """side of the random square crop that is trained on, in pixels"""
    flip: bool = True
    """mirror half of the crops from left to right"""
    zoom: float = 1.0
    """enlarge crops at random by up to this factor (1: never)"""
    jitter: float = 0.0
    """strength of random changes of brightness, contrast, saturation and hue, 0 to 1 (0: none)"""
    cache_gb: float = 4.0
    """memory for decoded images, in GB a process; domains that need more are read from disk at each use"""
    workers: int = 2
    """loader processes where images are read from disk at each use"""

    def __post_init__(self) -> None:
        at_least("data.size", self.size, 16)
        at_least("data.zoom", self.zoom, 1)
        within("data.jitter", self.jitter, 0, 1)
        at_least("data.cache_gb", self.cache_gb, 0)
        at_least("data.workers", self.workers, 0)
        if self.resize is not None:
            at_least("data.resize", self.resize, self.size)


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
        at_least("discriminator.width", self.width, 1)
        at_least("discriminator.layers", self.layers, 1)
        within("discriminator.kernel", self.kernel, 3, 7)
        at_least("discriminator.slope", self.slope, 0)
        at_least("discriminator.scales", self.scales, 1)
        within("discriminator.shared_layers", self.shared_layers, 0, self.layers + 1)


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
    regularizer: Literal["kl", "none"] = "kl"
    """what pulls q(z) towards N(0, I): the KL divergence, or nothing"""
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
        at_least("model.width", self.width, 1)
        at_least("model.downsamplings", self.downsamplings, 0)
        at_least("model.blocks", self.blocks, 1)
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
    perceptual: float = 0.0
    """weight of the domain-invariant VGG16 distance between an image and its translation"""

    def __post_init__(self) -> None:
        at_least("loss.gan", self.gan, 0)
        at_least("loss.kl", self.kl, 0)
        at_least("loss.reconstruction", self.reconstruction, 0)
        at_least("loss.cycle_kl", self.cycle_kl, 0)
        at_least("loss.cycle", self.cycle, 0)
        at_least("loss.perceptual", self.perceptual, 0)
        if self.gan == self.reconstruction == self.cycle == 0:
            raise ConfigError(
                "loss.gan, loss.reconstruction and loss.cycle: expected at least one above 0, got 0 for all"
            )


@dataclass(frozen=True)
class OptimConfig:
    """Adam, its schedule and the moving average of the weights."""

    lr: float = 1e-4
    """learning rate"""
    beta1: float = 0.5
    """Adam's β1"""
    beta2: float = 0.999
    """Adam's β2"""
    weight_decay: float = 1e-4
    """L2 penalty in Adam's gradient"""
    schedule: Literal["constant", "linear", "step", "cosine"] = "constant"
    """the learning rate's course: linear falls to 0 from decay_start on; step multiplies by step_factor every
    step_every steps; cosine falls to 0 over the whole training"""
    decay_start: int = 0
    """step at which the linear schedule begins to fall"""
    step_every: int = 100_000
    """steps between two falls of the step schedule"""
    step_factor: float = 0.5
    """factor of each fall of the step schedule"""
    ema: float = 0.999
    """decay of the exponential moving average of the translator's weights, which is the finished model (0: none)"""

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"optim.lr: expected a number above 0, got {self.lr}")
        fraction("optim.beta1", self.beta1)
        fraction("optim.beta2", self.beta2)
        fraction("optim.ema", self.ema)
        at_least("optim.weight_decay", self.weight_decay, 0)
        at_least("optim.decay_start", self.decay_start, 0)
        at_least("optim.step_every", self.step_every, 1)
        within("optim.step_factor", self.step_factor, 0, 1)


@dataclass(frozen=True)
class TrainConfig:
    """How long, in which batches, and what is written on the way."""

    steps: int = 100_000
    """training steps (one D step and one E+G step each)"""
    batch_size: int = 1
    """images of each domain a step, over all processes together"""
    accumulation: int = 1
    """parts that a process's share of the batch is taken in, to save memory; the result is the same"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """precision of the networks' arithmetic; auto is bf16 on a GPU that has it, else fp32"""
    log_every: int = 50
    """steps between two lines of metrics.jsonl"""
    sample_every: int = 1000
    """steps between two grids of sample images"""
    checkpoint_every: int = 5000
    """steps between two checkpoints"""
    keep: int = 2
    """how many checkpoints are kept, at least 2"""

    def __post_init__(self) -> None:
        at_least("train.steps", self.steps, 1)
        at_least("train.batch_size", self.batch_size, 1)
        at_least("train.accumulation", self.accumulation, 1)
        at_least("train.log_every", self.log_every, 1)
        at_least("train.sample_every", self.sample_every, 1)
        at_least("train.checkpoint_every", self.checkpoint_every, 1)
        at_least("train.keep", self.keep, 2)


@dataclass(frozen=True)
class RunConfig:
    """Where the run is written, and its seed."""

    output: str = "runs/unit"
    """the run's folder"""
    seed: int = 0
    """seed of the weights and of every random draw"""
    tracker: Literal["tensorboard", "wandb", "mlflow", "none"] = "tensorboard"
    """experiment tracker beside metrics.jsonl; wandb and mlflow must be installed"""


@dataclass(frozen=True)
class Config:
    """Everything that defines a training."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        stride = 1 << self.model.downsamplings
        if self.data.size % stride:
            raise ConfigError(
                f"data.size: expected a multiple of {stride} for model.downsamplings {self.model.downsamplings}, "
                f"got {self.data.size}"
            )
