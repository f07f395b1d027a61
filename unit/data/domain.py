"""A domain: the images of one kind, from folders, lists of files or arrays; with labels or without."""

import hashlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unit.config.data import Channels
from unit.data.batches import DataError
from unit.data.decoding import Decoded, ImageError, decode_image
from unit.data.images import find_files
from unit.data.remarks import Notes, files, skipped_line
from unit.text import one_line

DECODED_AT_ONCE = 32
SAMPLED_BYTES = 4096
MANY = 500
"""From how many images on a line says that they are being read, where there is no terminal."""

T = TypeVar("T")

Read = Callable[[Path], Decoded]
"""From a file to its image; raises ImageError for one that can't be used."""
Choose = Callable[[list[str]], Collection[str]]
"""Some of the names of images."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Images by number, uint8 (C, H, W) each: `domain[i]`.

    `images` are a tensor (N, C, H, W), or a list of images of several sizes, or what reads them from their files at
    each use. `names` are theirs: paths below their folder, or numbers. `labels` are int64 (N,), or None, of `classes`
    classes. `fingerprint` is a SHA-256 of what a resumed run must find again. `complaints` are lines on files that
    can't be used, and `left_out` the names of those that were found.
    """

    images: "Tensor | list[Tensor] | FilesOnDisk"
    names: list[str]
    fingerprint: str
    labels: Tensor | None = None
    classes: int = 0
    complaints: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]

    @property
    def tensor(self) -> Tensor:
        """All images as one tensor, uint8 (N, C, H, W), where they are one."""
        assert isinstance(self.images, Tensor)
        return self.images

    @property
    def class_labels(self) -> Tensor:
        """The labels, int64 (N,); zeros where there are none."""
        return torch.zeros(len(self), dtype=torch.int64) if self.labels is None else self.labels

    def part(self, start: int, stop: int) -> "Domain":
        """Images start to stop − 1 of a domain that is one tensor; it ends where the images end, as a slice does."""
        return array_domain(
            self.tensor[start:stop],
            None if self.labels is None else self.labels[start:stop],
            names=self.names[start:stop],
            classes=self.classes,
            complaints=self.complaints,
        )

    def without(self, names: Collection[str]) -> "Domain":
        """The domain but for the images of these names."""
        kept = [index for index, name in enumerate(self.names) if name not in names]
        images: Tensor | list[Tensor] | FilesOnDisk
        if isinstance(self.images, FilesOnDisk):
            images = replace(self.images, paths=[self.images.paths[index] for index in kept])
        else:
            images = self.images[kept] if isinstance(self.images, Tensor) else [self.images[index] for index in kept]
        kept_names = [self.names[index] for index in kept]
        fingerprint = hashlib.sha256("\n".join([self.fingerprint, *kept_names]).encode(errors="surrogateescape"))
        labels = None if self.labels is None else self.labels[kept]
        return replace(self, images=images, names=kept_names, labels=labels, fingerprint=fingerprint.hexdigest())

    @property
    def in_memory(self) -> bool:
        """Whether the images are decoded already."""
        return not isinstance(self.images, FilesOnDisk)

    @property
    def bytes_in_memory(self) -> int:
        if isinstance(self.images, Tensor):
            return self.images.numel()
        return 0 if isinstance(self.images, FilesOnDisk) else sum(image.numel() for image in self.images)


@dataclass(frozen=True)
class FilesOnDisk:
    """Images that are decoded at each use."""

    paths: list[Path]
    read: Read

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.paths[index]).pixels


class SmallImageError(ImageError):
    """An image that is smaller than the crops that are taken of it."""

    def __init__(self, path: str | os.PathLike[str], width: int, height: int, size: int) -> None:
        super().__init__(path, f"{width}×{height} pixels, smaller than the crop of data.size {size}")
        self.args = (path, width, height, size)  # so that it survives pickling between processes
        self.sides, self.size = f"{width}×{height}", size

    def __str__(self) -> str:
        return f"{os.fspath(self.path)!r}: {self.reason}"


