"""Translators whose figures are known, folders of images for them, and the set of both."""

from pathlib import Path

import torch
from torch import Tensor, nn

from unit.config.data import Channels
from unit.data.images import write_image
from unit.evaluation.sets import TranslationSet
from unit.models.base import Direction, ImageTranslator, TranslatedImages


class Keeper(ImageTranslator):
    """Changes nothing, but for the channels: the mean of three, or one three times."""

    name = "keeper"

    def __init__(self, channels_a: Channels = 3, channels_b: Channels | None = None, *, size: int = 256) -> None:
        super().__init__()
        self.images = TranslatedImages(channels_a, channels_a if channels_b is None else channels_b, size=size)
        self.anything = nn.Parameter(torch.zeros(1))
        self.calls: list[tuple[Direction, int]] = []
        """The direction and the number of images of each call."""

    @property
    def stride(self) -> int:
        return 4

    @property
    def floats_per_pixel(self) -> float:
        return 10.0

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        self.calls.append((direction, len(x)))
        channels = self.out_channels(direction)
        return self.change(x if channels == x.shape[1] else x.mean(1, keepdim=True).expand(-1, channels, -1, -1))

    def change(self, x: Tensor) -> Tensor:
        return x


class Inverter(Keeper):
    """Turns brightness around, either way: exact, and its own inverse."""

    def change(self, x: Tensor) -> Tensor:
        return -x


class OneWay(Inverter):
    """From a to b alone."""

    directions = ("a2b",)


def set_of(model: ImageTranslator, root: Path, *, resize: int | None = None) -> TranslationSet:
    return TranslationSet(model, root, resize=resize)


def shades(folder: Path, low: int, high: int, *, count: int, seed: int, side: int = 16) -> None:
    """Gray noise images, 16 × 16, with values from low to high."""
    folder.mkdir(parents=True)
    numbers = torch.Generator().manual_seed(seed)
    for i in range(count):
        image = torch.randint(low, high, (1, side, side), generator=numbers).to(torch.uint8)
        write_image(folder / f"{i}.png", image)


def noise_images(folder: Path, *sizes: tuple[int, int], seed: int = 0, channels: int = 3) -> list[Tensor]:
    """Images 0.png, 1.png, … of noise, of these heights and widths; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randint(0, 256, (channels, *size), generator=generator).to(torch.uint8) for size in sizes]
    for number, image in enumerate(images):
        write_image(folder / f"{number}.png", image)
    return images
