"""Seeded makers of image files that are damaged, absurd, bombs, or no images at all."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mutations import Verdict, flipped, pickles, truncated
from PIL import Image

SIDE = 24
"""Side of the images that are mutated, in pixels."""


class ImageFile(NamedTuple):
    """A file's kind of mutation, its content, and what must become of it."""

    kind: str
    suffix: str
    data: bytes
    verdict: Verdict


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    draws = np.random.default_rng(0)
    return Image.fromarray(draws.integers(0, 256, (size[1], size[0], *channels), np.uint8))


def samples() -> dict[str, tuple[str, bytes]]:
    """Sound images of every format that is allowed, in several codings: (suffix, content) by name."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return {
        "jpeg": (".jpg", encoded(noise(), "JPEG", exif=exif)),
        "jpeg progressive": (".jpeg", encoded(noise(), "JPEG", progressive=True)),
        "jpeg gray": (".JPG", encoded(noise("L"), "JPEG")),
        "png": (".png", encoded(noise("RGBA"), "PNG", exif=exif)),
        "png palette": (".png", encoded(noise().quantize(16), "PNG", transparency=bytes(range(16)))),
        "png 16 bits": (".png", encoded(Image.fromarray(np.arange(SIDE**2, dtype=np.uint16).reshape(SIDE, -1)), "PNG")),
        "webp": (".webp", encoded(noise(), "WEBP", exif=exif)),
        "webp lossless": (".webp", encoded(noise("RGBA"), "WEBP", lossless=True)),
        "webp animated": (".webp", encoded(noise(), "WEBP", save_all=True, append_images=[noise().rotate(90)])),
        "tiff": (".tif", encoded(noise(), "TIFF", exif=exif)),
        "tiff lzw": (".tiff", encoded(noise("RGBA"), "TIFF", compression="tiff_lzw")),
        "tiff deflate": (".tif", encoded(noise(), "TIFF", compression="tiff_adobe_deflate")),
        "tiff jpeg": (".tif", encoded(noise(), "TIFF", compression="jpeg")),
        "bmp": (".bmp", encoded(noise(), "BMP")),
        "bmp palette": (".bmp", encoded(noise().quantize(16), "BMP")),
    }


def png(
    pixels: bytes,
    *,
    width: int,
    height: int,
    bits: int = 8,
    kind: int = 0,
    chunks: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """A PNG of just these header fields and chunks; each checksum is right."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    inside = b"".join(chunk(name, content) for name, content in chunks)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + inside + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """Zero bytes deflated to a thousandth of their number, made from one megabyte of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = packer.compress(bytes(count % (1 << 20))) + packer.flush()
    return b"\x78\xda" + block * (count >> 20) + last + struct.pack(">HH", count % 65521, 1)  # Adler-32 of zeros


