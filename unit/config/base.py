"""The configuration of a run: typed, in YAML, each key also a command-line option (`--optim.lr 2e-4`).

Values are checked here, at the border; what is inside can rely on them.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from unit.text import one_line


class ConfigError(ValueError):
    """A wrong command or config: one line that says what was wrong, what was given and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


Precision = Literal["auto", "fp32", "bf16", "fp16"]
MAX_WIDTH = 2**20
"""The widest layer of a perceptron; with it the sizes of the weights still are numbers of 64 bits."""


def free_at_resume(default: Any, *, path: bool = False) -> Any:
    """A field whose key may change when a run is resumed, because it doesn't change what a step does.

    `path`: its value is a path or a list of paths; `~` is expanded, and a run's config.yaml has it absolute.
    """
    return field(default=default, metadata={"free_at_resume": True, "path": path})


def at_least(key: str, value: float, low: float) -> None:
    within(key, value, low, math.inf)


def within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isinf(value):
        allowed = f"at least {low}" if math.isinf(high) else f"{low} to {high}"
        raise ConfigError(f"{key}: expected {allowed}, got {value}")


def above_0(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}: expected a number above 0, got {value}")


def fraction(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{key}: expected at least 0 and below 1, got {value}")


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
    """the learning rate's schedule: linear falls to 0 from decay_start on; step multiplies by step_factor every
    step_every steps; cosine falls to 0 over the whole training"""
    warmup: int = 0
    """steps over which the learning rate rises to that of its schedule"""
    decay_start: int = 0
    """step at which the linear schedule begins to fall"""
    step_every: int = 100_000
    """steps between two falls of the step schedule"""
    step_factor: float = 0.5
    """factor of each fall of the step schedule"""
    ema: float = 0.999
    """decay of the exponential moving average of the model's weights, which is the finished model (0: none)"""

    def __post_init__(self) -> None:
        above_0("optim.lr", self.lr)
        fraction("optim.beta1", self.beta1)
        fraction("optim.beta2", self.beta2)
        fraction("optim.ema", self.ema)
        at_least("optim.weight_decay", self.weight_decay, 0)
        at_least("optim.warmup", self.warmup, 0)
        at_least("optim.decay_start", self.decay_start, 0)
        at_least("optim.step_every", self.step_every, 1)
        within("optim.step_factor", self.step_factor, 0, 1)


@dataclass(frozen=True)
class TrainConfig:
    """How long, in which batches, and what is written on the way."""

    steps: int = free_at_resume(100_000)
    """training steps (for UNIT one D step and one E+G step each)"""
    batch_size: int = 1
    """images per step (for UNIT, of each domain), over all processes together"""
    accumulation: int = 1
    """micro-batches that a process's share of the batch is split into, to save memory; the result is the same"""
    precision: Precision = "auto"
    """precision of the networks' arithmetic; auto is what accelerate launch says, else bf16 on a GPU or CPU that has it
    natively, else fp32"""
    deterministic: bool = False
    """on a GPU, use only algorithms that give the same bits each time, which are slower; on a CPU they all do"""
    log_every: int = free_at_resume(50)
    """steps between two lines of metrics.jsonl"""
    sample_every: int = free_at_resume(1000)
    """steps between two grids of sample images"""
    checkpoint_every: int = free_at_resume(5000)
    """steps between two checkpoints"""
    keep: int = free_at_resume(2)
    """how many checkpoints are kept, at least 2, beside the best one where there is validation"""
    compile: bool = False
    """torch.compile the networks, which makes a step on a GPU faster and its numbers differ by rounding; the first step
    takes minutes, and networks with dropout can't be compiled"""

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

    output: str = free_at_resume("runs/unit", path=True)
    """the run's folder"""
    seed: int = 0
    """seed of the weights and of every random draw"""
    tracker: Literal["tensorboard", "wandb", "mlflow", "none"] = free_at_resume("tensorboard")
    """experiment tracker, beside metrics.jsonl; wandb and mlflow must be installed"""
    project: str = free_at_resume("unit")
    """the tracker's project, or MLflow's experiment; the run is named after its folder"""


@dataclass(frozen=True)
class ValidateConfig:
    """What is measured on images that are not trained on, while it trains; the checkpoint with the best is kept."""

    every: int = free_at_resume(0)
    """steps between two validations (0: none)"""
    metric: str | None = free_at_resume(None)
    """the figure that says which checkpoint is the best: balanced, accuracy, or a metric that evaluate --metrics list
    names, with a row or a column of its table, or both: round_trip, bound/KL, maps/model/L2"""
    split: Literal["auto", "val", "train", "test"] = "auto"
    """on which images: val, those of root/valA and root/valB (of an autoencoder root/val, or what data.held_out sets
    aside); train, a share of the training images, which is then not trained on; test, the test images, whose figures
    are then of images that chose the best checkpoint; auto, val where there are any, else train"""
    share: float = 0.1
    """share of the training images that is set aside where there are no others, by a hash of their names"""
    images: int | None = None
    """how many images of each domain are validated on at most, by the same hash (null: 100 of a translator's, all of
    an autoencoder's)"""
    pairs: Literal["auto", "names", "none"] = "auto"
    """whether images that are set aside are pairs, which some figures need: names, where their names are the same;
    none; auto, as names of methods and data sets that are known to have pairs for training, else none"""

    def __post_init__(self) -> None:
        at_least("validate.every", self.every, 0)
        if not 0 < self.share < 1:
            raise ConfigError(f"validate.share: expected above 0 and below 1, got {self.share}")
        if self.images is not None:
            at_least("validate.images", self.images, 1)


@dataclass(frozen=True)
class Config:
    """Everything that defines a training. Each method adds its own sections to these."""

    method: ClassVar[str]
    """the method's name in a config"""
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validate: ValidateConfig = field(default_factory=ValidateConfig)
    run: RunConfig = field(default_factory=RunConfig)
