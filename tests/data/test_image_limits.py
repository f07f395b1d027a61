"""Files that ask for much: each is refused in bounded time and memory, by a process that may have 2 GB."""

import io
import multiprocessing
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from image_files import noise, picture, png, saved, written
from PIL import Image, features

from unit.data.decoding import ImageError, decode_image, read_image

SECONDS = 20.0
"""A generous bound; each takes well under a second."""


def jpeg(before: bytes = b"", **options: object) -> bytes:
    """A small JPEG, with something between its first marker and the others."""
    file = io.BytesIO()
    picture(noise(3, 16, 16)).save(file, format="JPEG", **options)
    return file.getvalue()[:2] + before + file.getvalue()[2:]


def png_with(chunks: bytes) -> bytes:
    file = io.BytesIO()
    picture(noise(3)).save(file, format="PNG")
    return file.getvalue()[:33] + chunks + file.getvalue()[33:]


def gif(before: bytes) -> bytes:
    file = io.BytesIO()
    Image.new("P", (8, 8)).save(file, format="GIF")
    data = file.getvalue()
    start = data.index(b",", 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0))
    return data[:start] + before + data[start:]


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def tiff_of(entries: dict[int, tuple[int, int, int]], data: bytes = b"", *, side: int = 16) -> bytes:
    """A TIFF of side × side pixels with these tags: type, count, value."""
    plain = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 277: 1}
    tags = {tag: (4, 1, value) for tag, value in plain.items()} | entries
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    return head + b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags)) + bytes(4) + data


def bmp_rle(width: int, height: int, runs: bytes) -> bytes:
    palette = bytes(1024)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start) + info + palette + runs


def jpeg2000(width: int, height: int, tile: int, *, inside: tuple[int, int] | None = None) -> bytes:
    """A small file whose codestream says other sides than its header."""
    file = io.BytesIO()
    Image.new("L", inside or (16, 16)).save(file, format="JPEG2000")
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">IIIIII", data, start + 8, width, height, 0, 0, tile, tile)
    return bytes(data)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG of 12 million comments": (lambda: jpeg(b"\xff\xfe\0\2" * 12_000_000), "markers"),
    "JPEG of comments behind a marker without parameters": (
        lambda: jpeg(b"\xff\xf0\xff\xfe" + b"\xff\xfe\0\2" * 12_000_000),
        "markers",
    ),
    "JPEG of comments behind the end": (lambda: jpeg(b"\xff\xd9" + b"\xff\xfe\0\2" * 12_000_000), "markers"),
    "JPEG of padding": (lambda: jpeg(b"\xff" * 50_000_000), "markers"),
    "JPEG of junk": (lambda: jpeg(b"\xff\xfe\0\2" + b"\0" * 50_000_000), "markers"),
    "PNG of 4 million chunks": (lambda: png_with(chunk(b"teSt") * 4_000_000), "chunks"),
    "GIF of a comment of 100 MB": (lambda: gif(b"!\xfe" + (b"\xff" + bytes(255)) * 400_000 + b"\0"), "blocks"),
    "TIFF of a large tile": (
        lambda: tiff_of({322: (4, 1, 32768), 323: (4, 1, 21824), 324: (4, 1, 8), 325: (4, 1, 99), 259: (4, 1, 5)}),
        "a tile of 32768 x 21824 pixels in an image of 16 x 16",
    ),
    "TIFF of 25 million strips": (
        lambda: tiff_of({273: (4, 25_000_000, 200), 279: (4, 1, 1)}, bytes(100_000_200)),
        "tag 273 has 25000000 values",
    ),
    "TIFF of many tags that are one": (
        lambda: tiff_of(
            dict.fromkeys(range(40000, 40100), (7, 90_000_000, 2000)) | {273: (4, 1, 2000)}, bytes(90_010_000)
        ),
        "values",
    ),
    "TIFF of 60,000 tags": (lambda: tiff_of(dict.fromkeys(range(1000, 61_000), (4, 1, 0))), "tags"),
    "BMP of a kilobyte, of long lines": (lambda: bmp_rle(2**14, 2**13, bytes(2) * 50), "slow coding"),
    "BMP of empty runs": (lambda: bmp_rle(64, 64, b"\1\0" * 10_000_000), "bytes of runs"),
    "PPM of a comment": (lambda: b"P6\n#" + b"x" * 50_000_000 + b"\n1 1 255\n123", "no size"),
    "PPM of text": (lambda: b"P3\n10000 10000 255\n" + b"1 " * 1000, "slow coding"),
    "PPM of an odd depth": (lambda: b"P6\n10000 10000 254\n" + bytes(1000), "slow coding"),
}
if features.check("jpg_2000"):
    BOMBS |= {
        "JPEG 2000 of other sides inside": (lambda: jpeg2000(60_000, 60_000, 60_000), "60000 x 60000 pixels"),
        "JPEG 2000 of tiny tiles": (lambda: jpeg2000(11_000, 11_000, 1), "tiles"),
        "JPEG 2000 of many boxes": (
            lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 10_000_000,
            "no codestream",
        ),
    }


