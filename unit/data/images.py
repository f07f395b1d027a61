"""Image files in and out: the border between a folder of files and tensors.

A file that can be decoded becomes a uint8 tensor (C, H, W); one that cannot becomes an
:class:`ImageError` of one line, whatever Pillow made of it. Inside, images are float in [-1, 1]:

    x = to_float(u) = u / 127.5 - 1,        u = to_uint8(x) = round((x + 1) * 127.5).

Pixel values are taken as they are stored: colour profiles (ICC) and gamma are not applied.
"""

import math
import mmap
import os
import re
import secrets
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""The suffixes that are images, and their formats. No other decoder of Pillow is ever run."""
FORMATS = tuple(dict.fromkeys(EXTENSIONS.values()))

MAX_PIXELS = 2**27
"""The largest image, in pixels (11,585 squared): below the size at which Pillow itself refuses."""

MAX_BYTES = 2**30
"""The largest file, in bytes: what MAX_PIXELS pixels of 8 bytes take without compression."""
LARGE = 2**24
"""Images of more pixels are decoded one at a time: while it is done, each takes some 25 bytes a pixel."""

MAX_SCANS = 100
"""The most scans of a JPEG. Each goes over the whole image, and a file of a megabyte can ask for thousands."""

_LOSSLESS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},  # as near as JPEG comes
    "WEBP": {"lossless": True},
}

# EXIF orientation -> what brings the stored image upright (CIPA DC-008, tag 0x0112).
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# JPEG's markers (ITU-T T.81, table B.1), but for those that stand alone or are a 0xff of the pixels.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0


class ImageError(ValueError):
    """A file that cannot be read as an image; the message names the file and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives the pickling between processes
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        # repr keeps a name with a newline, or one that is not UTF-8, on one printable line.
        return f"cannot read image {os.fspath(self.path)!r}: {' '.join(self.reason.split())}"


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All images below ``folder`` by suffix (of any case), sorted by their relative path.

    Hidden files and folders are left out. Links to folders are followed, but not back up, and no
    folder is listed twice. A folder below that cannot be listed is named in a ``RuntimeWarning``.

    Raises ``FileNotFoundError`` or ``NotADirectoryError`` if there is no such folder, and
    ``PermissionError`` if it cannot be listed.
    """
    root = Path(folder)
    if not root.is_dir():
        if root.exists():
            raise NotADirectoryError(f"not a folder of images but a file: {str(root)!r}")
        raise FileNotFoundError(f"no such folder of images: {str(root)!r}")

    top = Path(os.path.realpath(root))
    seen = {_identity(folder) for folder in (top, *top.parents)}  # a link to a parent would list what lies beside
    found: list[Path] = []
    waiting = [os.fspath(root)]
    while waiting:  # os.walk calls itself at each level, and Python allows a thousand
        here = waiting.pop()
        try:
            names = sorted(os.listdir(here))
        except OSError as error:
            reason = f"cannot list folder {here!r}: {error.strerror}"
            if here == os.fspath(root):
                raise type(error)(reason) from error
            warnings.warn(f"{reason}; its images are left out", RuntimeWarning, stacklevel=2)
            continue
        below = []
        for name in names:
            path = os.path.join(here, name)
            if os.path.isdir(path):
                if not name.startswith(".") and (identity := _identity(path)) not in seen:
                    seen.add(identity)
                    below.append(path)
            elif _is_image_name(name):
                found.append(Path(path))
        waiting += reversed(below)
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _identity(folder: str | os.PathLike[str]) -> tuple[int, int] | str:
    """The same for a folder and all links to it; unlike its real path, it takes no look at every folder above."""
    try:
        status = os.stat(folder)
    except OSError:  # gone since, or above a folder that may not be searched
        return os.fspath(folder)
    return status.st_dev, status.st_ino


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def read_image(path: str | os.PathLike[str], *, channels: Literal[1, 3], resize: int | None = None) -> Tensor:
    """Decode one image, upright, as a new contiguous uint8 tensor (``channels``, H, W), its shorter side ``resize``.

    - EXIF orientation is applied; one that cannot be parsed counts as upright.
    - Transparency (alpha, palette or colour key) is composited on white.
    - 16-bit grey ``v`` becomes ``round(v / 257)``, 12-bit grey ``round(v / 4095 * 255)``; 32-bit
      integers are read as 16-bit ones. Floats are read as [0, 1]. Values outside are refused.
    - Colour becomes grey by ITU-R 601 luma, grey becomes colour by repetition.
    - Of several frames or pages the first is read.

    Raises :class:`ImageError` for every file that cannot be decoded whole, for one of more than
    ``MAX_BYTES``, and for images of more than ``MAX_PIXELS`` pixels or ``MAX_SCANS`` scans, before
    they are decoded.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels!r}, not 1 or 3")
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
            raise ImageError(path, "not a regular file")
        if (size := os.stat(path).st_size) > MAX_BYTES:  # a sparse file takes no room on the disk
            raise ImageError(path, f"{size} bytes, not at most {MAX_BYTES}")
        with (
            open(path, "rb") as file,
            _pillow_is_quiet(),
            Image.open(file, formats=FORMATS) as image,
        ):
            width, height = image.size
            if not 0 < width * height <= MAX_PIXELS:
                raise ImageError(path, f"{width} x {height} pixels, not 1 to {MAX_PIXELS}")
            if image.format in ("JPEG", "MPO") and _scans(file) > MAX_SCANS:
                raise ImageError(path, f"more than {MAX_SCANS} scans")
            with _large if width * height > LARGE else nullcontext():
                decoded = _planes(image, channels)
                return decoded if resize is None else resize_shorter(decoded, resize)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(path, f"no intact image of format {', '.join(FORMATS)}") from None
    except Exception as error:  # a hostile file makes Pillow raise nearly anything
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(path, reason or str(error) or type(error).__name__) from error