@dataclass(frozen=True)
class Reader:
    """From a file to the image that crops are taken from: uint8 (C, H, W), sides at least `size`."""

    channels: Channels
    resize: int | None
    size: int

    def __call__(self, path: Path) -> Decoded:
        decoded = decode_image(path, channels=self.channels, resize=self.resize)
        height, width = decoded.pixels.shape[1:]
        if min(height, width) < self.size:
            raise SmallImageError(path, width, height, self.size)
        return decoded


def domain_of_files(folders: str | Sequence[str], read: Read, *, budget: float, choose: Choose | None = None) -> Domain:
    """The images of a folder, of a `.txt` file that lists images (one path per line, relative to it), or of several.

    Each is decoded once in any case, so that what is left out does not depend on the budget and nothing goes wrong
    later; they are kept in memory if all together need at most `budget` bytes. Files that can't be decoded, and images
    that are smaller than the crops, are left out and named in `complaints`. `choose` says which of the names found are
    read at all. Raises DataError where none is left, and what `read` raises.
    """
    sources = [folders] if isinstance(folders, str) else list(folders)
    where = one_line(", ".join(map(str, sources)))
    found, others = list_sources(sources)
    if choose is not None:
        chosen = choose([name for name, _ in found])
        found = [(name, path) for name, path in found if name in chosen]
    names, paths, images, left_out, notes = [], [], [], {}, Notes()
    used = 0
    read_images = watched(decoded([path for _, path in found], read), len(found), where)
    for (name, path), image in zip(found, read_images, strict=True):
        if isinstance(image, ImageError):
            left_out[name] = image
            continue
        notes.add(name, image.notes)
        names.append(name)
        paths.append(path)
        used += image.pixels.numel()
        if used <= budget:
            images.append(image.pixels)
        else:
            images.clear()
    if not names:
        raise DataError(f"{where}: no image that can be used; {nothing_left(list(left_out.values()), others)}")
    complaints = [*left_out_lines(list(left_out.values())), *notes.lines()]
    if others:
        complaints.append(skipped_line(others))
    complaints = [line if line.startswith("  ") else f"{where}: {line}" for line in complaints]
    fingerprint = fingerprint_files(names, paths)
    kept = images if used <= budget else FilesOnDisk(paths, read)
    return Domain(kept, names, fingerprint, complaints=complaints, left_out=list(left_out))


def left_out_lines(errors: Sequence[ImageError]) -> list[str]:
    """The files that are left out, by their reasons, each on a line of its own."""
    small = [error for error in errors if isinstance(error, SmallImageError)]
    broken = [error for error in errors if not isinstance(error, SmallImageError)]
    lines = []
    if broken:
        lines += [f"{files(len(broken))} left out that can't be decoded:", *(f"  {one_line(e)}" for e in broken)]
    if small:
        are = "is" if len(small) == 1 else "are"
        lines.append(
            f"{files(len(small))} left out that {are} smaller than the crop of data.size {small[0].size}; lower it, or "
            "set data.resize:"
        )
        lines += [f"  {one_line(repr(os.fspath(error.path)))}: {error.sides} pixels" for error in small]
    return lines


def nothing_left(errors: Sequence[ImageError], others: Sequence[Path]) -> str:
    """Why none of a domain's files can be used."""
    small = [error for error in errors if isinstance(error, SmallImageError)]
    said = f"{len(errors)} found by name, {len(errors) - len(small)} of them can't be decoded"
    if small:
        said += f", {len(small)} smaller than the crop of data.size {small[0].size}: lower it, or set data.resize"
    if others:
        said += f", {skipped_line(others)}"
    return f"{said}, the first: {errors[0]}" if errors else said


def watched(images: Iterator[T], count: int, where: str) -> Iterator[T]:
    """The images, with a bar on the main process's terminal; elsewhere one line says so, where there are many."""
    if os.environ.get("RANK", "0") != "0":
        return images
    if sys.stderr.isatty():
        return iter(tqdm(images, total=count, desc=f"reading {where}", unit="image", leave=False, delay=1))
    if count > MANY:
        print(f"reading {count} images of {where}", file=sys.stderr, flush=True)
    return images


def fingerprint_files(names: list[str], paths: list[Path]) -> str:
    """SHA-256 of what makes two sets of files the same data: their names, their sizes, and each one's first and last
    bytes, wherever the files lie."""
    digest = hashlib.sha256()
    for name, path in zip(names, paths, strict=True):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(f"{len(name)} {name} {size}\n".encode(errors="surrogateescape"))
            for start in (0, max(0, size - SAMPLED_BYTES)):
                file.seek(start)
                digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()


