"""Images as tensors, and their files: find, convert, resize, write. `unit.data.decoding` reads them.

Outside, an image is uint8 (C, H, W) in [0, 255]; inside, it is float in [-1, 1]:

    x = to_float(u) = u / 127.5 - 1,        u = to_uint8(x) = round((x + 1) * 127.5).
"""

import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from unit.data.formats import EXTENSIONS as EXTENSIONS  # also for those who import it from here
from unit.data.formats import MAX_PIXELS as MAX_PIXELS
from unit.data.formats import WRITTEN
from unit.data.metadata import Metadata, save_options

ABANDONED_AFTER = 60.0
"""Seconds after which an unfinished file that nobody writes to is taken for a killed process's."""

_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")

_LOSSLESS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},  # as near as JPEG comes
    "WEBP": {"lossless": True, "exact": True},  # also of colors under transparency
}


class Found(NamedTuple):
    """The files below a folder: images by their suffix, and others."""

    images: list[Path]
    others: list[Path]


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The images among the files that `find_files` lists."""
    return find_files(folder).images


def find_files(folder: str | os.PathLike[str]) -> Found:
    """List all files below a folder: images by their suffix, of any case, and others.

    Hidden files and folders are left out. Links to folders are followed, but not back up, and no
    folder is listed twice. A subfolder that cannot be listed is named in a ``RuntimeWarning``.

    Args:
        folder: The folder; its own name may be hidden.

    Returns:
        Paths that begin with ``folder``, sorted by what follows it.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
        PermissionError: If it cannot be listed.
    """
    root = Path(folder)
    if not root.is_dir():
        if root.exists():
            raise NotADirectoryError(f"not a folder of images but a file: {str(root)!r}")
        raise FileNotFoundError(f"no such folder of images: {str(root)!r}")

    top = Path(os.path.realpath(root))
    seen = {_identity(folder) for folder in (top, *top.parents)}  # a link to a parent would list what lies beside
    found = Found([], [])
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
            elif not name.startswith("."):
                kind = found.images if os.path.splitext(name)[1].lower() in EXTENSIONS else found.others
                kind.append(Path(path))
        waiting += reversed(below)
    for paths in found:
        paths.sort(key=lambda path: path.relative_to(root).as_posix())
    return found


def _identity(folder: str | os.PathLike[str]) -> tuple[int, int] | str:
    """The same for a folder and all links to it; unlike its real path, it takes no look at every folder above."""
    try:
        status = os.stat(folder)
    except OSError:  # gone since, or above a folder that may not be searched
        return os.fspath(folder)
    return status.st_dev, status.st_ino


def to_float(image: Tensor) -> Tensor:
    """Convert uint8 to float: x = u / 127.5 - 1.

    Args:
        image: uint8 of any shape.

    Returns:
        float32 in [-1, 1], of the same shape.

    Raises:
        ValueError: If the image is not uint8.
    """
    if image.dtype != torch.uint8:
        raise ValueError(f"image is {image.dtype}, not torch.uint8")
    return image.float() / 127.5 - 1


def to_intensity(x: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], for likelihoods of pixels: p = (x + 1) / 2, any shape."""
    return (x + 1) / 2


def from_intensity(p: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]: x = 2p - 1, any shape; the inverse of `to_intensity`."""
    return 2 * p - 1


def to_uint8(image: Tensor) -> Tensor:
    """Convert float to uint8, the inverse of `to_float`: u = round((x + 1) * 127.5).

    Args:
        image: Floating point of any shape, in [-1, 1]; values beyond are clamped.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: If the image is not floating point or has NaN pixels.
    """
    if not image.is_floating_point():
        raise ValueError(f"image is {image.dtype}, not floating point")
    if image.isnan().any():
        raise ValueError("image has NaN pixels")
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


# Not torchvision, which takes as long to import as torch. Its v2 `resize` calls the same kernel, so the pixels are the
# same, but it fails on one pixel as well and truncates the longer side, where this rounds. Its `make_grid` turns
# grayscale into RGB and adds an outer border, though none to a single image; undoing that takes as many lines.


def center_square(image: Tensor, size: int) -> Tensor:
    """The center of an image that is not smaller: (C, H, W) → (C, size, size)."""
    top, left = ((side - size) // 2 for side in image.shape[1:])
    return image[:, top : top + size, left : left + size]


def resize_shorter(image: Tensor, size: int) -> Tensor:
    """Scale an image by an antialiased bicubic filter so that its shorter side is ``size``.

    The longer side is rounded to the nearest pixel; values are rounded and clamped to [0, 255].

    Args:
        image: uint8 (C, H, W), C 1 or 3.
        size: The shorter side in pixels, at least 1.

    Returns:
        uint8 (C, H', W') with min(H', W') = size: contiguous, or `image` itself if it has that size.

    Raises:
        ValueError: If the image is not uint8 (C, H, W), `size` is below 1, or the result would
            have more than `MAX_PIXELS` pixels.
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
    # PyTorch's kernel for color fails where one pixel is asked for: there, channel by channel.
    planes = image[:, None] if target == (1, 1) else image[None]
    resized = F.interpolate(planes, size=target, mode="bicubic", antialias=True)
    return resized.reshape(-1, *target).contiguous()