def _scans(file: BinaryIO) -> int:
    """How many scans the first image of a JPEG file has; more than MAX_SCANS are not counted to their end."""
    count, place = 0, 2
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while count <= MAX_SCANS and (marker := _MARKER.search(data, place)):
            kind, place = marker[0][1], marker.end()
            if kind == _END_OF_IMAGE:
                break
            count += kind == _START_OF_SCAN
            place += int.from_bytes(data[place : place + 2], "big")  # its parameters; a scan's pixels hold no markers
    return count


def _planes(image: Image.Image, channels: Literal[1, 3]) -> Tensor:
    """Decode an opened image as `read_image` says."""
    image.load()
    turn = _turn_upright(image)
    plain = _eight_bits(image).convert("L" if channels == 1 else "RGB")
    pixels = np.array(plain if turn is None else plain.transpose(turn))
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)
    return planes.clone(memory_format=torch.contiguous_format)


def _turn_upright(image: Image.Image) -> Image.Transpose | None:
    """What EXIF or XMP ask for; of a TIFF it was done, and forgotten, as its pixels were loaded."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are intact where the metadata are not
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """The loaded image with 8 bits a channel and without transparency."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_deep_grey(image))
    if not image.has_transparency_data:
        return image
    # Premultiplied grey converts to plain grey alone.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _deep_grey(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey of more than 8 bits as uint8 (H, W): rounded, never clipped."""
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
    clear = values == image.info.get("transparency", -1)  # the colour key of a PNG
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


if hasattr(os, "register_at_fork"):
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


def resize_shorter(image: Tensor, size: int) -> Tensor:
    """Scale uint8 (C, H, W) so that its shorter side is ``size``, by antialiased bicubic filter.

    The longer side is rounded to the nearest pixel, values are rounded and clamped to [0, 255].
    An image whose shorter side is ``size`` already is returned as it is.
    """
    _check_uint8(image, 3)
    if size < 1:
        raise ValueError(f"size is {size}, not at least 1")
    height, width = image.shape[1:]
    shorter = min(height, width)
    if shorter == size:
        return image
    target = tuple(math.floor(side * size / shorter + 0.5) for side in (height, width))
    if target[0] * target[1] > MAX_PIXELS:
        raise ValueError(f"{width} x {height} resized to {size} has more than {MAX_PIXELS} pixels")
    # PyTorch's kernel for colour fails where one pixel is asked for: there, plane by plane.
    planes = image[:, None] if target == (1, 1) else image[None]
    resized = F.interpolate(planes, size=target, mode="bicubic", antialias=True)
    return resized.reshape(-1, *target).contiguous()


def to_float(image: Tensor) -> Tensor:
    """uint8 in [0, 255] to float32 in [-1, 1]: x = u / 127.5 - 1, any shape."""
    if image.dtype != torch.uint8:
        raise ValueError(f"image is {image.dtype}, not torch.uint8")
    return image.float() / 127.5 - 1


def to_uint8(image: Tensor) -> Tensor:
    """float in [-1, 1] to uint8: u = round((x + 1) * 127.5), any shape; the inverse of `to_float`.

    Values beyond the range are clamped to it. Raises ``ValueError`` for NaN.
    """
    if not image.is_floating_point():
        raise ValueError(f"image is {image.dtype}, not floating point")
    if image.isnan().any():
        raise ValueError("image has NaN pixels")
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def write_image(path: str | os.PathLike[str], image: Tensor) -> None:
    """Write uint8 (C, H, W), C 1 or 3, in the format of the suffix, whole or not at all.

    PNG, TIFF, BMP and WebP are lossless; JPEG has quality 95 without chroma subsampling.
    """
    path = Path(path)
    _check_uint8(image, 3)
    if image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}, not (1 or 3, H, W)")
    format = EXTENSIONS.get(path.suffix.lower())
    if format is None:
        raise ValueError(f"cannot write {str(path)!r}: its suffix is none of {', '.join(EXTENSIONS)}")
    pixels = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with open(partial, "xb") as file:
            picture.save(file, format=format, **_LOSSLESS.get(format, {}))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_grid(path: str | os.PathLike[str], images: Tensor, *, columns: int) -> None:
    """Write uint8 (N, C, H, W) as one image, row by row, with gaps of two white pixels."""
    _check_uint8(images, 4)
    if columns < 1 or len(images) < 1:
        raise ValueError(f"{len(images)} images in {columns} columns: both must be at least 1")
    count, channels, height, width = images.shape
    columns, gap = min(columns, count), 2
    rows = math.ceil(count / columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    grid = torch.full((channels, *size), 255, dtype=torch.uint8)
    for i, image in enumerate(images.cpu()):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        grid[:, top : top + height, left : left + width] = image
    write_image(path, grid)


def _check_uint8(image: Tensor, dimensions: int) -> None:
    if image.dtype != torch.uint8 or image.ndim != dimensions:
        raise ValueError(
            f"image is {image.dtype} of shape {tuple(image.shape)}, not torch.uint8 of {dimensions} dimensions"
        )
