"""What tests of domains share: folders of small images that are known again, and domains that need no files."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unit.config.data import TwoDomainsConfig
from unit.data.domain import Domain, Reader, domain_of_array, domain_of_files

SIZE = 16
CONFIG = TwoDomainsConfig(size=SIZE)
GRAY = TwoDomainsConfig(size=SIZE, channels=1)
MUCH, NOTHING = 1e9, 0.0


def write_images(folder: Path, count: int, *, width: int = 24, height: int = 20, seed: int = 0) -> Path:
    """Images 000.png, 001.png, … of noise; the first channel of each is its number (mod 256) in every pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels[..., 0] = number % 256
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def read(*folders: Path, budget: float = MUCH, channels: int = 3, resize: int | None = None) -> Domain:
    """The domain of these folders, as a training with CONFIG reads it."""
    reader = Reader(3 if channels == 3 else 1, resize, SIZE)
    return domain_of_files([str(folder) for folder in folders], reader, budget=budget)


def blank(count: int, side: int = SIZE) -> Domain:
    """A gray domain of `count` images that need no files: image i is i everywhere."""
    numbers = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    return domain_of_array(numbers.expand(-1, 1, side, side))


def numbers(x: Tensor) -> list[int]:
    """Which images these are: what their first channel says."""
    assert (x[:, 0] == x[:, :1, 0, 0, None]).all()
    return [int(number) for number in x[:, 0, 0, 0]]
