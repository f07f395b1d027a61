"""What tests of images share: small images of noise, and files of them."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

LOSSLESS = [".png", ".webp", ".tif", ".tiff", ".bmp"]
SAVE: dict[str, dict[str, Any]] = {".webp": {"lossless": True, "exact": True}}


def noise(channels: int, height: int = 5, width: int = 7, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def picture(image: Tensor) -> Image.Image:
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **{**SAVE.get(path.suffix, {}), **options})
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
