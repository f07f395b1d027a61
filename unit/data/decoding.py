"""Decoding: an image file, hostile or not, becomes a uint8 tensor (C, H, W) or an :class:`ImageError` of one line.

Pixels are sRGB: color profiles (ICC) are applied, gamma chunks are not. Only the decoders of :data:`FORMATS` are ever
run, and limits on bytes, pixels and structure are checked before any pixel is decoded.
"""

import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unit.data.formats import FORMATS
from unit.data.images import MAX_PIXELS, on_white, resize_shorter
from unit.data.limits import check_file, check_image, check_tiff, has_more_frames
from unit.data.metadata import Metadata, read_metadata
from unit.data.profiles import TOO_LARGE, profile_of, to_srgb, without_profile
from unit.data.quiet import pillow_is_quiet

MAX_BYTES = 2**30
"""The largest file, in bytes: what MAX_PIXELS pixels of 8 bytes take without compression."""

SEVERAL_FRAMES = "several frames or pages, of which the first is used"

LARGE = 2**24
"""Images of more pixels are decoded one at a time: while it is decoded, each takes some 25 bytes per pixel."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0


class ImageError(ValueError):
    """A file that cannot be read as an image; the message names the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives pickling between processes
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        # repr keeps a name with a newline, or one that is not UTF-8, on one printable line.
        return f"cannot read image {os.fspath(self.path)!r}: {' '.join(self.reason.split())}"


@dataclass(frozen=True)
class Decoded:
    """An image file's pixels, and what there is to say of it.

    `pixels`: uint8 (C, H, W); `alpha`: uint8 (H, W), or None for an image without transparency or one that was
    composited; `scaled`: whether they were resized; `metadata`: the file's, where it is asked for; `notes`: what was
    done or ignored that its owner should know, to be read after "a file with".
    """

    pixels: Tensor
    alpha: Tensor | None = None
    scaled: bool = False
    metadata: Metadata | None = None
    notes: tuple[str, ...] = ()


def read_image(path: str | os.PathLike[str], *, channels: Literal[1, 3], resize: int | None = None) -> Tensor:
    """The pixels of `decode_image`, with transparency composited on white: uint8 (C, H, W)."""
    return decode_image(path, channels=channels, resize=resize).pixels


