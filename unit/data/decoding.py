"""Decoding: an image file, hostile or not, becomes a uint8 tensor (C, H, W) or an :class:`ImageError` of one line.

Pixel values are taken as they are stored: color profiles (ICC) and gamma are not applied. Only the decoders of
:data:`FORMATS` are ever run, and limits on bytes, pixels and scans are checked before any pixel is decoded.
"""

import mmap
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unit.data.images import EXTENSIONS, MAX_PIXELS, resize_shorter

FORMATS = tuple(dict.fromkeys(EXTENSIONS.values()))
"""Pillow's names of the formats that are read. No other decoder of Pillow is ever run."""

MAX_BYTES = 2**30
"""The largest file, in bytes: what MAX_PIXELS pixels of 8 bytes take without compression."""

LARGE = 2**24
"""Images of more pixels are decoded one at a time: while it is decoded, each takes some 25 bytes per pixel."""

MAX_SCANS = 100
"""The most scans of a JPEG. Each goes over the whole image, and a file of a megabyte can ask for thousands."""

# JPEG's markers (ITU-T T.81, table B.1), but for those that stand alone or are a 0xff of the pixels.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0


class ImageError(ValueError):
    """A file that cannot be read as an image; the message names the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives pickling between processes
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        # repr keeps a name with a newline, or one that is not UTF-8, on one printable line.
        return f"cannot read image {os.fspath(self.path)!r}: {' '.join(self.reason.split())}"


def read_image(path: str | os.PathLike[str], *, channels: Literal[1, 3], resize: int | None = None) -> Tensor:
    """Decode one image file, upright, as RGB or grayscale of 8 bits.

    - EXIF orientation is applied; EXIF that cannot be parsed counts as upright.
    - Transparency (alpha, palette or color key) is composited on white.
    - 16-bit grayscale ``v`` becomes ``round(v / 257)``, 12-bit ``round(v / 4095 * 255)``; 32-bit
      integers are read as 16-bit ones. Floats are read as [0, 1]. Values outside are refused.
    - Color becomes grayscale by ITU-R 601 luma, grayscale becomes color by repetition.
    - Of several frames or pages the first is read.

    Args:
        path: A regular file of one of `FORMATS`, whatever its suffix says.
        channels: 1 for grayscale, 3 for RGB.
        resize: The length of the shorter side, scaled by `resize_shorter`; None keeps the stored size.

    Returns:
        A new contiguous uint8 tensor (channels, H, W).

    Raises:
        ImageError: If the file cannot be decoded whole or, before it is decoded, if it has more than
            `MAX_BYTES` bytes, `MAX_PIXELS` pixels or `MAX_SCANS` scans.
        ValueError: If `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels!r}, not 1 or 3")
    try:
        return _read(path, channels, resize)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(path, f"no intact image of format {', '.join(FORMATS)}") from None
    except Exception as error:  # a hostile file makes Pillow raise nearly anything
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(path, reason or str(error) or type(error).__name__) from error


def _read(path: str | os.PathLike[str], channels: Literal[1, 3], resize: int | None) -> Tensor:
    """`read_image`, but for what Pillow and the system raise."""
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait forever
        raise ImageError(path, "not a regular file")
    if (size := os.stat(path).st_size) > MAX_BYTES:  # a sparse file takes no room on the disk
        raise ImageError(path, f"{size} bytes, not at most {MAX_BYTES}")
    with open(path, "rb") as file, _pillow_is_quiet(), Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if not 0 < width * height <= MAX_PIXELS:
            raise ImageError(path, f"{width} x {height} pixels, not 1 to {MAX_PIXELS}")
        if image.format in ("JPEG", "MPO") and _scans(file) > MAX_SCANS:
            raise ImageError(path, f"more than {MAX_SCANS} scans")
        with _large if width * height > LARGE else nullcontext():
            decoded = decode_picture(image, channels)
            return decoded if resize is None else resize_shorter(decoded, resize)


def _scans(file: BinaryIO) -> int:
    """How many scans the first image of a JPEG file has; counting ends above MAX_SCANS."""
    count, place = 0, 2
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while count <= MAX_SCANS and (marker := _MARKER.search(data, place)):
            kind, place = marker[0][1], marker.end()
            if kind == _END_OF_IMAGE:
                break
            count += kind == _START_OF_SCAN
            place += int.from_bytes(data[place : place + 2], "big")  # its parameters; a scan's pixels hold no markers
    return count


def decode_picture(image: Image.Image, channels: Literal[1, 3]) -> Tensor:
    """Decode an opened image as `read_image` says."""
    image.load()
    _turn_upright(image)
    pixels = np.array(_eight_bits(image).convert("L" if channels == 1 else "RGB"))
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)
    return planes.clone(memory_format=torch.contiguous_format)


def _turn_upright(image: Image.Image) -> None:
    """Turn a loaded image as its EXIF or XMP asks; a TIFF's was turned, and the tag dropped, as it was loaded."""
    try:
        # In place: a turned copy would have lost the TIFF tags that `_deep_gray` reads.
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # from parsing or rewriting metadata: the pixels are intact where these are not
        pass


def _eight_bits(image: Image.Image) -> Image.Image:
    """The loaded image with 8 bits per channel and without transparency."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_deep_gray(image))
    if not image.has_transparency_data:
        return image
    # Premultiplied grayscale converts to plain grayscale alone.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _deep_gray(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grayscale of more than 8 bits as uint8 (H, W): rounded, never clipped."""
    values = np.array(image)
    if image.mode == "F":
        if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
            raise ValueError("float pixels outside [0, 1]")
        return np.rint(values * 255.0).astype(np.uint8)
    values = values.astype(np.int32)
    tags = getattr(image, "tag_v2", {})  # TIFF alone
    peak = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > peak:
        raise ValueError(f"integer pixels outside [0, {peak}]")
    clear = values == image.info.get("transparency", -1)  # the color key of a PNG
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = peak - values
    values = (values * 510 + peak) // (2 * peak)  # round(255 v / peak); 510 * 65535 fits in 32 bits
    return np.where(clear, 255, values).astype(np.uint8)


class _Quiet:
    """How many threads decode now, and the warning filters to put back after the last of them.

    ``warnings.catch_warnings`` alone is not safe in threads: two that overlap put back the wrong
    filters. Only warnings raised in Pillow's own modules are silenced.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readers = 0
        self.filters = warnings.catch_warnings()


_quiet = _Quiet()
_large = threading.Lock()


def _forget_readers() -> None:
    global _quiet, _large
    # A forked worker has none of its parent's threads, but may hold their locks.
    _quiet, _large = _Quiet(), threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_readers)


@contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Silence Pillow's remarks on odd metadata: what it can decode is an image, the rest raises."""
    if getattr(sys.flags, "context_aware_warnings", False):  # Python 3.14: each thread has its own
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
        return
    quiet = _quiet
    with quiet.lock:
        quiet.readers += 1
        if quiet.readers == 1:
            quiet.filters = warnings.catch_warnings()
            quiet.filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with quiet.lock:
            quiet.readers -= 1
            if quiet.readers == 0:
                quiet.filters.__exit__(None, None, None)
