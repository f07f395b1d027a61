"""Seeded makers of files that a careless or hostile hand could have left: images, configs and model folders.

Each maker says of what it makes what must become of it: `good` is used, `bad` is refused by name, and `either` may be
used or refused, since a flipped bit may leave a file whole. Nothing may crash, hang, fill the memory, run code, or
write anywhere but where it was told to.
"""

import io
import json
import os
import pickle
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

Verdict = Literal["good", "bad", "either"]

SIDE = 24
"""Side of the images that are mutated, in pixels."""


class Marker:
    """An object whose unpickling makes a folder: the mark that code was run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def pickles(mark: Path) -> dict[str, bytes]:
    """Pickles that make the mark when they are loaded, bare and as torch.save packs them, by kind."""
    bare = {f"protocol {protocol}": pickle.dumps(Marker(mark), protocol) for protocol in (0, 2, 4)}
    packed = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "more": Marker(mark)}, packed)
    old = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "more": Marker(mark)}, old, _use_new_zipfile_serialization=False)
    return bare | {"torch.save": packed.getvalue(), "torch.save of old": old.getvalue()}


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def flipped(data: bytes, draw: random.Random, *, within: int | None = None) -> bytes:
    """The data with 1, 4 or 16 bits flipped in its first `within` bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16))):
        changed[draw.randrange(min(within or len(data), len(data)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


# Images


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
        "jpeg grey": (".JPG", encoded(noise("L"), "JPEG")),
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
        for name in ("jpeg", "jpeg progressive", "jpeg grey"):
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
    """(kind, suffix, content) of small PNGs beside whose few pixels a text or a colour profile unpacks to 256 MB."""
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
    for format in ("GIF", "PPM", "ICO", "TGA", "PDF", "EPS", "JPEG2000", "PCX", "SGI", "XBM", "DDS", "AVIF", "ICNS"):
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


STEMS: tuple[str | bytes, ...] = (
    "two words", " leading and trailing ", "it's", 'a "quoted" name', "back\\slash", "new\nline", "carriage\rreturn",
    "tab\there", "\x1b[31mred", "bell\a", "Straße", "日本語", "עברית", "🎉", "e\u0301", "turned\u202egnp",
    "line\u2028separator", "zero\u200bwidth", b"latin-1 \xe9", b"\xff\xfe", "-", "--overwrite", "$(touch pwned)",
    "`touch pwned`", "; touch pwned", "a%sb{0}", "con", "~", "*?", "#", "x" * 245, "many.dots.in.it", "error: x",
)  # fmt: skip
"""Stems of file names that a shell, a terminal or a report could stumble over."""


class Planted(NamedTuple):
    """What a folder of mutated images holds: the verdict on every path that is an image by its name, and its kind."""

    verdicts: dict[Path, Verdict]
    kinds: dict[Path, str]


def plant_images(folder: Path, *, seed: int, each: int, mark: Path) -> Planted:
    """Write mutated images, oddly named ones, links, pipes and folders into a new folder, nested ones among them."""
    verdicts: dict[Path, Verdict] = {}
    kinds: dict[Path, str] = {}

    def plant(path: Path, kind: str, verdict: Verdict, data: bytes | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            path.write_bytes(data)
        verdicts[path], kinds[path] = verdict, kind
        return path

    for number, file in enumerate(image_files(seed=seed, each=each, mark=mark)):
        below = "nested/deep" if number % 3 == 2 else "."
        plant(folder / below / f"{number:05d}{file.suffix}", file.kind, file.verdict, file.data)

    (png_of, jpeg), bad = (samples()[name][1] for name in ("png", "jpeg")), b"no image"
    for number, stem in enumerate(stem if isinstance(stem, bytes) else stem.encode() for stem in STEMS):
        path = folder / "odd names" / os.fsdecode(stem + b".png")
        plant(path, "odd name, sound", "good", png_of if number % 2 else jpeg)
        plant(folder / "odder names" / os.fsdecode(stem + b".png"), "odd name, bad", "bad", bad)
        plant(
            folder / os.fsdecode(stem) / "x.png",
            "odd folder",
            "good" if number % 2 else "bad",
            png_of if number % 2 else bad,
        )

    links = folder / "links"
    links.mkdir()
    sound = next(path for path, verdict in verdicts.items() if verdict == "good")
    targets: dict[str, tuple[Path, Verdict]] = {
        "loop.png": (links / "loop.png", "bad"),
        "there.png": (links / "back.png", "bad"),
        "back.png": (links / "there.png", "bad"),
        "dangling.png": (links / "nowhere.png", "bad"),
        "folder.png": (folder / "nested", "bad"),
        "device.png": (Path("/dev/zero"), "bad"),
        "text.png": (Path(__file__), "bad"),
        "sound.png": (sound, "good"),
    }
    for name, (target, verdict) in targets.items():
        os.symlink(target, links / name)
        if not target.is_dir():
            plant(links / name, "link", verdict)
    os.symlink(folder, links / "up")
    os.symlink(links, links / "here")
    os.symlink("circle", links / "circle")
    (folder / "a folder.png").mkdir()
    plant(folder / "a folder.png" / "x.png", "in a folder named like an image", "good", png_of)
    os.mkfifo(plant(folder / "pipe.png", "pipe", "bad"))
    for number, (suffix, head) in enumerate(SPARSE.items()):
        path = plant(folder / f"sparse {number}{suffix}", "sparse file of many gigabytes", "bad", head)
        os.truncate(path, 2**36)
    plant(folder / "unreadable.png", "unreadable", "either", png_of).chmod(0)  # root reads it all the same
    return Planted(verdicts, kinds)


SPARSE = {
    ".webp": b"RIFF\xf8\xff\xff\xffWEBPVP8 \xec\xff\xff\xff",
    ".png": png(b"", width=SIDE, height=SIDE)[:33] + b"\x7f\xff\xff\xfftEXt",
    ".tif": tiff({256: (4, SIDE), 257: (4, SIDE), 258: (3, 8), 270: (2, 0)}, b"").replace(
        struct.pack("<HHI", 270, 2, 1), struct.pack("<HHI", 270, 2, 2**31 - 1)
    ),
    ".jpg": b"\xff\xd8",
    ".bmp": b"BM",
}
"""The first bytes of files that are zeros from there on, and that a careless reader would read whole."""


# Configs


class ConfigFile(NamedTuple):
    """A config's kind of mutation, its content, and what must become of it."""

    kind: str
    data: bytes
    verdict: Verdict


CALLS = (
    "!!python/object/apply:os.mkdir ['{mark}']",
    "!!python/object/new:os.mkdir ['{mark}']",
    "!!python/object/apply:os.system [\"mkdir '{mark}'\"]",
    "!!python/object/apply:subprocess.check_output [[mkdir, '{mark}']]",
    "!!python/object/apply:builtins.eval [\"__import__('os').mkdir('{mark}')\"]",
    "!!python/object/new:type {{args: [z, [], {{extend: !!python/name:exec }}], listitems: 'import os'}}",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "{{class_path: os.mkdir, init_args: {{path: '{mark}'}}}}",
    "{{class_path: os.mkdir, init_args: ['{mark}'], dict_kwargs: {{}}}}",
    "{{class_path: pathlib.Path, init_args: ['{mark}']}}",
    "{{_target_: os.mkdir, path: '{mark}'}}",
    "os.mkdir('{mark}')",
    "'!!python/object/apply:os.mkdir [\"{mark}\"]'",
)
"""Values that ask for code to be run."""

TAGGED = (
    "!!int ''", "!!int x", "!!float x", "!!bool maybe", "!!timestamp x", "!!binary \xe9", "!!set {1, 2}", "!own 3",
    "!!omap 3", "!!pairs [3]", "!!null x", "!!seq {}", "!!map []", "!<tag:example.org,2000:x> 3",
)  # fmt: skip
UNREADABLE = ("2001-13-45", "2001-02-30T99:99:99Z", "0b_", "0x_", "9" * 5000, "0x" + "f" * 5000, "1:" * 3000 + "1")
NESTED = ("[", "{a: ", "- ", "? ", "[{a: ", "{? [")


def configs_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The sections of the real configs, by name."""
    import yaml

    return {path.name: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))}


def wrong_values(default: object) -> list[object]:
    """Values that a key with this default never takes."""
    nan, infinity = float("nan"), float("inf")
    anywhere: list[object] = [{"x": 1}, [[1]], {"class_path": "os.mkdir"}]
    match default:
        case bool():
            return [*anywhere, "maybe", 2, None, 0.5]
        case int() | float():
            return [*anywhere, "abc", "", [1], None, True, nan, infinity, -infinity, "1 2", "-", b"\xff"]
        case tuple():
            return [*anywhere, "abc", None, 3, [], [[]], ["x", None], [nan], True]
        case str():
            return [*anywhere, [1], [], ["a", "b"]]
        case _:
            return anywhere


def laughs(levels: int, each: int = 9) -> str:
    """Anchors that name one another: each level expands to `each` of the one below."""
    lines = ["l0: &l0 [lol, lol, lol]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int, each: int = 9) -> str:
    """The same with merge keys, which a reader has to expand."""
    lines = ["m0: &m0 {k: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * each)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def config_files(
    configs: Path, defaults: Callable[[str], dict[str, Any]], mark: Path, *, seed: int
) -> Iterator[ConfigFile]:
    """Mutations of each of the real configs; `defaults(method)` are a method's keys and their defaults."""
    import yaml

    draw = random.Random(seed)

    def text(sections: object) -> bytes:
        return yaml.safe_dump(sections, sort_keys=False).encode()

    files = configs_of(configs)
    for name, sections in files.items():
        method = str(sections.get("method", "unit"))
        keys = defaults(method)
        whole = (configs / name).read_bytes()

        def changed(key: str, value: object, sections: dict[str, Any] = sections) -> dict[str, Any]:
            section, inner = key.split(".")
            return sections | {section: sections.get(section, {}) | {inner: value}}

        for key in draw.sample(sorted(keys), 6):
            value = draw.choice(wrong_values(keys[key]))
            yield ConfigFile(f"wrong value of {key}", text(changed(key, value)), "bad")
        section = draw.choice([name for name in sections if name != "method"])
        yield ConfigFile(
            "unknown key", text(changed(f"{section}.{draw.choice(['lrr', 'class_path', '', ' '])}", 3)), "bad"
        )
        yield ConfigFile(
            "unknown section", text(sections | {draw.choice(["modle", "init_args", "config"]): {"x": 3}}), "bad"
        )
        yield ConfigFile("section without keys", text(sections | {section: draw.choice([3, [], "x", None])}), "bad")
        yield ConfigFile(
            "unknown method", text(sections | {"method": draw.choice(["gan", 3, None, [method], {}])}), "bad"
        )
        other = draw.choice([other for other in files.values() if other.get("method", "unit") != method])
        yield ConfigFile(
            "sections of two methods",
            text(sections | {"method": method, "model": other.get("model", {}) | {"nets": 3}}),
            "bad",
        )
        mixed = {"method": other.get("method", "unit")} | {k: v for k, v in sections.items() if k != "method"}
        yield ConfigFile("another's method", text(mixed), "either")
        call = draw.choice(CALLS).format(mark=mark).encode()
        for kind, line in (("call as section", b"evil: " + call), ("call as key", b"? " + call + b"\n: 3")):
            yield ConfigFile(kind, whole + b"\n" + line + b"\n", "bad")
        yield ConfigFile("call as value", text(changed("optim.lr", "CALL")).replace(b"CALL", call), "bad")
        again = draw.choice(list(sections)).encode()
        yield ConfigFile("a section twice", whole + b"\n" + again + b": {}\n", "bad")
        doubled = text(changed("optim.beta1", 0.5)).replace(b"  beta1: 0.5", b"  beta1: 0.5\n  beta1: 0.25")
        yield ConfigFile("a key twice", doubled, "bad")
        value = draw.choice(TAGGED).encode()
        yield ConfigFile("tag", text(changed("optim.lr", "TAG")).replace(b"TAG", value), "bad")
        value = draw.choice(UNREADABLE).encode()
        yield ConfigFile("unreadable value", text(changed("optim.beta1", "VALUE")).replace(b"VALUE", value), "bad")
        yield ConfigFile("anchor", whole + b"\nevil: &x [*x]\n", "bad")
        depth = draw.choice((100, 5000))
        yield ConfigFile("deep nesting", whole + b"\nevil: " + draw.choice(NESTED).encode() * depth, "bad")
        yield ConfigFile("two documents", whole + b"\n---\n" + whole, "bad")
        yield ConfigFile("in UTF-16", whole.decode().encode("utf-16"), "bad")
        yield ConfigFile("not UTF-8", whole + b"\n# caf\xe9\n", "bad")
        yield ConfigFile("control character", whole + draw.choice((b"\0", b"\x07", b"\x1b[31m", b"\x7f")), "bad")
        yield ConfigFile("random bytes", draw.randbytes(draw.choice((1, 30, 3000))), "bad")
        for _ in range(3):
            yield ConfigFile("truncated", truncated(whole, draw), "either")
            yield ConfigFile("flipped bits", flipped(whole, draw), "either")
        lines = whole.splitlines(keepends=True)
        draw.shuffle(lines)
        yield ConfigFile("shuffled lines", b"".join(lines), "either")
        yield ConfigFile("with a byte order mark", b"\xef\xbb\xbf" + whole, "either")

    for levels in (2, 5, 10, 30):
        for bomb in (laughs(levels), merges(levels)):
            yield ConfigFile("anchors", bomb.encode(), "bad")
            below = "\n".join(f"  {line}" for line in bomb.splitlines())
            yield ConfigFile(
                "anchors in a section", f"optim:\n{below}\n  lr: *{bomb[:1]}{levels - 1}\n".encode(), "bad"
            )
            yield ConfigFile("anchors for a section", f"{bomb}\noptim: *{bomb[:1]}{levels - 1}\n".encode(), "bad")
    tower = "3"
    for level in range(9):
        tower = f"[&l{level} {tower}" + f", *l{level}" * 9 + "]"
    for key in ("optim: {{lr: '{}'}}", "model: {{blocks: '{}'}}", "data: {{flip: '{}'}}", "data: {{resize: '{}'}}",
                "method: vae\nmodel: {{hidden: '{}'}}", "method: '{}'", "model: '{}'"):  # fmt: skip
        yield ConfigFile("anchors in a string", key.format(tower).encode(), "bad")
    for key in ("data: {{root: '{}'}}", "run: {{output: '{}'}}"):
        yield ConfigFile("anchors in a name", key.format(tower).encode(), "either")
        yield ConfigFile("deep nesting in a name", key.format("[" * 30_000).encode(), "either")
    for nested in NESTED:
        for depth in (50, 1000, 30_000):
            closed = nested * depth + "3" + "".join({"[": "]", "{": "}"}.get(c, "") for c in reversed(nested)) * depth
            for data in (nested * depth, f"optim: {closed}", f"optim: {{lr: {closed}}}"):
                yield ConfigFile("deep nesting", data.encode(), "bad")
            if nested in "[":
                yield ConfigFile("deep nesting in a string", f"optim: {{lr: '{closed}'}}".encode(), "bad")
    for data in (
        b"",
        b"\n",
        b"# nothing\n",
        b"3",
        b"null",
        b"text",
        b"- a\n- b\n",
        b"{}\n---\n{}",
        b"%YAML 9.9\n---\n{}",
    ):
        yield ConfigFile("no sections", data, "bad")
    for key in (r"\e[31mred", r"\0", r"new\nline", r"\uD800", r"\u202E", r"\u2028", "日本語", "x" * 50_000):
        yield ConfigFile("odd key", f'"{key}": 3\n'.encode(), "bad")
        yield ConfigFile("odd key", f'optim: {{"{key}": 3}}\n'.encode(), "bad")
        yield ConfigFile("odd value", f'optim: {{lr: "{key}"}}\n'.encode(), "bad")
        yield ConfigFile("odd method", f'method: "{key}"\n'.encode(), "bad")
    for key in ("1", "1.5", "true", "null", "2001-01-01", "? [a]", "<<", "=", "!!binary aGk="):
        yield ConfigFile("key of another type", f"{key}: 3\n".encode(), "bad")
        yield ConfigFile("key of another type", f"optim:\n  {key}: 3\n".encode(), "bad")
    for number in ("1e400", "-1e400", "1e309", "9" * 400, "-" + "9" * 400, ".NaN", ".inf", "-.INF", "nan", "-1e-400x"):
        for key in ("optim.lr", "train.steps", "data.zoom", "model.width", "loss.kl", "model.slope"):
            section, inner = key.split(".")
            yield ConfigFile("number beyond bounds", f"{section}: {{{inner}: {number}}}\n".encode(), "either")
    yield ConfigFile("ten megabytes", b"optim: {lr: 1}\n" + b"# more\n" * 1_500_000, "bad")
    yield ConfigFile("ten megabytes of keys", b"".join(b"k%d: 3\n" % n for n in range(10**6)), "bad")


# Model folders

Harm = Callable[[Path], None]


class ModelFolder(NamedTuple):
    """What is done to a sound model's folder, and what must become of it."""

    kind: str
    harm: Harm
    verdict: Verdict


def with_description(**changes: object) -> Harm:
    """Change keys of config.json, of its `model` where they are named `model_…`; None takes a key away."""

    def harm(folder: Path) -> None:
        description = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            place, name = (description["model"], key[6:]) if key.startswith("model_") else (description, key)
            if value is None:
                del place[name]
            else:
                place[name] = value
        (folder / "config.json").write_text(json.dumps(description))

    return harm


def with_file(name: str, change: Callable[[bytes], bytes]) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return harm


def with_tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Harm:
    def harm(folder: Path) -> None:
        save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors")

    return harm


def with_header(change: Callable[[dict[str, Any]], object]) -> Harm:
    """Change the JSON header of model.safetensors, and leave the numbers."""

    def changed(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    return with_file("model.safetensors", changed)


def in_place_of(name: str, make: Callable[[Path], object]) -> Harm:
    """Take a file away and let `make` put something else there."""

    def harm(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return harm


ABSURD: dict[str, tuple[object, ...]] = {
    "model_width": (0, -1, 1, 5, 4096, 10**6, 10**9, 2**31, 2**63, 10**30, 1.5, "wide", [4], {}, True, float("nan")),
    "model_blocks": (0, 1, 3, 100, 10**4, 10**9, -3, "x", 1e300),
    "model_downsamplings": (-1, 1, 3, 10, 40, 10**6, 10**12),
    "model_shared_blocks": (-1, 0, 2, 10**9),
    "model_last_kernel": (0, 2, 9, 10**6, -7),
    "model_slope": (-1, float("nan"), float("inf"), "a", 10**400),
    "model_regularizer": ("kl_learned", "os.system", 3, [], {"class_path": "os.mkdir"}),
    "model_upsampling": ("bilinear", 3),
    "model_class_path": ("os.mkdir",),
    "model_init_args": ({"path": "x"},),
    "model": ({}, [], "unit.methods.translator.Translator", 3, {"class_path": "os.mkdir", "init_args": {"path": "x"}}),
    "method": ("vae", "aae", "m1m2", "gan", "os.mkdir", 3, [], {}, "../unit", "unit.methods.unit:Unit"),
    "channels": (0, 1, 2, 4, -3, "3", 3.0, 3.5, 10**9, [3], True, None),
    "format": (0, 2, "1", [], {}, 10**30, -1, float("nan"), None),
    "step": (None, "x", [], {}, float("inf"), float("nan"), "9" * 5000),
}
"""Values of config.json's keys that do not describe the weights beside them, or nothing at all."""


def model_folders(mark: Path, *, seed: int, each: int) -> Iterator[ModelFolder]:
    """Ways to harm a translator's folder, `each` of those that are drawn; the mark would be made by planted code."""
    draw = random.Random(seed)
    weights, text = "model.safetensors", "config.json"
    for key, values in ABSURD.items():
        for value in values:
            yield ModelFolder(f"{key} {str(value)[:20]}", with_description(**{key: value}), "bad")
    huge = {"model_width": 4096, "model_downsamplings": 10, "model_blocks": 100, "model_shared_blocks": 100}
    yield ModelFolder("sizes of petabytes", with_description(**huge), "bad")
    for method in ("vae", "cvae", "m1", "m2", "m1m2", "aae", "aae_supervised", "aae_semi", "aae_cluster", "wae"):
        for model in (
            {},
            {"hidden": [2**20] * 100, "activations": ["relu"] * 100},
            {"latent": 2**40},
            {"hidden": [10**30]},
        ):
            yield ModelFolder(f"as {method}", with_description(method=method, size=28, model=model), "bad")
    for data in (
        b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"{}", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**5,
        b'{"format": 1}', b'{"format": 1, "step": 1e999}', b"!!python/object/apply:os.mkdir ['x']", b" " * 2**25,
        b'{"format": 1, "step": 1, "method": "unit", "model": {"__class__": "os.mkdir"}}', bytes(range(256)),
    ):  # fmt: skip
        yield ModelFolder("config.json that is none", with_file(text, lambda _, data=data: data), "bad")
    for kind, data in pickles(mark).items():
        for name in (text, weights):
            yield ModelFolder(f"{kind} as {name}", with_file(name, lambda _, data=data: data), "bad")

        def beside(folder: Path, data: bytes = data) -> None:
            for name in ("pytorch_model.bin", "model.pt", "model.pkl", "data.pkl", "config.pkl"):
                (folder / name).write_bytes(data)

        yield ModelFolder(f"{kind} beside a sound model", beside, "good")

    yield ModelFolder(
        "model.py beside a sound model",
        lambda f: Path(f, "model.py").write_text(f"import os; os.mkdir({str(mark)!r})") and None,
        "good",
    )
    for name in (text, weights):
        for _ in range(each):
            chance = random.Random(draw.random())
            yield ModelFolder(f"{name} truncated", with_file(name, lambda d, c=chance: truncated(d, c)), "bad")
        for kind, make in {
            "missing": lambda path: None,
            "a folder": Path.mkdir,
            "a pipe": os.mkfifo,
            "a loop": lambda path: path.symlink_to(path),
            "a link to nothing": lambda path: path.symlink_to("/nonexistent/model"),
            "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
            "a link to a text": lambda path: path.symlink_to(__file__),
            "of many gigabytes": lambda path: (path.touch(), os.truncate(path, 2**40)),
        }.items():
            yield ModelFolder(f"{name} is {kind}", in_place_of(name, make), "bad")
    for number in range(2 * each):
        chance = random.Random(draw.random())
        yield ModelFolder("flipped bits in config.json", with_file(text, lambda d, c=chance: flipped(d, c)), "either")
        within = 400 if number % 2 else None  # the header, or mostly the numbers
        yield ModelFolder(
            "flipped bits in the weights",
            with_file(weights, lambda d, c=chance, w=within: flipped(d, c, within=w)),
            "either",
        )
    for length in (0, 1, 2**20, 2**26, 2**31, 2**40, 2**63, 2**64 - 1):
        yield ModelFolder(
            "header of absurd length", with_file(weights, lambda d, n=length: n.to_bytes(8, "little") + d[8:]), "bad"
        )
    for nested in (b"[" * 10**6, b'{"a":' * 10**5):
        packed = len(nested).to_bytes(8, "little") + nested
        yield ModelFolder("header nested deep", with_file(weights, lambda _, data=packed: data), "bad")

    def first(header: dict[str, Any]) -> dict[str, Any]:
        return next(value for key, value in header.items() if key != "__metadata__")

    for dtype in ("F64", "F16", "BF16", "I32", "U8", "BOOL", "C64", "F8_E4M3", "F4", "X", "", 3, None, "object"):
        yield ModelFolder(f"dtype {dtype}", with_header(lambda h, t=dtype: first(h).update(dtype=t)), "bad")
    for shape in ([], [2**40], [2**63], [-1], [0], ["x"], [1.5], None, [2**32] * 3, [1] * 10_000):
        yield ModelFolder(f"shape {str(shape)[:20]}", with_header(lambda h, s=shape: first(h).update(shape=s)), "bad")
    for offsets in ([0, 0], [0, 2**62], [10, 5], [-4, 4], [0], [0, "x"], None):
        yield ModelFolder(
            f"offsets {offsets}", with_header(lambda h, o=offsets: first(h).update(data_offsets=o)), "bad"
        )
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.complex64, torch.bool):
        yield ModelFolder(
            f"weights of {dtype}", with_tensors(lambda ts, t=dtype: {k: v.to(t) for k, v in ts.items()}), "bad"
        )
    for value in (float("nan"), float("inf"), -float("inf")):

        def broken(tensors: dict[str, torch.Tensor], value: float = value) -> dict[str, torch.Tensor]:
            tensors[draw.choice(sorted(tensors))].view(-1)[-1] = value
            return tensors

        yield ModelFolder(f"a weight that is {value}", with_tensors(broken), "bad")
    for value in (1e38, -3e38):  # finite weights whose translations are not
        yield ModelFolder(
            "huge weights",
            with_tensors(lambda ts, v=value: {k: torch.full_like(x, v) for k, x in ts.items()}),
            "either",
        )
    changes: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
        "no tensors": lambda ts: {},
        "a tensor missing": lambda ts: dict(list(ts.items())[1:]),
        "a tensor more": lambda ts: ts | {"more": torch.zeros(3)},
        "oddly named tensor": lambda ts: ts | {"\x1b[31m\n..\u202e/": torch.zeros(3)},
        "transposed": lambda ts: {k: v.transpose(0, -1).contiguous() if v.ndim > 1 else v for k, v in ts.items()},
        "flattened": lambda ts: {k: v.flatten() for k, v in ts.items()},
        "names swapped": lambda ts: dict(zip(reversed(ts), ts.values(), strict=True)),
        "empty tensors": lambda ts: {k: v[:0] for k, v in ts.items()},
    }
    for kind, change in changes.items():
        yield ModelFolder(kind, with_tensors(change), "bad")
