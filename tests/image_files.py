"""What tests of images share: small images of noise, and files of them."""

import struct
import zlib
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


def tiff(data: bytes, *, width: int, photometric: int = 1, bits: int = 16, order: str = "<") -> bytes:
    """An uncompressed grayscale TIFF of one row, of integer pixels."""
    values = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1}
    values |= {273: 8 + 2 + 12 * 9 + 4, 279: len(data)}
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, 9)
    tags = b"".join(struct.pack(order + "HHII", t, 4, 1, values[t]) for t in sorted(values))
    return head + tags + struct.pack(order + "I", 0) + data


def png(raw: bytes, *, width: int, height: int = 1, bits: int, kind: int, key: bytes = b"") -> bytes:
    """A PNG of the given (already filtered) rows and color key."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", key) if key else b"")
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
