"""Two folders of images, drawn from without pairing.

A step's images are a function of (seed, domain, step, position in the global batch): domain d's n images are visited
in one random order after another, and image number k of the training, k = step · batch size + position, is number
k mod n of order k div n. The two domains' orders have nothing to do with each other. So the loader has no state, the
order is the same on any number of processes, and no batch is ever partial.
"""

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from unit import draws
from unit.config import DataConfig
from unit.data.images import ImageError, find_images, read_image

DRAWS_PER_IMAGE = 10
"""Uniform numbers that come with each image: two place its crop, the rest serve augmentation (augmentation.py)."""


DECODED_AT_ONCE = 32


class DataError(ValueError):
    """Data that can't be trained on: one line that names the folder or file."""


class UnpairedBatch(NamedTuple):
    """A process's part of one step: crops, uint8 (B, C, size, size), and their uniform draws, float32 (B, 10)."""

    x_a: Tensor
    x_b: Tensor
    u_a: Tensor
    u_b: Tensor


def training_folders(config: DataConfig) -> tuple[Path, Path]:
    """Domain a's and b's training folders: data.a and data.b, or root/trainA and root/trainB."""
    folders = []
    for domain, given in (("a", config.a), ("b", config.b)):
        if given is None and config.root is None:
            raise DataError(f"data.{domain}: no folder given; set data.root, or data.a and data.b")
        folders.append(Path(given) if given is not None else Path(str(config.root)) / f"train{domain.upper()}")
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"data: no folder {folder}; data.root must hold trainA and trainB, or set data.a and data.b"
            )
    return folders[0], folders[1]


@dataclass(frozen=True)
class Reader:
    """From a file to the image that crops are taken from: uint8 (C, H, W), sides at least data.size."""

    config: DataConfig

    def __call__(self, path: Path) -> Tensor:
        image = read_image(path, channels=self.config.channels, resize=self.config.resize)
        if min(image.shape[1:]) < self.config.size:
            raise DataError(
                f"{path}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of data.size "
                f"{self.config.size}; lower data.size or set data.resize"
            )
        return image


@dataclass
class ImageFolder:
    """The images of one domain: uint8 (C, H, W), shorter side `resize` where that is set.

    `images` holds them decoded, or is None where they exceed the memory budget and are read at each use.
    """

    folder: Path
    paths: list[Path]
    images: list[Tensor] | None
    left_out: list[ImageError]
    read: Reader

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.paths[index]) if self.images is None else self.images[index]

    @property
    def bytes_in_memory(self) -> int:
        return sum(image.numel() for image in self.images or ())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files' names: what a resumed run must find again."""
        names = "\n".join(path.relative_to(self.folder).as_posix() for path in self.paths)
        return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()


def open_folder(folder: Path, config: DataConfig, *, budget: float) -> ImageFolder:
    """Find a domain's images, decode each once, and keep them in memory if all together need at most `budget` bytes.

    Each is decoded in any case, so that what is left out does not depend on the budget and nothing goes wrong later.
    Files that can't be decoded are left out and listed in `left_out`. Raises DataError where none is left, and for an
    image smaller than the crop.
    """
    read = Reader(config)

    def attempt(path: Path) -> Tensor | ImageError:
        try:
            return read(path)
        except ImageError as error:
            return error

    found = find_images(folder)
    paths: list[Path] = []
    images: list[Tensor] | None = []
    left_out: list[ImageError] = []
    used = 0
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        for start in range(0, len(found), DECODED_AT_ONCE):
            part = found[start : start + DECODED_AT_ONCE]
            for path, image in zip(part, pool.map(attempt, part), strict=True):
                if isinstance(image, ImageError):
                    left_out.append(image)
                    continue
                paths.append(path)
                used += image.numel()
                if used > budget:
                    images = None
                elif images is not None:
                    images.append(image)
    if not paths:
        raise DataError(
            f"{folder}: no image that can be used; {len(found)} found by name, {len(left_out)} of them can't be decoded"
        )
    return ImageFolder(folder, paths, images, left_out, read)


@dataclass
class UnpairedBatches(Dataset[UnpairedBatch]):
    """One process's parts of the batches, indexed by part: step · accumulation + its number in the step.

    Each part holds the images at `positions(part)` of the step's global batch.
    """

    a: ImageFolder
    b: ImageFolder
    size: int
    seed: int
    batch_size: int
    accumulation: int = 1
    rank: int = 0
    processes: int = 1

    def positions(self, part: int) -> range:
        """Which images of the step's global batch these are."""
        count = self.batch_size // (self.processes * self.accumulation)
        start = (self.rank * self.accumulation + part % self.accumulation) * count
        return range(start, start + count)

    def __getitem__(self, part: int) -> UnpairedBatch:
        step = part // self.accumulation
        x_a, u_a = self.draw("a", self.a, step, self.positions(part))
        x_b, u_b = self.draw("b", self.b, step, self.positions(part))
        return UnpairedBatch(x_a, x_b, u_a, u_b)

    def draw(self, domain: str, folder: ImageFolder, step: int, positions: range) -> tuple[Tensor, Tensor]:
        """The domain's crops at these positions, and each one's uniform draws."""
        crops, uniforms = [], []
        for position in positions:
            u = draws.uniforms(DRAWS_PER_IMAGE, self.seed, "augment", domain, step, position)
            image = folder[self.index(domain, len(folder), step * self.batch_size + position)]
            top, left = (int(u[axis] * (side - self.size + 1)) for axis, side in enumerate(image.shape[1:]))
            crops.append(image[:, top : top + self.size, left : left + self.size])
            uniforms.append(u)
        return torch.stack(crops), torch.stack(uniforms)

    def index(self, domain: str, count: int, number: int) -> int:
        """Which of the domain's `count` images is image `number` of the training."""
        epoch, place = divmod(number, count)
        return int(order(count, self.seed, domain, epoch)[place])


@functools.lru_cache(maxsize=4)
def order(count: int, seed: int, domain: str, epoch: int) -> Tensor:
    """The random order in which an epoch visits a domain's images: int64 (count,)."""
    return draws.permutation(count, seed, "order", domain, epoch)
