"""The `data` sections: where the images lie and how a batch is made of them."""

from dataclasses import dataclass
from typing import Literal

from unit.config.base import ConfigError, at_least, within


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
class DigitsConfig:
    """Handwritten digits, in memory."""

    name: Literal["mnist", "usps"] = "mnist"
    """which digits: MNIST (28×28) or USPS (16×16)"""
    root: str = "datasets/mnist"
    """folder of MNIST's four idx files, gzipped or not, or of usps.h5"""
    download: bool = True
    """get MNIST into root where it is not there"""
    held_out: int = 0
    """how many of the last training images are set aside, to choose hyper-parameters on (evaluate --split held_out)"""

    def __post_init__(self) -> None:
        at_least("data.held_out", self.held_out, 0)

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return 28 if self.name == "mnist" else 16


@dataclass(frozen=True)
class LabelledDigitsConfig(DigitsConfig):
    """Digits of which some have labels: every image is trained on, and beside them those that keep theirs."""

    labelled: int = 100
    """how many training images keep their labels, as many of each digit (0: none)"""
    labelled_batch: int = 100
    """labelled images a step, beside train.batch_size images without labels"""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("data.labelled", self.labelled, 0)
        at_least("data.labelled_batch", self.labelled_batch, 1)
        if self.labelled % 10:
            raise ConfigError(f"data.labelled: expected as many of each of 10 digits, got {self.labelled}")
