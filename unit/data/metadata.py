"""What a photograph's file says besides its pixels, and what of it goes into the file of its translation.

Kept are the resolution (dpi), descriptive EXIF (camera, dates, place), upright and in sRGB as the pixels are, and the
tags that place a GeoTIFF on the map. What describes how the pixels were stored, and thumbnails, are not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, TiffImagePlugin

MAX_EXIF = 2**20
"""The largest EXIF that is kept, in bytes."""

UNREADABLE = "metadata that can't be read, which is left out"

GEO = (33550, 33922, 34264, 34735, 34736, 34737)
"""GeoTIFF 1.1: the pixels' scale, tie points, a transformation, and the keys with their numbers and texts."""

# EXIF 2.3, of the first directory: description, maker, model, resolution, software, date, artist, host, rating,
# copyright, and Windows' texts.
_KEPT = {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095}
_ORIENTATION, _X, _Y, _UNIT, _EXIF, _GPS = 274, 282, 283, 296, 34665, 34853
_COLOR_SPACE, _WIDTH, _HEIGHT, _INTEROPERABILITY, _SRGB = 40961, 40962, 40963, 40965, 1


@dataclass(frozen=True)
class Metadata:
    """An image's resolution in dots per inch, its EXIF by directory and tag, and its GeoTIFF tags with their types, for
    the size that they are of: width, height."""

    dpi: tuple[float, float] | None = None
    tags: Mapping[int, Any] = field(default_factory=dict)
    exif: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)
    geo: Mapping[int, tuple[int, Any]] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)


def read_metadata(image: Image.Image) -> tuple[Metadata, str]:
    """What an opened image has to be kept, and a note on what can't be read, or nothing.

    A TIFF's is read before its pixels are, as it loses some of it then; a PNG's after them, where it may lie.
    """
    note = ""
    tags: dict[int, Any] = {}
    exif: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    geo: dict[int, tuple[int, Any]] = {}
    upright = True
    try:
        if len(image.info.get("exif") or b"") > MAX_EXIF:
            raise ValueError("EXIF too large")
        found = image.getexif()
        upright = found.get(_ORIENTATION, 1) == 1
        tags = {tag: found[tag] for tag in found if tag in _KEPT}
        exif, gps = (dict(found.get_ifd(pointer)) for pointer in (_EXIF, _GPS))
        exif.pop(_INTEROPERABILITY, None)
    except MemoryError:
        raise
    except Exception:  # as of pixels, from hostile files nearly anything
        note = UNREADABLE
    directory = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and directory is not None and upright:
        geo = {tag: (directory.tagtype[tag], directory[tag]) for tag in GEO if tag in directory}
    return Metadata(_resolution(image, tags), tags, exif, gps, geo, image.size), note


def _resolution(image: Image.Image, tags: Mapping[int, Any]) -> tuple[float, float] | None:
    """Dots per inch across and down: the file's own, or EXIF's."""
    dpi = image.info.get("dpi")
    if _X not in getattr(image, "tag_v2", {_X: None}):  # Pillow takes a TIFF's to be 1 where there is none
        dpi = None
    if dpi is None and _X in tags and _Y in tags and tags.get(_UNIT, 2) in (2, 3):
        factor = 2.54 if tags.get(_UNIT) == 3 else 1.0
        dpi = (tags[_X], tags[_Y])
    else:
        factor = 1.0
    try:
        x, y = (float(part) * factor for part in dpi or ())
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(part) and 0 < part < 2**15 for part in (x, y)) else None


def save_options(metadata: Metadata, format: str, size: tuple[int, int]) -> dict[str, Any]:
    """Pillow's options that write the metadata into a file of a format, as far as it has room for it.

    What can't be written, such as numbers that are none, is left out: first of EXIF, then all.

    Args:
        metadata: the source's.
        format: Pillow's name of it.
        size: width and height of what is written; GeoTIFF tags are for the size that they came with.
    """
    dpi = {} if metadata.dpi is None or format == "WEBP" else {"dpi": metadata.dpi}
    geo = dict(metadata.geo) if size == metadata.size else {}
    described = bool(metadata.tags or metadata.exif or metadata.gps)
    candidates: list[dict[str, Any]] = [{}, dpi]
    if format == "TIFF" and geo:
        candidates.append(dpi | {"tiffinfo": _directory(Metadata(geo=geo), size)})
    if format == "TIFF" and described:
        candidates.append(dpi | {"tiffinfo": _directory(metadata, size, without_geo=not geo)})
    if format in ("JPEG", "PNG", "WEBP") and described:
        candidates.append(dpi | {"exif": _exif(metadata, size)})
    return next(options for options in reversed(candidates) if not options or _can_be_written(options, format))


def _can_be_written(options: Mapping[str, Any], format: str) -> bool:
    try:
        Image.new("L", (1, 1)).save(BytesIO(), format=format, **options)
    except MemoryError:
        raise
    except Exception:  # a value that its type doesn't hold, or more than a segment of a JPEG does
        return False
    return True


def _camera(metadata: Metadata, size: tuple[int, int]) -> dict[int, Any]:
    """The second directory, for pixels of sRGB and of this size."""
    if not metadata.exif:
        return {}
    return {**metadata.exif, _COLOR_SPACE: _SRGB, _WIDTH: size[0], _HEIGHT: size[1]}


def _exif(metadata: Metadata, size: tuple[int, int]) -> Image.Exif:
    exif = Image.Exif()
    exif.update({**metadata.tags, _ORIENTATION: 1})
    exif.get_ifd(_EXIF).update(_camera(metadata, size))
    exif.get_ifd(_GPS).update(metadata.gps)
    return exif


def _directory(
    metadata: Metadata, size: tuple[int, int], *, without_geo: bool = False
) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in metadata.tags.items():
        directory[tag] = value
    if metadata.tags or metadata.exif or metadata.gps:
        directory[_ORIENTATION] = 1
    for pointer, values in ((_EXIF, _camera(metadata, size)), (_GPS, metadata.gps)):
        if values:
            directory[pointer] = dict(values)
    for tag, (kind, value) in () if without_geo else metadata.geo.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    return directory
