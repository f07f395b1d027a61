"""Color profiles (ICC): the pixels of an image with one become sRGB, which all others are taken to be.

Colors are matched relative to white, with the black points matched too, as image editors do by default. A profile that
moves no color by more than a level of 255 is sRGB by another name, and changes no pixel.
"""

import functools
from io import BytesIO
from typing import BinaryIO

from PIL import Image, ImageCms

MAX_PROFILE = 2**22
"""The largest profile that is applied, in bytes: printers' have up to three million."""

BROKEN = "a broken color profile, which is ignored"
TOO_LARGE = f"a color profile of more than {MAX_PROFILE} bytes, which is ignored"
OF_ANOTHER_KIND = "a color profile of another kind than its pixels, which is ignored"

_Transform = list[int] | ImageCms.ImageCmsTransform | None
"""A table of gray levels, a transform of colors, or nothing to do."""

_MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}  # ICC.1:2022, table 19: bytes 16 to 19 of a profile


def profile_of(image: Image.Image) -> bytes | str | None:
    """The image's profile, None where it has none, or what is wrong with it."""
    if "icc_profile" not in image.info:
        return None
    profile = image.info["icc_profile"]  # None for one that Pillow could not put together
    return profile if isinstance(profile, bytes | str) else BROKEN


def to_srgb(image: Image.Image, profile: bytes | str | None) -> tuple[Image.Image, str]:
    """Convert a loaded image without transparency to sRGB, or gray of sRGB's levels.

    Args:
        image: of any mode of 8 bits that Pillow converts to RGB.
        profile: what `profile_of` found.

    Returns:
        The image, L or RGB where a profile was applied, and why one was not, or nothing.
    """
    if profile is None:
        return image, ""
    if isinstance(profile, str):
        return image, profile
    if len(profile) > MAX_PROFILE:
        return image, TOO_LARGE
    mode = _MODES.get(profile[16:20])
    if mode is None:
        return image, BROKEN if len(profile) < 128 else OF_ANOTHER_KIND
    is_gray = image.mode in ("1", "L")
    if mode != "RGB" and mode != ("L" if is_gray else image.mode):
        return image, OF_ANOTHER_KIND
    if mode == "RGB" and image.mode == "CMYK":
        return image, OF_ANOTHER_KIND
    try:
        transform = _transform(profile, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, BROKEN
    if transform is None:
        return image, ""
    if isinstance(transform, list):
        return image.convert("L").point(transform), ""
    converted = image if image.mode == mode else image.convert(mode)
    applied = ImageCms.applyTransform(converted, transform)
    assert applied is not None
    return applied, ""


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> _Transform:
    """What turns pixels of a mode under a profile into sRGB; safe in threads. Raises PyCMSError for a broken one."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "CMYK":
        return transform
    probe = _probe(mode)
    applied = ImageCms.applyTransform(probe, transform)
    assert applied is not None
    before, after = probe.convert("RGB").tobytes(), applied.tobytes()
    if max(abs(x - y) for x, y in zip(before, after, strict=True)) <= 1:
        return None
    return list(after[1::3]) if mode == "L" else transform


def _probe(mode: str) -> Image.Image:
    """Every gray level, or colors from all over the cube."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    levels = range(0, 256, 15)
    colors = bytes(part for r in levels for g in levels for b in levels for part in (r, g, b))
    return Image.frombytes("RGB", (len(colors) // 3, 1), colors)


def without_profile(file: BinaryIO) -> BytesIO | None:
    """A PNG file's bytes without its profile, which Pillow refuses with the image where it unpacks to too much; None
    for a file that is not a PNG with a profile."""
    file.seek(0)
    data, place = file.read(), 8
    while data.startswith(b"\x89PNG") and (kind := data[place + 4 : place + 8]) not in (b"", b"IDAT"):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if kind == b"iCCP":
            return BytesIO(data[:place] + data[end:])
        place = end
    return None
