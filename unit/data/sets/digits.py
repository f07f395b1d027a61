"""Turn two sets of digits into `trainA trainB testA testB`, each a folder for each digit: `trainA/7/00015.png`.

Images keep their pixels: MNIST's 28 × 28 or their center, USPS's 16 × 16, SVHN's 32 × 32 in color. A training scales
them (`data.resize`).
"""

from pathlib import Path
from typing import Any, get_args

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from unit.data.digits import MNIST_FILES, USPS_FILE, Split, read_digits
from unit.data.sets.layout import find
from unit.data.sets.recipes import MNIST_SIDE, DigitsName

__all__ = ["arrange_digits"]


def arrange_digits(source: Path, result: Path, names: tuple[DigitsName, DigitsName], *, crop: int) -> None:
    """Build `result` from the files of two sets, found in `source` or up to three levels below it; of MNIST's images
    the center of `crop` × `crop` pixels is kept.

    Raises FileNotFoundError if one is missing, and ValueError if one can't be read.
    """
    for domain, name in zip("AB", names, strict=True):
        for split in get_args(Split):
            images, labels = read(source, name, split)
            if name == "mnist":
                edge = (MNIST_SIDE - crop) // 2
                images = images[:, :, edge : edge + crop, edge : edge + crop]
            write(images, labels, result / f"{split}{domain}")


def read(source: Path, name: DigitsName, split: Split) -> tuple[Tensor, Tensor]:
    """uint8 (N, C, H, W) and labels (N,)."""
    match name:
        case "mnist":
            first = MNIST_FILES["train"][0]
            place = needed(source, f"{first}.gz", first).parent
            digits = read_digits(place, "mnist", split, download=False)
            return digits.images, digits.labels
        case "usps":
            digits = read_digits(needed(source, USPS_FILE), "usps", split)
            return digits.images, digits.labels
        case "svhn":
            return read_svhn(needed(source, f"{split}_32x32.mat"))


def needed(source: Path, *names: str) -> Path:
    """The first of these files that there is; raises FileNotFoundError."""
    for name in names:
        if (path := find(source, name)) is not None:
            return path
    raise FileNotFoundError(f"no {names[-1]} in {source} or up to 3 levels below it")


def read_svhn(path: Path) -> tuple[Tensor, Tensor]:
    """A MATLAB file of house numbers, cropped digits: X uint8 (32, 32, 3, N), y (N, 1) with 10 for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError("reading SVHN needs SciPy; pip install 'unit-translation[svhn]'") from error
    try:
        held: dict[str, Any] = loadmat(path, variable_names=["X", "y"])
        x, y = held["X"], held["y"].reshape(-1)
        right = x.dtype.name == "uint8" and x.shape == (32, 32, 3, len(y)) and len(y) and y.min() >= 1 and y.max() <= 10
    except Exception as error:  # what SciPy makes of damage is of many kinds
        raise ValueError(f"{path}: can't be read ({error}); expected SVHN's cropped digits") from error
    if not right:
        raise ValueError(f"{path}: X is {x.dtype} {x.shape}; expected uint8 (32, 32, 3, N), and as many labels 1 to 10")
    return torch.from_numpy(x.transpose(3, 2, 0, 1).copy()), torch.from_numpy(y.astype("int64") % 10)


def write(images: Tensor, labels: Tensor, folder: Path) -> None:
    """Each image as a PNG in the folder of its digit, under its number."""
    for digit in sorted(set(labels.tolist())):
        (folder / str(digit)).mkdir(parents=True)
    pixels = images.permute(0, 2, 3, 1).squeeze(3).numpy()
    numbered = enumerate(zip(pixels, labels.tolist(), strict=True))
    for number, (image, digit) in tqdm(numbered, desc=folder.name, total=len(pixels), unit="image", disable=None):
        # compress_level=1 takes less than the default's time, and digits get hardly bigger.
        Image.fromarray(image).save(folder / str(digit) / f"{number:05d}.png", compress_level=1)
