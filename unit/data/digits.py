"""MNIST and USPS: images and labels as two tensors, whole in memory.

MNIST is four idx files: a big-endian header (a magic number, then each dimension) and bytes. USPS is one HDF5 file
with brightness in [0, 1], which becomes round(255 · brightness). A file is checked once, as it is read; what is wrong
with it is a :class:`DigitsError` of one line.

Torchvision downloads MNIST, but does not read it here: its idx reader takes no .gz, has no limit of size, and asserts
without a message. Its USPS is another file, whose values it truncates instead of rounding.
"""

import gzip
import hashlib
import math
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

Name = Literal["mnist", "usps"]
Split = Literal["train", "test"]

MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Each split's images and labels."""
USPS_FILE, USPS_SIDE = "usps.h5", 16

CLASSES = 10
MAX_BYTES = 2**28
"""The largest array that is read (MNIST's training images are 47 MB): a damaged header must not fill the memory."""


class DigitsError(ValueError):
    """Digits that can't be read or drawn: one line that says what was wrong, what was given and what is expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True, eq=False)
class Digits:
    """images: uint8 (N, 1, H, W); labels: int64 (N,), 0 to 9."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the shapes, the images and the labels: what a resumed run must find again."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {tuple(self.labels.shape)}\n".encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def part(self, start: int, stop: int) -> "Digits":
        """Images start to stop - 1, as a view; it ends where the digits end, as every slice does."""
        return Digits(self.images[start:stop], self.labels[start:stop])


def read_digits(root: Path, name: Name, split: Split, *, download: bool = True) -> Digits:
    """Read MNIST (28 × 28) or USPS (16 × 16).

    Args:
        root: For MNIST, a folder such that it or its MNIST/raw holds the four idx files, each plain or .gz. For USPS,
            a folder that holds usps.h5, or the path of an .h5 file.
        name: "mnist" or "usps".
        split: "train" or "test".
        download: Fetch MNIST where none of its files is there. USPS is never downloaded.

    Returns:
        Images uint8 (N, 1, H, W) and labels int64 (N,) in 0 to 9.

    Raises:
        DigitsError: If files are missing or damaged, or the download fails.
    """
    return read_mnist(root, split, download=download) if name == "mnist" else read_usps(root, split)


def checked(images: Tensor, labels: Tensor, images_at: str, labels_at: str) -> Digits:
    """Digits with one label in 0 to 9 for each image. `…_at` say where they are from."""
    if len(images) != len(labels):
        raise DigitsError(
            f"{labels_at}: {len(labels)} labels; expected {len(images)}, as many as images in {images_at}"
        )
    wrong = labels[(labels < 0) | (labels >= CLASSES)]
    if len(wrong):
        raise DigitsError(f"{labels_at}: label {int(wrong[0])}; expected 0 to {CLASSES - 1}")
    return Digits(images, labels)


# MNIST.


def read_mnist(root: Path, split: Split, *, download: bool) -> Digits:
    """`read_digits` of MNIST."""
    with lock_path(root):  # while one process downloads, others would find some of the files
        files = find_mnist(root)
        if not files and download:
            download_mnist(root)
            files = find_mnist(root)
    if not files:
        raise DigitsError(f"{root}: no MNIST there; expected {mnist_by_hand(root)}")
    images_path, labels_path = (files[name] for name in MNIST_FILES[split])
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    return checked(images.unsqueeze(1), labels.long(), str(images_path), str(labels_path))


def lock_path(root: Path) -> FileLock:
    """A lock for this folder among a user's processes on this machine; the folder may be absent or read-only."""
    user = os.getuid() if hasattr(os, "getuid") else ""  # on Windows, each user has a folder for temporary files
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"unit-{user}-{name}.lock")


def find_mnist(root: Path) -> dict[str, Path]:
    """The four files by name, all from one folder; {} where there is none. Raises DigitsError for one to three."""
    names = [name for pair in MNIST_FILES.values() for name in pair]
    incomplete = ""
    for folder in (root, root / "MNIST" / "raw"):
        places = ((name, folder / f"{name}{suffix}") for name in names for suffix in (".gz", ""))
        found = {name: path for name, path in places if os.path.isfile(path)}  # plain before .gz
        if len(found) == len(names):
            return found
        if found and not incomplete:
            missing = ", ".join(name for name in names if name not in found)
            incomplete = f"{folder}: MNIST without {missing}; add what is missing (plain or .gz) or remove the rest"
    if incomplete:
        raise DigitsError(incomplete)
    return {}


