"""The `data` sections: where the images lie and how a batch is made of them."""

from dataclasses import dataclass
from typing import Literal

from unit.config.base import ConfigError, at_least, free_at_resume, within

Channels = Literal[1, 3]
Folders = str | list[str]
"""A folder of images, a text file that lists images, or a list of such folders and files."""


@dataclass(frozen=True)
class TwoDomainsConfig:
    """Two domains of images and how a batch is made of them."""

    root: str | None = free_at_resume(None, path=True)
    """folder that holds trainA and trainB (and, for evaluation, testA and testB)"""
    a: Folders | None = free_at_resume(None, path=True)
    """domain a's training images, in place of root/trainA: a folder, a .txt file of their paths, or a list of these"""
    b: Folders | None = free_at_resume(None, path=True)
    """domain b's training images in place of root/trainB, likewise"""
    channels: Channels = 3
    """1 for grayscale images, 3 for RGB; files of another kind are converted"""
    channels_b: Channels | None = None
    """domain b's channels, where they are not domain a's (null: the same)"""
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
    cache_gb: float = free_at_resume(4.0)
    """memory for decoded images, in GB per process; domains that need more are read from disk at each use"""
    workers: int = free_at_resume(2)
    """loader processes where images are read from disk at each use"""

    def __post_init__(self) -> None:
        at_least("data.size", self.size, 16)
        at_least("data.zoom", self.zoom, 1)
        within("data.jitter", self.jitter, 0, 1)
        at_least("data.cache_gb", self.cache_gb, 0)
        at_least("data.workers", self.workers, 0)
        if self.resize is not None:
            at_least("data.resize", self.resize, self.size)
        for key, folders in (("a", self.a), ("b", self.b)):
            if folders is not None and not all([folders, *([folders] if isinstance(folders, str) else folders)]):
                raise ConfigError(f"data.{key}: expected a folder, a .txt file, or a list of these, got {folders!r}")

    @property
    def channels_of_b(self) -> Channels:
        """Domain b's channels."""
        return self.channels if self.channels_b is None else self.channels_b


@dataclass(frozen=True)
class LabeledDomainConfig(TwoDomainsConfig):
    """Two domains of images, of which one has labels."""

    source: Literal["a", "b"] = "a"
    """the domain whose images have labels, each in a folder of its class (trainA/7/…); the other's are not looked at"""
    warp: float = 0.0
    """strength of random turns, shears, stretches and shifts: the standard deviation of angle (in radians) and shear;
    black comes in from outside (0: none)"""
    invert: float = 0.0
    """share of the images, of both domains, that are shown as negatives"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("data.warp", self.warp, 0, 1)
        within("data.invert", self.invert, 0, 1)


SIZES = {"mnist": 28, "usps": 16, "folder": 32}
"""The sides of images, in pixels, where data.size is null."""


@dataclass(frozen=True)
class ImagesConfig:
    """One domain of small square images, in memory: MNIST, USPS, or a folder of images of one's own."""

    name: Literal["auto", "mnist", "usps", "folder"] = "auto"
    """what lies in root: MNIST's files, USPS's, or images; auto looks, and takes an empty root for MNIST's"""
    root: str = free_at_resume("datasets/mnist", path=True)
    """folder of MNIST's four idx files (gzipped or not), of usps.h5, or of images: train/ and test/ or the images
    themselves, in a folder for each class or in none; or trainA, trainB, testA and testB, two classes"""
    size: int | None = None
    """side of the images, in pixels; those of a folder are scaled to it and cropped square (null: 28 for MNIST, 16 for
    USPS, 32 for a folder)"""
    channels: Channels | None = None
    """1 for grayscale, 3 for RGB (null: 1 for digits, 3 for a folder)"""
    download: bool = free_at_resume(True)
    """get MNIST into root where it is not there"""
    held_out: int = 0
    """how many training images are set aside, to choose hyper-parameters on (evaluate --split held_out): the last ones,
    or of a folder, whose images are in the order of their names, some drawn at random"""

    def __post_init__(self) -> None:
        at_least("data.held_out", self.held_out, 0)
        if self.size is not None:
            within("data.size", self.size, 4, 1024)


@dataclass(frozen=True)
class LabeledImagesConfig(ImagesConfig):
    """Images of which some have labels: all are trained on, and beside them, once more, those that keep theirs."""

    labeled: int | Literal["all"] = 100
    """how many training images keep their labels, as many of each class (0: none), or all"""
    labeled_batch: int = 100
    """labeled images per step, beside train.batch_size images without labels"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labeled != "all":
            at_least("data.labeled", self.labeled, 0)
        at_least("data.labeled_batch", self.labeled_batch, 1)