def list_sources(sources: Sequence[str]) -> tuple[list[tuple[str, Path]], list[Path]]:
    """(name, path) of each image of the sources, and the files of folders that are skipped; if there are several
    sources, names begin with their source's number."""
    listed = [list_images(Path(source).expanduser()) for source in sources]
    if len(listed) == 1:
        return listed[0]
    named = [(f"{number}/{name}", path) for number, (part, _) in enumerate(listed) for name, path in part]
    return named, [path for _, others in listed for path in others]


def is_list(path: Path) -> bool:
    """Whether a path is a text file that lists images."""
    return path.suffix.lower() == ".txt" and path.is_file()


def list_images(source: Path) -> tuple[list[tuple[str, Path]], list[Path]]:
    """(name, path) of each image of a folder or of a list, and what else the folder holds."""
    if is_list(source):
        try:
            lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{source}: can't be read as a list of images ({error})") from error
        paths = [source.parent / line for line in lines]
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise DataError(f"{source}: {len(missing)} of its {len(paths)} files are missing, the first: {missing[0]}")
        return list(zip(lines, paths, strict=True)), []
    found = find_files(source)
    return [(path.relative_to(source).as_posix(), path) for path in found.images], found.others


def decoded(paths: list[Path], read: Read) -> Iterator[Decoded | ImageError]:
    """Each file's image, or why there is none, in order."""

    def attempt(path: Path) -> Decoded | ImageError:
        try:
            return read(path)
        except ImageError as error:
            return error

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        for start in range(0, len(paths), DECODED_AT_ONCE):
            yield from pool.map(attempt, paths[start : start + DECODED_AT_ONCE])


def domain_of_array(images: Any, labels: Any = None) -> Domain:
    """The images of an array.

    Args:
        images: uint8; a tensor (N, C, H, W), or a NumPy array (N, H, W) or (N, H, W, C), with C of 1 or 3.
        labels: integers (N,) from 0, or None.

    Raises:
        DataError: another dtype or shape, no images, or as many labels as there are not images.
    """
    x = as_images(images)
    y = None if labels is None else as_labels(labels, len(x))
    return array_domain(x, y, names=[str(i) for i in range(len(x))], classes=0 if y is None else int(y.max()) + 1)


def as_images(images: Any) -> Tensor:
    """A copy as uint8 (N, C, H, W); raises DataError."""
    is_tensor = isinstance(images, Tensor)
    x: Any = images if is_tensor else np.array(images)
    if x.dtype in (torch.uint8, np.dtype(np.uint8)):
        if not is_tensor:
            x = x[..., None] if x.ndim == 3 else x
            x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x)
        if x.ndim == 4 and x.shape[1] in (1, 3) and 0 not in x.shape:
            planes: Tensor = x.cpu().clone()
            return planes
    raise DataError(
        "images: expected uint8, (N, 1 or 3, H, W) as a tensor, (N, H, W) or (N, H, W, 1 or 3) as an array, got "
        f"{x.dtype} {tuple(x.shape)}"
    )


def as_labels(labels: Any, count: int) -> Tensor:
    """A copy as int64 (N,); raises DataError."""
    y = labels.cpu().numpy() if isinstance(labels, Tensor) else np.array(labels)
    if y.dtype.kind not in "iu" or y.shape != (count,) or y.min() < 0:
        raise DataError(f"labels: expected {count} integers from 0, got {y.dtype} {y.shape}")
    return torch.from_numpy(y.astype(np.int64))


def array_domain(
    x: Tensor, y: Tensor | None, *, names: list[str], classes: int, complaints: Sequence[str] = ()
) -> Domain:
    """A domain of checked tensors; its fingerprint is that of shapes, images and labels."""
    x = x.contiguous()
    digest = hashlib.sha256(f"{tuple(x.shape)} {None if y is None else tuple(y.shape)}\n".encode())
    for tensor in [x] if y is None else [x, y]:
        digest.update(tensor.contiguous().numpy().data)
    return Domain(x, names, digest.hexdigest(), labels=y, classes=classes, complaints=list(complaints))