def write_grid(path: str | os.PathLike[str], images: Tensor, *, columns: int) -> None:
    """Write images as one, row by row, with gaps of two white pixels between them.

    Args:
        path: As for `write_image`.
        images: uint8 (N, C, H, W), C 1 or 3, N at least 1.
        columns: The most images in a row, at least 1.

    Raises:
        ValueError: For no images or columns, and for what `write_image` refuses.
    """
    write_image(path, tile(images, columns=columns))


def tile(images: Tensor, *, columns: int) -> Tensor:
    """Images as one, as `write_grid` writes them: uint8 (N, C, H, W) → (C, H', W')."""
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
    return grid


def write_image(
    path: str | os.PathLike[str], image: Tensor, *, alpha: Tensor | None = None, metadata: Metadata | None = None
) -> None:
    """Write an image in the format of the path's suffix, whole or not at all.

    PNG, TIFF, BMP and WebP are lossless; JPEG has quality 95 without chroma subsampling.

    Args:
        path: A file in an existing folder; one that exists is replaced.
        image: uint8 (C, H, W), C 1 (grayscale) or 3 (RGB).
        alpha: Its transparency, uint8 (H, W), kept as PNG, WebP or TIFF; as JPEG or BMP, the image is composited on
            white.
        metadata: What goes into the file besides, as far as the format has room for it.

    Raises:
        ValueError: If the image or its alpha is not such a tensor or the suffix is not in `WRITTEN`.
        OSError: If the file cannot be written; an old one is left as it was.
    """
    path = Path(path)
    _check_uint8(image, 3)
    if image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}, not (1 or 3, H, W)")
    format = WRITTEN.get(path.suffix.lower())
    if format is None:
        raise ValueError(f"cannot write {str(path)!r}: its suffix is none of {', '.join(WRITTEN)}")
    pixels = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    if alpha is not None:
        keeps = format in ("PNG", "WEBP", "TIFF")
        picture = with_alpha(picture, alpha) if keeps else on_white(picture, _mask(alpha))
    options = _LOSSLESS.get(format, {}) | ({} if metadata is None else save_options(metadata, format, picture.size))
    partial = path.parent / f".{secrets.token_hex(8)}.partial"  # as `clear_partials` knows it
    try:
        with open(partial, "xb") as file:
            picture.save(file, format=format, **options)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def with_alpha(picture: Image.Image, alpha: Tensor) -> Image.Image:
    """An L or RGB image with transparency, uint8 (H, W): LA or RGBA."""
    picture = picture.copy()
    picture.putalpha(_mask(alpha))
    return picture


def on_white(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """An L or RGB image composited on white."""
    flat = Image.new(picture.mode, picture.size, "white")
    flat.paste(picture, mask=mask)
    return flat


def _mask(alpha: Tensor) -> Image.Image:
    _check_uint8(alpha, 2)
    return Image.fromarray(alpha.detach().cpu().contiguous().numpy())


def clear_partials(folders: Iterable[Path]) -> None:
    """Remove what `write_image` left in these folders where it was killed: files of its names that nobody has written
    to for a minute. What can't be listed or removed stays."""
    latest = time.time() - ABANDONED_AFTER
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if _PARTIAL.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(OSError):
                        if entry.stat(follow_symlinks=False).st_mtime < latest:
                            os.unlink(entry.path)


def _check_uint8(image: Tensor, dimensions: int) -> None:
    if image.dtype != torch.uint8 or image.ndim != dimensions:
        raise ValueError(
            f"image is {image.dtype} of shape {tuple(image.shape)}, not torch.uint8 of {dimensions} dimensions"
        )