def attempt(paths: list[str], answers: "multiprocessing.Queue[tuple[str, float]]") -> None:
    """Read the files in 2 GB more than this process has, and say how it went and how long it took."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31))
    except (ImportError, OSError):  # no such limits here: time alone is measured
        pass
    for path in paths:
        begun = time.monotonic()
        try:
            read_image(path, channels=3)
            answers.put(("read", time.monotonic() - begun))
        except ImageError as error:
            answers.put((str(error), time.monotonic() - begun))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """What a child process says of each of BOMBS."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = [written(folder / f"{number}.img", make()) for number, (make, _) in enumerate(BOMBS.values())]
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[tuple[str, float]] = context.Queue()
    child = context.Process(target=attempt, args=([str(path) for path in paths], queue))
    child.start()
    try:
        said = {name: queue.get(timeout=120) for name in BOMBS}
    finally:
        child.kill()
        child.join()
        for path in paths:
            path.unlink()
    return said


@pytest.mark.parametrize("name", BOMBS)
def test_each_is_refused_in_bounded_time_and_memory(answers: dict[str, tuple[str, float]], name: str) -> None:
    said, seconds = answers[name]
    assert BOMBS[name][1] in said and "\n" not in said and seconds < SECONDS


# What is odd but sound is read.


@pytest.mark.parametrize(
    "data",
    [
        jpeg(b"\xff\xfe\0\x04ab" * 300 + b"\xff" * 50),
        jpeg(progressive=True),
        png_with(chunk(b"teSt", b"x") * 500),
        gif(b"!\xfe" + (b"\xff" + bytes(255)) * 100 + b"\0"),
        bmp_rle(300, 2, (b"\xff\0\x2d\0" + b"\0\0") * 2 + b"\0\1"),
        b"P6\n# a comment\n" + b"# another\n" * 100 + b"1 1\n255\n123",
        png(bytes(4), width=1, bits=8, kind=2),
    ],
    ids=["comments", "progressive", "chunks", "comment", "runs", "ppm", "png"],
)
def test_odd_files_are_read(tmp_path: Path, data: bytes) -> None:
    assert read_image(written(tmp_path / "x.img", data), channels=3).numel()


def test_a_tile_larger_than_its_image_is_read_where_it_is_not_absurd(tmp_path: Path) -> None:
    if not features.check("libtiff"):
        pytest.skip("Pillow without libtiff")
    tile = bytes(range(256)) * 256
    data = tiff_of({322: (4, 1, 256), 323: (4, 1, 256), 324: (4, 1, 300), 325: (4, 1, len(tile))})
    read = read_image(written(tmp_path / "x.tif", data.ljust(300, b"\0") + tile), channels=1)
    assert read[0, 0].tolist() == list(range(16))


def test_exif_of_many_tags_that_are_one_is_ignored(tmp_path: Path) -> None:
    """Each would be read as often as it is pointed to: 60 GB."""
    body = bytes(1_000_000)
    entries = b"".join(struct.pack("<HHII", tag, 7, len(body), 8) for tag in range(1000, 61_000))
    exif = struct.pack("<2sHIH", b"II", 42, 8, 60_000) + entries + bytes(4) + body
    path = written(tmp_path / "x.png", png_with(chunk(b"eXIf", exif)))
    begun = time.monotonic()
    assert read_image(path, channels=3).equal(noise(3)) and time.monotonic() - begun < SECONDS


# Frames.


FRAMES = [Image.new("RGB", (16, 16), color) for color in ("red", "lime", "blue")]
NOTE = "several frames or pages, of which the first is used"


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif", ".avif"])
def test_the_first_frame_is_used_and_that_is_noted(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    options = {"lossless": True} if suffix == ".webp" else {}
    path = saved(tmp_path / f"x{suffix}", FRAMES[0], save_all=True, append_images=FRAMES[1:], **options)
    decoded = decode_image(path, channels=3)
    red, green, blue = decoded.pixels[:, 8, 8].tolist()
    assert decoded.notes == (NOTE,) and red >= 250 and green <= 5 and blue <= 5
    assert decode_image(saved(tmp_path / f"y{suffix}", FRAMES[0]), channels=3).notes == ()


@pytest.mark.parametrize("suffix", [".gif", ".tif"])
def test_thousands_of_frames_are_not_counted(tmp_path: Path, suffix: str) -> None:
    """They are not even read: what follows the second is missing."""
    path = saved(tmp_path / f"x{suffix}", FRAMES[0], save_all=True, append_images=FRAMES[1:] * 700)
    path.write_bytes(path.read_bytes()[:4000])
    assert decode_image(path, channels=3).notes == (NOTE,)


def test_pages_in_a_circle_are_one(tmp_path: Path) -> None:
    data = bytearray(tiff_of({273: (4, 1, 8), 279: (4, 1, 256)}, bytes(256)))
    end = 10 + 12 * 8
    data[end : end + 4] = struct.pack("<I", 8)
    assert decode_image(written(tmp_path / "x.tif", bytes(data)), channels=3).notes == ()


def test_the_preview_of_a_photograph_is_no_second_frame(tmp_path: Path) -> None:
    """As phones write them (MPO)."""
    FRAMES[0].save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=FRAMES[1:])
    assert decode_image(tmp_path / "x.jpg", channels=3).notes == ()