def tiff(tags: dict[int, tuple[int, int]], pixels: bytes) -> bytes:
    """A little-endian TIFF of one page with these tags: number → (type 3 or 4, value), its strip after them."""
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = sorted((tags | {273: (4, start)}).items())
    table = b"".join(struct.pack("<HHII", number, kind, 1, value) for number, (kind, value) in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + table + bytes(4) + pixels


def absurd_sizes() -> Iterator[tuple[str, str, bytes]]:
    """(kind, suffix, content) of images whose header gives sizes that are none or that no memory holds."""
    made = samples()
    little = zlib.compress(bytes(100))
    huge = (0, 20_000, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
    for width, height in [(side, side) for side in huge] + [(0, 8), (8, 0), (2**31 - 1, 1), (1, 2**31 - 1)]:
        for bits, kind in ((8, 0), (8, 2), (16, 6), (1, 0)):
            yield "png of absurd size", ".png", png(little, width=width, height=height, bits=bits, kind=kind)
        plain = {
            256: (4, width), 257: (4, height), 258: (3, 8), 262: (3, 1), 277: (3, 1), 278: (4, height),
            279: (4, 100),
        }  # fmt: skip
        for compression in (1, 5, 8, 32773):
            yield "tiff of absurd size", ".tif", tiff(plain | {259: (3, compression)}, bytes(100))
        bmp = bytearray(made["bmp"][1])
        bmp[18:26] = struct.pack("<II", width, height)
        yield "bmp of absurd size", ".bmp", bytes(bmp)
    for width, height in ((65_500, 65_500), (65_535, 65_535), (0, 0), (20_000, 20_000)):
        for name in ("jpeg", "jpeg progressive", "jpeg gray"):
            suffix, data = made[name]
            frame = data.index(b"\xff\xc2" if name == "jpeg progressive" else b"\xff\xc0")
            size = struct.pack(">HH", height, width)
            yield "jpeg of absurd size", suffix, data[: frame + 5] + size + data[frame + 9 :]
    animated = made["webp animated"][1]
    canvas = animated.index(b"VP8X") + 12
    for side in (2**14, 2**17, 2**24):
        size = struct.pack("<I", side - 1)[:3] * 2
        yield "webp of absurd size", ".webp", animated[:canvas] + size + animated[canvas + 6 :]
    lossless = encoded(noise(), "WEBP", lossless=True)
    start = lossless.index(b"VP8L") + 9
    bits = struct.unpack("<I", lossless[start : start + 4])[0] | (2**28 - 1)  # 14 bits each of width and height, less 1
    yield "webp of absurd size", ".webp", lossless[:start] + struct.pack("<I", bits) + lossless[start + 4 :]
    tile = {256: (4, 24), 257: (4, 24), 258: (3, 8), 262: (3, 1), 277: (3, 1)}
    for side in (2**17, 2**20, 2**30, 0):
        sizes = {322: (4, side), 323: (4, side), 324: (4, 200), 325: (4, 100)}
        for compression in (5, 8):
            yield "tiff of absurd tiles", ".tif", tiff(tile | sizes | {259: (3, compression)}, bytes(300))


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """(kind, suffix, content) of small files of more pixels or scans than are read, each a whole image."""
    side = 20_000
    yield "png bomb", ".png", png(zeros(side * (side // 8 + 1)), width=side, height=side, bits=1)
    yield "png bomb", ".png", png(zeros(side * (side + 1)), width=side, height=side)
    strip = zeros(side * side)
    tags = {
        256: (4, side), 257: (4, side), 258: (3, 8), 259: (3, 8), 262: (3, 1), 277: (3, 1), 278: (4, side),
        279: (4, len(strip)),
    }  # fmt: skip
    yield "tiff bomb", ".tif", tiff(tags, strip)
    yield "jpeg of many scans", ".jpg", of_many_scans(20_000)


def of_many_scans(scans: int, side: int = 4000) -> bytes:
    """A progressive JPEG whose last scan of a few bytes comes again and again, each time over the whole image."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def chunk_bombs() -> Iterator[tuple[str, str, bytes]]:
    """(kind, suffix, content) of small PNGs beside whose few pixels a text or a color profile unpacks to 256 MB."""
    pixels = zlib.compress((b"\0" + bytes(SIDE)) * SIDE)
    big = zeros(2**28)
    texts = {
        b"zTXt": b"Comment\0\0" + big,
        b"iTXt": b"Comment\0\1\0\0\0" + big,
        b"iCCP": b"profile\0\0" + big,
    }
    for name, content in texts.items():
        yield "png chunk bomb", ".png", png(pixels, width=SIDE, height=SIDE, chunks=((name, content),))
    many = tuple((b"tEXt", b"Comment\0" + b"x" * 2**19) for _ in range(8))
    yield "png of many texts", ".png", png(pixels, width=SIDE, height=SIDE, chunks=many)


def other_formats(mark: Path) -> Iterator[tuple[str, str, bytes]]:
    """(kind, suffix, content) of files that are no image, or none of a format that is read, whatever their suffix."""
    suffixes = (".png", ".jpg", ".tif", ".webp", ".bmp")
    for format in ("ICO", "TGA", "PDF", "EPS", "PCX", "SGI", "XBM", "DDS", "ICNS"):
        try:
            data = encoded(noise().convert("1" if format == "XBM" else "RGB"), format)
        except (KeyError, OSError):
            continue  # a Pillow without that encoder
        for suffix in suffixes[:3]:
            yield "another format", suffix, data
    texts = {
        "no bytes": b"", "one byte": b"\0", "text": b"not an image\n" * 99, "markup": b"<svg/>" * 50,
        "zeros": bytes(4096), "ones": b"\xff" * 4096, "script": f"#!/bin/sh\nmkdir '{mark}'\n".encode(),
        "php": f"<?php mkdir('{mark}');".encode(), "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }  # fmt: skip
    for kind, data in (texts | {f"pickle of {name}": data for name, data in pickles(mark).items()}).items():
        for suffix in suffixes:
            yield kind, suffix, data
    for suffix, data in samples().values():
        yield "signature alone", suffix, data[:8]


def image_files(*, seed: int, each: int, mark: Path) -> Iterator[ImageFile]:
    """Mutated image files: `each` truncations and twice as many with flipped bits of every sample, and all the rest."""
    draw = random.Random(seed)
    for name, (suffix, data) in samples().items():
        yield ImageFile("sound", suffix, data, "good")
        yield ImageFile("wrong extension", draw.choice((".png", ".bmp", ".webp", ".tif", ".JPEG")), data, "good")
        yield ImageFile("with a tail", suffix, data + draw.randbytes(500), "good")
        for number in range(each):
            # Half of an image of noise is never all of its pixels; the last bytes may be a trailer.
            cut = truncated(data[: len(data) // 2] if number % 2 else data, draw)
            yield ImageFile(f"truncated {name}", suffix, cut, "bad" if number % 2 else "either")
        for number in range(2 * each):
            changed = flipped(data, draw, within=200 if number % 2 else None)
            yield ImageFile(f"flipped bits in {name}", suffix, changed, "either")
    for maker in (absurd_sizes(), bombs(), other_formats(mark)):
        for kind, suffix, data in maker:
            yield ImageFile(kind, suffix, data, "bad")
    for kind, suffix, data in chunk_bombs():
        yield ImageFile(kind, suffix, data, "either")
