"""A domain: the images of one kind, from folders, lists of files or arrays; with labels or without."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unit.config.data import Channels
from unit.data.batches import DataError
from unit.data.decoding import ImageError, read_image
from unit.data.images import find_images
from unit.text import one_line

DECODED_AT_ONCE = 32

Read = Callable[[Path], Tensor]
"""From a file to an image, uint8 (C, H, W); raises ImageError for one that can't be decoded."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Images by number, uint8 (C, H, W) each: `domain[i]`.

    `images` are a tensor (N, C, H, W), or a list of images of several sizes, or what reads them from their files at
    each use. `names` are theirs: paths below their folder, or numbers. `labels` are int64 (N,), or None, of `classes`
    classes. `fingerprint` is a SHA-256 of what a resumed run must find again. `complaints` are lines on files that
    can't be used.
    """

    images: "Tensor | list[Tensor] | FilesOnDisk"
    names: list[str]
    fingerprint: str
    labels: Tensor | None = None
    classes: int = 0
    complaints: list[str] = field(default_factory=list)

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
        return self.read(self.paths[index])


@dataclass(frozen=True)
class Reader:
    """From a file to the image that crops are taken from: uint8 (C, H, W), sides at least `size`."""

    channels: Channels
    resize: int | None
    size: int

    def __call__(self, path: Path) -> Tensor:
        image = read_image(path, channels=self.channels, resize=self.resize)
        if min(image.shape[1:]) < self.size:
            raise DataError(
                f"{str(path)!r}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of data.size "
                f"{self.size}; lower data.size or set data.resize"
            )
        return image


def domain_of_files(folders: str | Sequence[str], read: Read, *, budget: float) -> Domain:
    """The images of a folder, of a `.txt` file that lists images (one path per line, relative to it), or of several.

    Each is decoded once in any case, so that what is left out does not depend on the budget and nothing goes wrong
    later; they are kept in memory if all together need at most `budget` bytes. Files that can't be decoded are left out
    and named in `complaints`. Raises DataError where none is left, and what `read` raises.
    """
    sources = [folders] if isinstance(folders, str) else list(folders)
    found = list_sources(sources)
    names, paths, images, left_out = [], [], [], []
    used = 0
    for (name, path), image in zip(found, decoded([path for _, path in found], read), strict=True):
        if isinstance(image, ImageError):
            left_out.append(image)
            continue
        names.append(name)
        paths.append(path)
        used += image.numel()
        if used <= budget:
            images.append(image)
        else:
            images.clear()
    where = ", ".join(map(str, sources))
    if not names:
        first = f", the first: {left_out[0]}" if left_out else ""
        raise DataError(
            f"{where}: no image that can be used; {len(found)} found by name, {len(left_out)} of them can't be decoded"
            + first
        )
    complaints = []
    if left_out:
        count = "1 file" if len(left_out) == 1 else f"{len(left_out)} files"
        complaints = [f"{one_line(where)}: {count} left out that can't be decoded:"]
        complaints += [f"  {one_line(error)}" for error in left_out]
    fingerprint = hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
    kept = images if used <= budget else FilesOnDisk(paths, read)
    return Domain(kept, names, fingerprint, complaints=complaints)


def list_sources(sources: Sequence[str]) -> list[tuple[str, Path]]:
    """(name, path) of each image of the sources; if there are several, names begin with their source's number."""
    listed = [list_images(Path(source).expanduser()) for source in sources]
    if len(listed) == 1:
        return listed[0]
    return [(f"{number}/{name}", path) for number, part in enumerate(listed) for name, path in part]


def is_list(path: Path) -> bool:
    """Whether a path is a text file that lists images."""
    return path.suffix.lower() == ".txt" and path.is_file()


def list_images(source: Path) -> list[tuple[str, Path]]:
    """(name, path) of each image of a folder or of a list."""
    if is_list(source):
        try:
            lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{source}: can't be read as a list of images ({error})") from error
        paths = [source.parent / line for line in lines]
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise DataError(f"{source}: {len(missing)} of its {len(paths)} files are missing, the first: {missing[0]}")
        named = list(zip(lines, paths, strict=True))
    else:
        named = [(path.relative_to(source).as_posix(), path) for path in find_images(source)]
    return named


def decoded(paths: list[Path], read: Read) -> Iterator[Tensor | ImageError]:
    """Each file's image, or why there is none, in order."""

    def attempt(path: Path) -> Tensor | ImageError:
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
