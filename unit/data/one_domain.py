"""One domain of small square images: MNIST, USPS, or a folder of images of one's own; training and test images."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from unit import draws
from unit.config.data import SIZES, ImagesConfig
from unit.data.batches import DataError
from unit.data.decoding import Decoded
from unit.data.digits import MNIST_FILES, USPS_FILE, Digits, read_digits
from unit.data.domain import Domain, Reader, array_domain, domain_of_files
from unit.data.images import center_square, find_images

Split = Literal["train", "val", "held_out", "test"]
Part = Literal["train", "val", "test"]
"""The folders that images may lie in."""
Source = Literal["mnist", "usps", "folder"]


def open_images(config: ImagesConfig, split: Split) -> Domain:
    """The images to train on, to choose hyper-parameters on, or to take figures of, in memory.

    `held_out` are the last training images, which `train` then lacks; `val` those of a folder of their own, which
    digits have not. Raises DataError.
    """
    source = detect_source(config)
    part: Part = "train" if split == "held_out" else split
    if source == "folder":
        domain = open_folder(config, part)
    elif part == "val":
        raise DataError(f"{config.root}: {source} has no images to validate on but those that data.held_out sets aside")
    else:
        domain = open_digits(config, source, part)
    if split in ("val", "test"):
        return domain
    if config.held_out >= len(domain):
        raise DataError(f"data.held_out: expected fewer than the {len(domain)} training images, got {config.held_out}")
    kept = len(domain) - config.held_out
    if split == "held_out" and not config.held_out:
        raise DataError("no images are held out: data.held_out is 0, and the model was trained on all")
    return domain.part(0, kept) if split == "train" else domain.part(kept, len(domain))


def detect_source(config: ImagesConfig) -> Source:
    """What lies in data.root, by its files; what data.name says otherwise."""
    if config.name != "auto":
        return config.name
    root = Path(config.root).expanduser()
    if root.suffix == ".h5" or (root / USPS_FILE).exists():
        return "usps"
    names = [name for pair in MNIST_FILES.values() for name in pair]
    places = [
        folder / f"{name}{suffix}"
        for folder in (root, root / "MNIST" / "raw")
        for name in names
        for suffix in ("", ".gz")
    ]
    if not root.is_dir() or any(place.exists() for place in places):
        return "mnist"
    return "folder" if find_images(root) else "mnist"


def open_digits(config: ImagesConfig, source: Source, part: Literal["train", "test"]) -> Domain:
    assert source != "folder"
    digits: Digits = read_digits(Path(config.root).expanduser(), source, part, download=config.download)
    height, width = digits.images.shape[-2:]
    size = config.size or SIZES[source]
    if (height, width) != (SIZES[source], SIZES[source]) and config.size is None:
        raise DataError(f"{config.root}: images of {height}×{width} pixels; {source}'s have {size}×{size}")
    images = digits.images
    if (height, width) != (size, size):
        images = torch.nn.functional.interpolate(images, size=(size, size), mode="bicubic", antialias=True)
    if config.channels == 3:
        images = images.expand(-1, 3, -1, -1)
    return array_domain(images, digits.labels, names=[str(i) for i in range(len(images))], classes=10)


def list_splits(config: ImagesConfig) -> list[Split]:
    """The splits that the data has, those that were not trained on first."""
    root = Path(config.root).expanduser()
    tested = detect_source(config) != "folder" or bool(split_folders(root, "test"))
    splits: dict[Split, bool] = {"test": tested, "held_out": config.held_out > 0, "train": True}
    return [split for split, there in splits.items() if there]


def validation_split(config: ImagesConfig) -> Split | None:
    """Which images are there to validate on: those of a folder beside that of the training images, or those that
    data.held_out sets aside; None where there are neither."""
    root = Path(config.root).expanduser()
    if detect_source(config) == "folder" and split_folders(root, "train") and split_folders(root, "val"):
        return "val"
    return "held_out" if config.held_out else None


def split_folders(root: Path, part: Part) -> list[Path]:
    """Where a split's images lie, where they are there: root/train, or, of two domains, root/trainA and root/trainB."""
    if (root / part).is_dir():
        return [root / part]
    both = [root / f"{part}{domain}" for domain in "AB"]
    return both if all(folder.is_dir() for folder in both) else []


def open_folder(config: ImagesConfig, part: Part) -> Domain:
    """Images of root/train, root/val or root/test, or of root itself for training; a folder below for each class, or
    none. Of two domains, trainA and trainB, each is a class."""
    root = Path(config.root).expanduser()
    folders = split_folders(root, part)
    if not folders and part != "train":
        raise DataError(f"{root}: no {part} images; expected them in {root / part}, or some set aside by data.held_out")
    size, channels = config.size or SIZES["folder"], config.channels or 3
    sources = list(map(str, folders or [root]))
    found = domain_of_files(sources, Square(Reader(channels, size, size)), budget=float("inf"))
    assert isinstance(found.images, list)
    # Images of several folders have names that begin with their folder's number.
    classes = ["0", "1"] if len(folders) > 1 else class_names((split_folders(root, "train") or [root])[0])
    labels = torch.tensor([find_class(name, classes, Path(sources[0])) for name in found.names]) if classes else None
    images, names = torch.stack(found.images), found.names
    if part == "train" and config.held_out:  # which are to be of every class
        order = draws.permutation(len(images), 0, "held out")
        images, names = images[order], [names[i] for i in order]
        labels = None if labels is None else labels[order]
    return array_domain(images, labels, names=names, classes=len(classes), complaints=found.complaints)


def class_names(folder: Path) -> list[str]:
    """The classes of training images, sorted: their folders, if all lie in one and there are at least two."""
    inside = [path.relative_to(folder).parts for path in find_images(folder)]
    classes = sorted({parts[0] for parts in inside})
    return classes if len(classes) > 1 and all(len(parts) > 1 for parts in inside) else []


def find_class(name: str, classes: list[str], folder: Path) -> int:
    """The number of an image's class; raises DataError for an image in another folder."""
    first = Path(name).parts[0]
    if first not in classes:
        raise DataError(f"{folder}: {name!r} is in none of the training images' folders, {', '.join(classes)}")
    return classes.index(first)


class Square:
    """Reads an image and crops its center to a square, uint8 (C, size, size)."""

    def __init__(self, read: Reader) -> None:
        self.read = read

    def __call__(self, path: Path) -> Decoded:
        decoded = self.read(path)
        return replace(decoded, pixels=center_square(decoded.pixels, self.read.size))
