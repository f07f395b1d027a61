"""Two folders of images, drawn from without pairing.

A step's images are a function of (seed, domain, step, position in the global batch): domain d's n images are visited
in one random order after another, and image number k of the training, k = step · batch size + position, is number
k mod n of order k div n. The two domains' orders have nothing to do with each other. So the loader has no state, the
order is the same on any number of processes, and no batch is ever partial.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from unit import draws
from unit.config.data import DataConfig
from unit.data.augmentation import augment
from unit.data.batches import Batches, Share
from unit.data.decoding import ImageError, read_image
from unit.data.images import find_images
from unit.text import one_line

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


@dataclass(frozen=True)
class Batch:
    """The same, augmented.

    `x_a`, `x_b`: float (B, C, H, W) in [-1, 1]; `step` counts from 0; `positions` are the images' places in the
    global batch; `seed` is the run's.
    """

    x_a: Tensor
    x_b: Tensor
    step: int
    positions: range
    seed: int


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
                f"{str(path)!r}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of data.size "
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
    def complaints(self) -> list[str]:
        """A line on how many files were left out, and one on each of them."""
        if not self.left_out:
            return []
        count = "1 file" if len(self.left_out) == 1 else f"{len(self.left_out)} files"
        head = f"{one_line(self.folder)}: {count} left out that can't be decoded:"
        return [head, *(f"  {one_line(error)}" for error in self.left_out)]

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
        first = f", the first: {left_out[0]}" if left_out else ""
        raise DataError(
            f"{folder}: no image that can be used; {len(found)} found by name, {len(left_out)} of them can't be decoded"
            + first
        )
    return ImageFolder(folder, paths, images, left_out, read)


def open_folders(config: DataConfig, share: Share) -> "UnpairedBatches":
    """Both domains' images, decoded into memory as far as the budget goes, and the files that were left out."""
    folder_a, folder_b = training_folders(config)
    a = open_folder(folder_a, config, budget=config.cache_gb * 1e9)
    b = open_folder(folder_b, config, budget=config.cache_gb * 1e9 - a.bytes_in_memory)
    return UnpairedBatches(a, b, config, share)


class UnpairedBatches(Batches[UnpairedBatch, Batch]):
    """One process's parts of the batches: each holds the images at `share.positions(part)` of its step."""

    def __init__(self, a: ImageFolder, b: ImageFolder, config: DataConfig, share: Share) -> None:
        self.a, self.b, self.config, self.share = a, b, config, share
        self.fingerprints = {"a": a.fingerprint, "b": b.fingerprint}
        self.summary = f"{len(a)} {'image' if len(a) == 1 else 'images'} in a, {len(b)} in b"
        self.left_out = a.complaints + b.complaints
        self.workers = config.workers if a.images is None or b.images is None else 0
        self.images_a_step = 2 * share.batch_size

    def __getitem__(self, part: int) -> UnpairedBatch:
        step, positions = self.share.step(part), self.share.positions(part)
        x_a, u_a = self.draw("a", self.a, step, positions)
        x_b, u_b = self.draw("b", self.b, step, positions)
        return UnpairedBatch(x_a, x_b, u_a, u_b)

    def prepare(self, stored: UnpairedBatch, part: int, device: torch.device) -> Batch:
        on_gpu = device.type == "cuda"

        def augmented(x: Tensor, u: Tensor) -> Tensor:
            x, u = (tensor.to(device, non_blocking=True) for tensor in (x, u))
            y = augment(x, u, flip=self.config.flip, zoom=self.config.zoom, jitter=self.config.jitter)
            return y.contiguous(memory_format=torch.channels_last) if on_gpu else y

        x_a, x_b = augmented(stored.x_a, stored.u_a), augmented(stored.x_b, stored.u_b)
        return Batch(x_a, x_b, self.share.step(part), self.share.positions(part), self.share.seed)

    def draw(self, domain: str, folder: ImageFolder, step: int, positions: range) -> tuple[Tensor, Tensor]:
        """The domain's crops at these positions, and each one's uniform draws."""
        crops, uniforms = [], []
        size, seed = self.config.size, self.share.seed
        for position, index in zip(positions, self.share.visited(len(folder), domain, step, positions), strict=True):
            u = draws.uniforms(DRAWS_PER_IMAGE, seed, "augment", domain, step, position)
            image = folder[index]
            top, left = (int(u[axis] * (side - size + 1)) for axis, side in enumerate(image.shape[1:]))
            crops.append(image[:, top : top + size, left : left + size])
            uniforms.append(u)
        return torch.stack(crops), torch.stack(uniforms)

    def centres(self, count: int) -> tuple[Tensor, Tensor]:
        """The centres of a few images of each domain, evenly spaced in the folder: uint8 (count, C, size, size)."""
        return self.centres_of(self.a, count), self.centres_of(self.b, count)

    def centres_of(self, folder: ImageFolder, count: int) -> Tensor:
        size = self.config.size
        crops = []
        for number in range(min(count, len(folder))):
            image = folder[number * len(folder) // min(count, len(folder))]
            top, left = ((side - size) // 2 for side in image.shape[1:])
            crops.append(image[:, top : top + size, left : left + size])
        return torch.stack(crops + crops[:1] * (count - len(crops)))