def decode_image(
    path: str | os.PathLike[str],
    *,
    channels: Literal[1, 3],
    resize: int | None = None,
    keep_alpha: bool = False,
    keep_metadata: bool = False,
) -> Decoded:
    """Decode one image file, upright, as RGB or grayscale of 8 bits.

    - Color profiles (ICC) are applied: the pixels are sRGB's. A profile that is broken is ignored, with a note.
    - EXIF orientation is applied; EXIF that cannot be parsed counts as upright.
    - Transparency (alpha, palette or color key) is composited on white, or kept beside the colors under it.
    - 16-bit grayscale ``v`` becomes ``round(v / 257)``, 12-bit ``round(v / 4095 * 255)``; 32-bit
      integers are read as 16-bit ones. Floats are read as [0, 1]. Values outside are refused.
    - Color becomes grayscale by ITU-R 601 luma, grayscale becomes color by repetition.
    - Of several frames or pages the first is read.

    Args:
        path: A regular file of one of `FORMATS`, whatever its suffix says.
        channels: 1 for grayscale, 3 for RGB.
        resize: The length of the shorter side, scaled by `resize_shorter`; None keeps the stored size.
        keep_alpha: Whether transparency is kept, in place of compositing.
        keep_metadata: Whether the file's resolution, EXIF and place on the map are read, too.

    Returns:
        A new contiguous uint8 tensor (channels, H, W), and what comes with it.

    Raises:
        ImageError: If the file cannot be decoded whole or, before it is decoded, if it has more than
            `MAX_BYTES` bytes, `MAX_PIXELS` pixels or what `unit.data.limits` refuses.
        ValueError: If `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels!r}, not 1 or 3")
    try:
        return _read(path, channels, resize, keep_alpha, keep_metadata)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(path, f"no intact image of format {', '.join(FORMATS)}") from None
    except Exception as error:  # a hostile file makes Pillow raise nearly anything
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(path, reason or str(error) or type(error).__name__) from error


def _read(
    path: str | os.PathLike[str], channels: Literal[1, 3], resize: int | None, keep_alpha: bool, keep_metadata: bool
) -> Decoded:
    """`decode_image`, but for what Pillow and the system raise."""
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait forever
        raise ImageError(path, "not a regular file")
    if (size := os.stat(path).st_size) > MAX_BYTES:  # a sparse file takes no room on the disk
        raise ImageError(path, f"{size} bytes, not at most {MAX_BYTES}")
    with open(path, "rb") as file, pillow_is_quiet(), _open(file, size) as image:
        width, height = image.size
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            more_frames = has_more_frames(image, data)
        if not 0 < width * height <= MAX_PIXELS:
            raise ImageError(path, f"{width} x {height} pixels, not 1 to {MAX_PIXELS}")
        check_image(image, size)
        notes = [SEVERAL_FRAMES] if more_frames else []
        metadata, note = None, ""
        with _large if width * height > LARGE else nullcontext():
            if keep_metadata and image.format == "TIFF":
                metadata, note = read_metadata(image)
            image.load()
            _check_exif(image)
            if keep_metadata and image.format != "TIFF":
                metadata, note = read_metadata(image)
            turn_upright(image)
            decoded = decode_picture(image, channels=channels, resize=resize, keep_alpha=keep_alpha)
            notes += [note] if note else []
            return replace(decoded, metadata=metadata, notes=(*notes, *decoded.notes))


def _open(file: BinaryIO, size: int) -> Image.Image:
    """The image that Pillow opens, after a look at what the file asks for, and without a profile that it refuses."""
    if size:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            check_file(data)
    try:
        return Image.open(file, formats=FORMATS)
    except ValueError:
        sound = without_profile(file)
        if sound is None:
            raise
        image = Image.open(sound, formats=FORMATS)
        image.info["icc_profile"] = TOO_LARGE  # as `profile_of` finds it
        return image


def decode_picture(
    image: Image.Image, *, channels: Literal[1, 3], resize: int | None = None, keep_alpha: bool = False
) -> Decoded:
    """What `decode_image` makes of a file, of an image that Pillow has loaded, but for its orientation.

    Raises:
        ValueError: If it is of numbers that are no 16-bit integers and no floats in [0, 1].
    """
    colors, alpha = _eight_bits(image)
    colors, note = to_srgb(colors, profile_of(image))
    colors = colors.convert("L" if channels == 1 else "RGB")
    if alpha is not None and not keep_alpha:
        colors, alpha = on_white(colors, alpha), None
    pixels, opacity = to_tensor(colors), None if alpha is None else to_tensor(alpha)
    if resize is not None:
        pixels = resize_shorter(pixels, resize)
        opacity = None if opacity is None else resize_shorter(opacity, resize)
    scaled = resize is not None and min(image.size) != resize
    return Decoded(pixels, None if opacity is None else opacity[0], scaled, notes=(note,) if note else ())


def to_tensor(image: Image.Image) -> Tensor:
    """An L or RGB image as a new contiguous uint8 tensor (C, H, W)."""
    pixels = np.array(image)
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
    return planes.clone(memory_format=torch.contiguous_format)


def turn_upright(image: Image.Image) -> None:
    """Turn a loaded image as its EXIF or XMP asks; a TIFF's was turned, and the tag dropped, as it was loaded."""
    try:
        # In place: a turned copy would have lost the TIFF tags that `_deep_gray` reads.
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # from parsing or rewriting metadata: the pixels are intact where these are not
        pass


def _check_exif(image: Image.Image) -> None:
    """Drop EXIF of more than it has room for: Pillow would read each part as often as it is pointed to."""
    exif = image.info.get("exif")
    if exif is None and "Raw profile type exif" in image.info:  # of PNGs, as Pillow reads it
        try:
            exif = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
        except ValueError:
            exif = b""
        image.info["exif"] = exif
    if isinstance(exif, bytes):
        try:
            check_tiff(exif, 6 if exif.startswith(b"Exif\0\0") else 0, pointers=True)
        except ValueError:
            image.info["exif"] = b""


def _eight_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The loaded image with 8 bits per channel and without transparency, and its alpha if it has any."""
    if image.mode == "F" or image.mode.startswith("I"):
        gray, clear = _deep_gray(image)
        return Image.fromarray(gray), Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)) if clear.any() else None
    if not image.has_transparency_data:
        return image, None
    # Premultiplied grayscale converts to plain grayscale alone.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    is_gray = image.mode in ("1", "L", "LA", "La")
    return rgba.getchannel("R") if is_gray else rgba.convert("RGB"), rgba.getchannel("A")


def _deep_gray(image: Image.Image) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Grayscale of more than 8 bits as uint8 (H, W), rounded, never clipped, and which pixels are transparent."""
    values = np.array(image)
    if image.mode == "F":
        if not ((values >= 0) & (values <= 1)).all():  # false for NaN too
            raise ValueError("float pixels outside [0, 1]")
        return np.rint(values * 255.0).astype(np.uint8), np.zeros(values.shape, bool)
    values = values.astype(np.int32)
    tags = getattr(image, "tag_v2", {})  # TIFF alone
    peak = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > peak:
        raise ValueError(f"integer pixels outside [0, {peak}]")
    clear = values == image.info.get("transparency", -1)  # the color key of a PNG
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = peak - values
    values = (values * 510 + peak) // (2 * peak)  # round(255 v / peak); 510 * 65535 fits in 32 bits
    return values.astype(np.uint8), clear


_large = threading.Lock()


def _forget_lock() -> None:
    global _large
    _large = threading.Lock()  # a forked worker has none of its parent's threads, but may hold their lock


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_lock)