def mnist_by_hand(root: Path) -> str:
    """Which files to put where, for messages."""
    names = ", ".join(name for pair in MNIST_FILES.values() for name in pair)
    return f"{names} (each plain or .gz) in {root} or {root / 'MNIST' / 'raw'}"


def download_mnist(root: Path) -> None:
    """Fetch the four files into root/MNIST/raw; torchvision compares their checksums."""
    from torchvision.datasets import MNIST  # slow to import, and needed once

    try:
        MNIST(root, download=True)
    except (OSError, RuntimeError, HTTPException, EOFError) as error:
        why = str(error).strip()
        raise DigitsError(f"{root}: MNIST can't be downloaded ({why}); put by hand {mnist_by_hand(root)}") from error


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Read an idx file of bytes, plain or .gz, as uint8 of so many dimensions; raises DigitsError for any other."""
    magic = 0x800 + dimensions  # 8: unsigned bytes
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != struct.pack(">I", magic):
                raise DigitsError(f"{path}: starts with 0x{header[:4].hex()}; expected the magic number 0x{magic:08x}")
            if len(header) < 4 + 4 * dimensions:
                raise DigitsError(f"{path}: ends after {len(header)} bytes; expected a header of {4 + 4 * dimensions}")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            said, size = " × ".join(map(str, shape)), math.prod(shape)
            if not 1 <= size <= MAX_BYTES:
                raise DigitsError(f"{path}: says it holds {said} bytes; expected 1 to {MAX_BYTES}")
            content = bytearray(size)
            read = file.readinto(content)
            if read < size:
                raise DigitsError(f"{path}: {read} bytes after its header; expected {said} = {size}")
            if file.read(1):  # at the end of a .gz, this compares its checksum as well
                raise DigitsError(f"{path}: more bytes after its header than the expected {said} = {size}")
    except (OSError, EOFError, zlib.error) as error:
        raise DigitsError(f"{path}: can't be read ({error}); expected a whole idx file, plain or .gz") from error
    return torch.frombuffer(content, dtype=torch.uint8).view(shape)


# USPS.


def read_usps(root: Path, split: Split) -> Digits:
    """`read_digits` of USPS."""
    path = root if root.suffix == ".h5" and not os.path.isdir(root) else root / USPS_FILE
    if not os.path.isfile(path):
        raise DigitsError(f"{path}: no such file; expected USPS as HDF5 (it is not downloaded)")
    try:
        import h5py
    except ImportError as error:
        raise DigitsError("reading USPS needs h5py; pip install 'unit-translation[usps]'") from error
    try:
        with h5py.File(path, "r") as file:
            data = read_dataset(path, file.get(f"{split}/data"), f"{split}/data", "float", (USPS_SIDE**2,))
            target = read_dataset(path, file.get(f"{split}/target"), f"{split}/target", "integer", ())
    except DigitsError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py makes of damage
        raise DigitsError(f"{path}: can't be read ({error}); expected a whole HDF5 file") from error
    if not (data.min() >= 0 and data.max() <= 1):  # NaN too
        raise DigitsError(f"{path}: {split}/data is from {data.min()} to {data.max()}; expected numbers in [0, 1]")
    images = np.rint(data * 255).astype(np.uint8).reshape(-1, 1, USPS_SIDE, USPS_SIDE)
    labels = torch.from_numpy(target.astype(np.int64))
    return checked(torch.from_numpy(images), labels, f"{path}: {split}/data", f"{path}: {split}/target")


def read_dataset(path: Path, dataset: Any, key: str, kind: str, row: tuple[int, ...]) -> Any:
    """An h5py dataset as an array: at least one row, each of shape `row`, of "float" or "integer" numbers."""
    shape, dtype = getattr(dataset, "shape", None), getattr(dataset, "dtype", None)
    if shape is None or dtype is None:  # None, a group, or a dataset without a shape
        raise DigitsError(f"{path}: no dataset {key}; expected data and target in each of train and test")
    allowed = {"float": "f", "integer": "iu"}[kind]
    if (
        dtype.kind not in allowed
        or shape[1:] != row
        or not shape
        or not 1 <= math.prod(shape) * dtype.itemsize <= MAX_BYTES
    ):
        expected = " × ".join(["N", *map(str, row)])
        raise DigitsError(f"{path}: {key} is {dtype} of shape {shape}; expected {expected} {kind} numbers")
    return dataset[:]
