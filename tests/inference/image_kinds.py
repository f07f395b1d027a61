"""A translator whose answer is known, and images of noise as arrays and tensors."""

from typing import Any

import torch
from torch import Tensor

from unit.config.data import Channels
from unit.inference.translator import Translator
from unit.models.base import Direction, TranslatedImages
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig


class Inverter(UnitTranslator):
    """Turns brightness around; b2a halves the range too. Channels that the other domain lacks are dropped."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        assert x.shape[2] % self.stride == x.shape[3] % self.stride == 0
        y = x[:, :1].expand(-1, self.out_channels(direction), -1, -1) if x.shape[1] == 1 else x
        y = y[:, : self.out_channels(direction)]
        return -y if direction == "a2b" else -y / 2


def inverter(a: Channels = 3, b: Channels | None = None) -> Translator:
    images = TranslatedImages(a, a if b is None else b)
    return Translator(Inverter(UnitTranslatorConfig(images, UnitModelConfig(width=1, blocks=1))))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def last(x: Tensor) -> Any:
    """(…, C, H, W) as an array (…, H, W, C)."""
    return x.movedim(-3, -1).contiguous().numpy()
