"""Batches of two domains, unpaired or paired, for translation.

A step's images are a function of (seed, domain, step, position in the global batch): domain d's n images are visited
in one random order after another, and image number k of the training, k = step · batch size + position, is number
k mod n of order k div n. Unpaired, the two domains' orders have nothing to do with each other; paired, both visit the
same pairs, and both sides of a pair share their crop and their mirroring. So the loader has no state, the order is the
same on any number of processes, and no batch is ever partial.
"""

import math
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from unit import draws
from unit.config.data import TwoDomainsConfig
from unit.data.augmentation import augment
from unit.data.batches import Batches, DataError, Shard
from unit.data.decoding import ImageError
from unit.data.domain import Choose, Domain, Reader, domain_of_files, is_list
from unit.data.images import center_square
from unit.data.sets.recipes import how_to_get
from unit.text import one_line

DRAWS_PER_IMAGE = 10
"""Uniform numbers that come with each image: two place its crop, the rest serve augmentation (augmentation.py)."""


class StoredBatch(NamedTuple):
    """A process's part of one step: crops, uint8 (B, C, size, size), their uniform draws, float32 (B, 10), and lines on
    images that could not be read any more."""

    x_a: Tensor
    x_b: Tensor
    u_a: Tensor
    u_b: Tensor
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class TranslationBatch:
    """The same, augmented.

    `x_a`, `x_b`: float (B, C, H, W) in [-1, 1]; `step` counts from 0; `positions` are the images' places in the
    global batch; `seed` is the run's.
    """

    x_a: Tensor
    x_b: Tensor
    step: int
    positions: range
    seed: int

    def normals(self, shape: tuple[int, ...], *purpose: str) -> Tensor:
        """N(0, 1) numbers for each image, a function of (seed, purpose, step, position): (B, *shape)."""
        device = self.x_a.device
        return draws.normals(shape, self.seed, *purpose, self.step, positions=self.positions, device=device)

    def masks(self, purpose: str) -> Callable[[tuple[int, ...], str], Tensor]:
        """What `dropping` draws masks from, in a network that takes these images, or several batches of them at once:
        a function of (seed, purpose, layer, call, step, position)."""

        def draw(shape: tuple[int, ...], key: str) -> Tensor:
            parts = range(shape[0] // len(self.positions))
            return torch.cat([self.normals(shape[1:], "dropout", purpose, key, str(part)) for part in parts])

        return draw


def training_folders(config: TwoDomainsConfig) -> tuple[list[str], list[str]]:
    """Domain a's and b's training folders or lists: data.a and data.b, or root/trainA and root/trainB."""
    folders = []
    for domain, given in (("a", config.a), ("b", config.b)):
        if given is None and config.root is None:
            raise DataError(f"data.{domain}: no folder given; set data.root, or data.a and data.b")
        default = str(Path(str(config.root)).expanduser() / f"train{domain.upper()}")
        folders.append([default] if given is None else [given] if isinstance(given, str) else list(given))
    for path in (Path(folder).expanduser() for folder in folders[0] + folders[1]):
        if not path.is_dir() and not is_list(path):
            hint = how_to_get(config.root) or "data.root must hold trainA and trainB, or set data.a and data.b"
            raise DataError(f"data: no folder {path}; {hint}")
    return folders[0], folders[1]


def open_domains(config: TwoDomainsConfig) -> tuple[Domain, Domain]:
    """Both domains' images, decoded into memory as far as the budget goes; raises DataError or FileNotFoundError."""
    folders_a, folders_b = training_folders(config)
    read_a = Reader(config.channels, config.resize, config.size)
    read_b = Reader(config.channels_of_b, config.resize, config.size)
    a = domain_of_files(folders_a, read_a, budget=config.cache_gb * 1e9)
    b = domain_of_files(folders_b, read_b, budget=config.cache_gb * 1e9 - a.bytes_in_memory)
    return a, b


def open_split(
    config: TwoDomainsConfig, split: Literal["val", "test"], choose: Choose | None = None
) -> dict[str, Domain]:
    """The images of root/valA and root/valB, or of testA and testB, in memory: those that `choose` picks from their
    names, or all. No domains where there are no such folders; raises DataError where there is one of the two."""
    if config.root is None:
        return {}
    folders = {domain: Path(config.root).expanduser() / f"{split}{domain.upper()}" for domain in "ab"}
    missing = [folder for folder in folders.values() if not folder.is_dir()]
    if len(missing) == 2:
        return {}
    if missing:
        raise DataError(f"data: no folder {missing[0]}; expected {split}A and {split}B, or neither")
    channels = {"a": config.channels, "b": config.channels_of_b}
    return {
        domain: domain_of_files(
            str(folder), Reader(channels[domain], config.resize, config.size), budget=math.inf, choose=choose
        )
        for domain, folder in folders.items()
    }


def check_images(name: str, domain: Domain, channels: int, size: int) -> None:
    """Raise DataError for images in memory that the config is not for; files are checked as they are read."""
    shapes = {tuple(domain.tensor.shape[1:])} if isinstance(domain.images, Tensor) else set()
    if isinstance(domain.images, list):
        shapes = {tuple(image.shape) for image in domain.images}
    for n, height, width in shapes:
        if n != channels:
            raise DataError(f"images of domain {name}: expected {channels} channels, as data.channels says, got {n}")
        if min(height, width) < size:
            raise DataError(f"images of domain {name}: expected at least data.size {size} pixels, got {width}×{height}")


class TwoDomainBatches(Batches[StoredBatch, TranslationBatch]):
    """One process's micro-batches of two domains: each holds the images at `shard.positions(number)` of its step."""

    def __init__(self, a: Domain, b: Domain, config: TwoDomainsConfig, shard: Shard) -> None:
        check_images("a", a, config.channels, config.size)
        check_images("b", b, config.channels_of_b, config.size)
        self.a, self.b, self.config, self.shard = a, b, config, shard
        self.fingerprints = {"a": a.fingerprint, "b": b.fingerprint}
        self.summary = f"{len(a)} {'image' if len(a) == 1 else 'images'} in a, {len(b)} in b"
        self.complaints = a.complaints + b.complaints
        self.workers = 0 if a.in_memory and b.in_memory else config.workers
        self.images_per_step = 2 * shard.batch_size
        self.named: set[str] = set()

    @abstractmethod
    def __getitem__(self, number: int) -> StoredBatch:
        """The micro-batch's crops and draws."""

    def prepare(self, stored: StoredBatch, number: int, device: torch.device) -> TranslationBatch:
        on_gpu = device.type == "cuda"
        for line in stored.broken:
            if line not in self.named:
                self.named.add(line)
                print(f"{one_line(line)}; another image takes its place", file=sys.stderr, flush=True)

        def augmented(x: Tensor, u: Tensor) -> Tensor:
            x, u = (tensor.to(device, non_blocking=True) for tensor in (x, u))
            y = augment(x, u, flip=self.config.flip, zoom=self.config.zoom, jitter=self.config.jitter)
            return y.contiguous(memory_format=torch.channels_last) if on_gpu else y

        x_a, x_b = augmented(stored.x_a, stored.u_a), augmented(stored.x_b, stored.u_b)
        return TranslationBatch(x_a, x_b, self.shard.step(number), self.shard.positions(number), self.shard.seed)

    def uniforms(self, key: str, step: int, positions: range) -> Tensor:
        """Each image's uniform draws: float32 (B, 10)."""
        seed = self.shard.seed
        return torch.stack([draws.uniforms(DRAWS_PER_IMAGE, seed, "augment", key, step, p) for p in positions])

    def crops(self, domain: Domain, indices: list[int], uniforms: Tensor, broken: list[str]) -> Tensor:
        """The images' random squares: uint8 (B, C, size, size). `broken` gets a line on each that can't be read."""
        size, crops = self.config.size, []
        for index, u in zip(indices, uniforms, strict=True):
            image = readable(domain, index, broken)
            top, left = (int(u[axis] * (side - size + 1)) for axis, side in enumerate(image.shape[1:]))
            crops.append(image[:, top : top + size, left : left + size])
        return torch.stack(crops)

    def centers(self, count: int) -> tuple[Tensor, Tensor]:
        """The centers of a few images of each domain, evenly spaced in the folder: uint8 (count, C, size, size)."""
        return center_crops(self.a, count, self.config.size), center_crops(self.b, count, self.config.size)


class UnpairedBatches(TwoDomainBatches):
    """Each domain in an order of its own."""

    def __getitem__(self, number: int) -> StoredBatch:
        step, positions = self.shard.step(number), self.shard.positions(number)
        u_a, u_b = (self.uniforms(key, step, positions) for key in "ab")
        broken: list[str] = []
        i_a = self.shard.indices(len(self.a), "a", step, positions)
        i_b = self.shard.indices(len(self.b), "b", step, positions)
        x_a, x_b = self.crops(self.a, i_a, u_a, broken), self.crops(self.b, i_b, u_b, broken)
        return StoredBatch(x_a, x_b, u_a, u_b, tuple(broken))


class PairedBatches(TwoDomainBatches):
    """Image i of domain a belongs to image i of domain b: they have the same name and size, and share every draw.

    An image whose partner can't be used is left out. Raises DataError where names or sizes differ.
    """

    def __init__(self, a: Domain, b: Domain, config: TwoDomainsConfig, shard: Shard) -> None:
        a, b = without_partners_of(a, b.left_out, "a"), without_partners_of(b, a.left_out, "b")
        super().__init__(a, b, config, shard)
        keys_a, keys_b = (keys(domain.names) for domain in (a, b))
        if keys_a != keys_b:
            lone = sorted(set(keys_a) ^ set(keys_b))
            what = f"{lone[0]} is in one of them only" if lone else "their names come in another order"
            raise DataError(f"data: pairs need the same names in both domains; {len(a)} in a, {len(b)} in b, {what}")
        for name, x, y in ((name, a[i], b[i]) for i, name in enumerate(keys_a)):
            if x.shape[1:] != y.shape[1:]:
                raise DataError(
                    f"data: the pair {name!r} has {x.shape[2]}×{x.shape[1]} pixels in a, {y.shape[2]}×{y.shape[1]} in b"
                )

    def __getitem__(self, number: int) -> StoredBatch:
        step, positions = self.shard.step(number), self.shard.positions(number)
        u = self.uniforms("pair", step, positions)
        indices = self.shard.indices(len(self.a), "pair", step, positions)
        broken: list[str] = []
        indices = [readable_pair(self.a, self.b, index, broken) for index in indices]
        x_a, x_b = self.crops(self.a, indices, u, broken), self.crops(self.b, indices, u, broken)
        return StoredBatch(x_a, x_b, u, u, tuple(broken))


def readable(domain: Domain, index: int, broken: list[str]) -> Tensor:
    """The image of that number, or, where it broke or vanished since the start, the next that can be read; `broken`
    gets a line on each that can't. Raises DataError where there is none."""
    for number in range(len(domain)):
        try:
            return domain[(index + number) % len(domain)]
        except (ImageError, DataError) as error:
            broken.append(str(error))
    raise DataError(f"no image can be read any more, the first: {broken[0]}")


def readable_pair(a: Domain, b: Domain, index: int, broken: list[str]) -> int:
    """The same for a pair, of which both must be readable: its number."""
    for number in range(len(a)):
        place = (index + number) % len(a)
        try:
            if a[place].shape[1:] == b[place].shape[1:]:
                return place
        except (ImageError, DataError) as error:
            broken.append(str(error))
    raise DataError("no pair can be read any more")


def keys(names: Sequence[str]) -> list[str]:
    """What the names of pairs have in common: all but their suffixes."""
    return [Path(name).with_suffix("").as_posix() for name in names]


def without_partners_of(domain: Domain, left_out: Sequence[str], name: str) -> Domain:
    """The domain of this name without the partners of those left out on the other side, and with a line on them."""
    lone = set(keys(left_out))
    partners = [own for own, key in zip(domain.names, keys(domain.names), strict=True) if key in lone]
    if not partners:
        return domain
    if len(partners) == len(domain):
        raise DataError(f"data: no pair can be used; none of the {len(domain)} images of {name} has its partner")
    count = "1 image" if len(partners) == 1 else f"{len(partners)} images"
    line = one_line(f"{count} of {name} left out for want of a partner: {', '.join(map(repr, partners))}")
    return replace(domain.without(partners), complaints=[*domain.complaints, line])


def center_crops(domain: Domain, count: int, size: int) -> Tensor:
    """The centers of a few images, evenly spaced in their order; the first again where there are fewer."""
    crops = []
    for number in range(min(count, len(domain))):
        image = readable(domain, number * len(domain) // min(count, len(domain)), [])
        crops.append(center_square(image, size))
    return torch.stack(crops + crops[:1] * (count - len(crops)))
