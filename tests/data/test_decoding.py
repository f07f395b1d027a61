"""Decoding: every format and mode is decoded exactly, every bad file is an `ImageError`."""

import io
import os
import pickle
import random
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import LOSSLESS, noise, picture, png, saved, tiff, written
from PIL import Image, ImageOps, features
from torch import Tensor

from unit.data import decoding
from unit.data.decoding import ImageError, read_image
from unit.data.formats import EXTENSIONS
from unit.data.images import find_images
from unit.data.quiet import pillow_is_quiet


def luma(image: Tensor) -> Tensor:
    """ITU-R 601 in 16-bit fixed point, as Pillow has it."""
    r, g, b = image.int()
    gray: Tensor = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16
    return gray.to(torch.uint8)[None]


def on_white(image: Tensor, alpha: Tensor) -> Tensor:
    a = alpha.double() / 255
    return image.double() * a + 255 * (1 - a)


# Formats and modes.


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_color_is_exact(tmp_path: Path, suffix: str) -> None:
    image = noise(3)
    path = saved(tmp_path / f"x{suffix}", picture(image))
    assert torch.equal(read_image(path, channels=3), image)
    assert torch.equal(read_image(path, channels=1), luma(image))


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_grayscale_is_exact_and_repeated(tmp_path: Path, suffix: str) -> None:
    image = noise(1)
    path = saved(tmp_path / f"x{suffix}", picture(image))
    assert torch.equal(read_image(path, channels=1), image)
    assert torch.equal(read_image(path, channels=3), image.expand(3, -1, -1))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg(tmp_path: Path, suffix: str) -> None:
    image = torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(3, 16, 24)
    path = saved(tmp_path / f"x{suffix}", picture(image), quality=95)
    read = read_image(path, channels=3)
    assert read.shape == image.shape and (read.int() - image.int()).abs().max() <= 2


@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".gif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm"])
def test_other_suffixes_and_formats(tmp_path: Path, suffix: str) -> None:
    if suffix not in EXTENSIONS:
        pytest.skip("Pillow without it")
    color = (90, 90, 90) if suffix == ".pgm" else (200, 100, 50)
    image = Image.new("RGB", (24, 16), color)
    image = image.convert("L") if suffix == ".pgm" else image
    options = {"quality": 95} if suffix in (".jpe", ".jfif", ".avif") else {}
    image.save(tmp_path / f"x{suffix}", format=EXTENSIONS[suffix], **options)
    assert find_images(tmp_path) == [tmp_path / f"x{suffix}"]
    read = read_image(tmp_path / f"x{suffix}", channels=3)
    assert read.shape == (3, 16, 24)
    assert (read.int() - torch.tensor(color)[:, None, None]).abs().max() <= 3


def test_gif_with_a_transparent_color(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "x.gif", transparency=1)
    assert read_image(tmp_path / "x.gif", channels=3).flatten(1).T.tolist() == [[10, 20, 30], [255, 255, 255]]


def test_ppm_of_16_bits(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pgm", b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32896, 65535))
    assert read_image(path, channels=1).flatten().tolist() == [0, 128, 255]
    path = written(tmp_path / "x.ppm", b"P3\n# a comment\n2 1 255\n1 2 3 40 50 60\n")
    assert read_image(path, channels=3).flatten(1).T.tolist() == [[1, 2, 3], [40, 50, 60]]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions(tmp_path: Path, compression: str) -> None:
    if compression != "raw" and not features.check("libtiff"):
        pytest.skip("Pillow without libtiff")
    image = noise(3)
    path = saved(tmp_path / "x.tif", picture(image), compression=compression)
    assert torch.equal(read_image(path, channels=3), image)


def test_result_is_a_new_contiguous_writable_tensor(tmp_path: Path) -> None:
    for channels in (1, 3):
        for stored in (1, 3):
            path = saved(tmp_path / "x.png", picture(noise(stored)))
            first = read_image(path, channels=channels)
            assert first.dtype == torch.uint8 and first.shape == (channels, 5, 7)
            assert first.is_contiguous() and first.stride() == (35, 7, 1)
            first.fill_(7)
            assert not torch.equal(read_image(path, channels=channels), first)


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    plain = torch.tensor([[[10, 40, 70]], [[20, 50, 80]], [[30, 60, 90]]], dtype=torch.uint8)
    for suffix in (".png", ".tif", ".bmp"):
        assert torch.equal(read_image(saved(tmp_path / f"x{suffix}", image), channels=3), plain)
    one_clear = read_image(saved(tmp_path / "x.png", image, transparency=1), channels=3)
    white = plain.clone()
    white[:, :, 1] = 255
    assert torch.equal(one_clear, white)
    graded = read_image(saved(tmp_path / "x.png", image, transparency=bytes([255, 51, 0])), channels=3)
    alpha = torch.tensor([255, 51, 0])
    assert (graded - on_white(plain, alpha)).abs().max() <= 0.5 + 1e-9


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_composited_on_white(tmp_path: Path, suffix: str) -> None:
    image = noise(4)
    image[3, 0], image[3, 1] = 0, 255
    read = read_image(saved(tmp_path / f"x{suffix}", picture(image)), channels=3)
    assert (read - on_white(image[:3], image[3])).abs().max() <= 0.5 + 1e-9
    assert (read[:, 0] == 255).all() and torch.equal(read[:, 1], image[:3, 1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grayscale_with_alpha_is_composited_on_white(tmp_path: Path, suffix: str) -> None:
    gray, alpha = noise(1), noise(1, seed=1)
    merged = Image.merge("LA", (picture(gray), picture(alpha)))
    path = saved(tmp_path / f"x{suffix}", merged)
    one, three = read_image(path, channels=1), read_image(path, channels=3)
    assert (one - on_white(gray, alpha)).abs().max() <= 0.5 + 1e-9
    assert torch.equal(three, one.expand(3, -1, -1))


def test_color_keys_are_white(tmp_path: Path) -> None:
    color = png(bytes([0, 18, 52, 86, 1, 2, 3]), width=2, bits=8, kind=2, key=bytes([0, 18, 0, 52, 0, 86]))
    read = read_image(written(tmp_path / "x.png", color), channels=3)
    assert read.flatten(1).T.tolist() == [[255, 255, 255], [1, 2, 3]]
    gray = png(bytes([0, 5, 6]), width=2, bits=8, kind=0, key=bytes([0, 5]))
    assert read_image(written(tmp_path / "x.png", gray), channels=1).flatten().tolist() == [255, 6]
    deep = png(b"\0" + struct.pack(">3H", 5, 128, 129), width=3, bits=16, kind=0, key=bytes([0, 5]))
    assert read_image(written(tmp_path / "x.png", deep), channels=1).flatten().tolist() == [
        255,
        0,
        1,
    ]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_is_black_and_white(tmp_path: Path, suffix: str) -> None:
    bits = noise(1) > 127
    read = read_image(saved(tmp_path / f"x{suffix}", picture(bits.byte() * 255).convert("1")), channels=1)
    assert torch.equal(read, bits.byte() * 255)


@pytest.mark.parametrize("kind", ["png", "tiff little", "tiff big", "tiff white is zero"])
def test_16_bit_grayscale_is_rounded_for_every_value(tmp_path: Path, kind: str) -> None:
    values = np.arange(65536)
    expected = np.rint(values / 257)
    if kind == "png":
        rows = values.astype(">u2").reshape(256, 256)
        data = b"".join(b"\0" + row.tobytes() for row in rows)
        path = written(tmp_path / "x.png", png(data, width=256, height=256, bits=16, kind=0))
    else:
        big, inverted = kind.endswith("big"), kind.endswith("zero")
        data = values.astype(">u2" if big else "<u2").tobytes()
        made = tiff(data, width=65536, photometric=0 if inverted else 1, order=">" if big else "<")
        path = written(tmp_path / "x.tif", made)
        expected = np.rint((65535 - values) / 257) if inverted else expected
    read = read_image(path, channels=1)
    assert (read.flatten().numpy() == expected).all()
    assert torch.equal(read_image(path, channels=3), read.expand(3, -1, -1))


def test_12_bit_grayscale(tmp_path: Path) -> None:
    data = bytes([0xFF, 0xF0, 0x00, 0x80, 0x00, 0x10])  # 4095, 0, 2048, 16
    path = written(tmp_path / "x.tif", tiff(data, width=4, bits=12))
    assert read_image(path, channels=1).flatten().tolist() == [255, 0, 128, 1]


def test_32_bit_integers_are_16_bit_ones_or_refused(tmp_path: Path) -> None:
    whole = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.int32))
    assert read_image(saved(tmp_path / "x.tif", whole), channels=1).tolist() == [[[0, 1, 255]]]
    for bad in (-1, 65536):
        path = saved(tmp_path / "x.tif", Image.fromarray(np.array([[0, bad]], dtype=np.int32)))
        with pytest.raises(ImageError, match=r"integer pixels outside \[0, 65535\]"):
            read_image(path, channels=1)


def test_floats_are_in_0_1_or_refused(tmp_path: Path) -> None:
    good = Image.fromarray(np.array([[0, 0.5, 0.1, 1]], dtype=np.float32))
    assert read_image(saved(tmp_path / "x.tif", good), channels=1).flatten().tolist() == [
        0,
        128,
        26,
        255,
    ]
    for bad in (-0.1, 1.1, np.nan, np.inf):
        path = saved(tmp_path / "x.tif", Image.fromarray(np.array([[0, bad]], dtype=np.float32)))
        with pytest.raises(ImageError, match="float pixels outside"):
            read_image(path, channels=3)


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    read = read_image(saved(tmp_path / f"x{suffix}", ink), channels=3)
    cyan = torch.tensor([0, 255, 255])[:, None, None]
    assert (read.int() - cyan).abs().max() <= (0 if suffix == ".tif" else 3)


def test_ycck_jpeg(tmp_path: Path) -> None:
    """An Adobe JPEG whose marker says YCCK: Y = Cb = Cr = K = 128, stored inverted, is mid gray."""
    file = io.BytesIO()
    Image.new("CMYK", (16, 16), (127, 127, 127, 127)).save(file, format="JPEG", quality=100)
    data = bytearray(file.getvalue())
    adobe = data.find(b"Adobe")
    if adobe < 0:
        pytest.skip("this libjpeg writes no Adobe marker")
    data[adobe + 11] = 2  # transform: YCCK
    read = read_image(written(tmp_path / "x.jpg", bytes(data)), channels=3)
    assert read.shape == (3, 16, 16) and (read.int() - 64).abs().max() <= 3


def test_ycbcr_tiff(tmp_path: Path) -> None:
    if not features.check("libtiff"):
        pytest.skip("Pillow without libtiff")  # uncompressed, Pillow 11 cannot read what it wrote
    image = Image.new("YCbCr", (4, 4), (128, 128, 128))
    path = saved(tmp_path / "x.tif", image, compression="tiff_lzw")
    assert (read_image(path, channels=3) == 128).all()


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_the_first_frame_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = noise(3), noise(3, seed=1)
    path = saved(tmp_path / f"x{suffix}", picture(first), save_all=True, append_images=[picture(second)])
    assert torch.equal(read_image(path, channels=3), first)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    # Where the rows and columns of the stored image belong (CIPA DC-008, orientation).
    upright: dict[int, Callable[[Tensor], Tensor]] = {
        2: lambda x: x.flip(2),
        3: lambda x: x.flip(1, 2),
        4: lambda x: x.flip(1),
        5: lambda x: x.transpose(1, 2),
        6: lambda x: x.rot90(-1, (1, 2)),
        7: lambda x: x.transpose(1, 2).flip(1, 2),
        8: lambda x: x.rot90(1, (1, 2)),
    }
    image = noise(3, 2, 3).repeat_interleave(16, 1).repeat_interleave(16, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    path = saved(tmp_path / f"x{suffix}", picture(image), exif=exif, **options)
    expected = upright.get(orientation, lambda x: x)(image)  # type: ignore[no-untyped-call]
    read = read_image(path, channels=3)
    assert read.shape == expected.shape
    assert (read.int() - expected.int()).abs().max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("mode", ["I;16", "LA", "RGBA", "1"])
def test_orientation_of_other_modes(tmp_path: Path, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.png", Image.new(mode, (3, 2)), exif=exif)
    assert read_image(path, channels=3).shape == (3, 3, 2)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense" * 9])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_corrupt_exif_leaves_the_image(tmp_path: Path, suffix: str, exif: bytes) -> None:
    path = saved(tmp_path / f"x{suffix}", picture(noise(3)), exif=exif)
    assert read_image(path, channels=3).shape == (3, 5, 7)


def test_an_image_is_not_left_on_its_side_for_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image, *, in_place: bool) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    with pytest.raises(ImageError, match="MemoryError"):
        read_image(saved(tmp_path / "x.png", picture(noise(3))), channels=3)


# Bad files.


def sample_files() -> dict[str, bytes]:
    """A file of each format and coding, with metadata to corrupt."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    cases: dict[str, tuple[str, Image.Image, dict[str, Any]]] = {
        "jpeg": ("JPEG", picture(noise(3, 24, 33)), {"exif": exif}),
        "jpeg progressive": ("JPEG", picture(noise(3, 24, 33)), {"progressive": True}),
        "png": ("PNG", picture(noise(4, 12, 13)), {"exif": exif}),
        "png palette": ("PNG", picture(noise(3)).quantize(16), {"transparency": bytes(range(16))}),
        "webp": ("WEBP", picture(noise(3, 24, 33)), {"exif": exif}),
        "webp lossless": ("WEBP", picture(noise(4, 12, 13)), {"lossless": True}),
        "tiff": ("TIFF", picture(noise(3, 12, 13)), {"exif": exif}),
        "bmp": ("BMP", picture(noise(3, 12, 13)), {}),
        "bmp palette": ("BMP", picture(noise(3, 12, 13)).quantize(16), {}),
    }
    if features.check("libtiff"):
        cases["tiff lzw"] = ("TIFF", picture(noise(4, 12, 13)), {"compression": "tiff_lzw"})
        cases["tiff jpeg"] = ("TIFF", picture(noise(3, 24, 33)), {"compression": "jpeg"})
    made = {}
    for name, (format, image, options) in cases.items():
        file = io.BytesIO()
        image.save(file, format=format, **options)
        made[name] = file.getvalue()
    return made


SAMPLES = sample_files()


def image_or_none(path: Path) -> Tensor | None:
    """The image, or None for `ImageError`; any other exception, and any warning, fails."""
    before = list(warnings.filters)
    try:
        read = read_image(path, channels=3)
    except ImageError as error:
        assert "\n" not in str(error) and repr(str(path)) in str(error)
        return None
    finally:
        assert list(warnings.filters) == before
    assert read.dtype == torch.uint8 and read.ndim == 3 and read.numel() > 0
    return read


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_files(tmp_path: Path, name: str) -> None:
    """A file cut anywhere is refused, unless all its pixels are there; no part is made up."""
    data = SAMPLES[name]
    whole = image_or_none(written(tmp_path / "x.img", data))
    assert whole is not None
    for length in range(0, len(data), max(1, len(data) // 200)):
        cut = image_or_none(written(tmp_path / "x.img", data[:length]))
        assert cut is None or torch.equal(cut, whole), length


@pytest.mark.parametrize("name", SAMPLES)
def test_flipped_bits(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    for trial in range(100):
        data = bytearray(SAMPLES[name])
        within = len(data) if trial % 2 else min(len(data), 200)  # half of them in the header
        for _ in range(draw.choice((1, 1, 4, 16))):
            data[draw.randrange(within)] ^= 1 << draw.randrange(8)
        image_or_none(written(tmp_path / "x.img", bytes(data)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"GIF89a", b"not an image\n" * 99, b"\xff\xd8\xff", b"II*\0", b"BM"],
)
def test_not_an_image(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^cannot read image '.*x\.jpg': no intact image of format"):
        read_image(written(tmp_path / "x.jpg", data), channels=3)


@pytest.mark.parametrize("format", ["ICO", "TGA", "PDF", "EPS", "PCX", "SGI", "DDS", "ICNS"])
def test_other_formats_are_refused(tmp_path: Path, format: str) -> None:
    path = tmp_path / "x.png"
    picture(noise(3, 16, 16)).save(path, format=format)
    with pytest.raises(ImageError):
        read_image(path, channels=3)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture(noise(3)).save(path, format="BMP")
    assert torch.equal(read_image(path, channels=3), noise(3))


@pytest.mark.parametrize("side", [9_600, 12_000, 30_000, 2**31 - 1])
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what is above Pillow's warning to what is above its error."""
    monkeypatch.setattr(decoding, "MAX_PIXELS", 9_500**2)
    data = png(b"", width=side, height=side, bits=8, kind=2)
    with pytest.raises(ImageError, match=r"pixels|size|exceed|No decode|no intact"):
        read_image(written(tmp_path / "x.png", data), channels=3)


def test_the_limit_is_inclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", picture(noise(3)))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 35)
    read_image(path, channels=3)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 34)
    with pytest.raises(ImageError, match="7 x 5 pixels, not 1 to 34"):
        read_image(path, channels=3)


def test_an_image_above_pillows_warning_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", picture(noise(3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert torch.equal(read_image(path, channels=3), noise(3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="decompression bomb"):
        read_image(path, channels=3)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "none.png", channels=3)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path, channels=3)
    with pytest.raises(ImageError, match="null"):
        read_image("a\0.png", channels=3)
    with pytest.raises(ValueError, match="channels is 4"):
        read_image(tmp_path / "none.png", channels=4)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "x.png", channels=3)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", picture(noise(3)))
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(path, channels=3)


def test_error_is_one_line_and_survives_pickling() -> None:
    error = ImageError(Path("a\nb.png"), "two\n  lines")
    assert isinstance(error, ValueError)
    assert str(error) == "cannot read image 'a\\nb.png': two lines"
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.path == error.path


def test_files_are_closed(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc")
    good = saved(tmp_path / "x.tif", picture(noise(3)))
    bad = written(tmp_path / "y.tif", good.read_bytes()[:150])
    before = len(list(folder.iterdir()))
    for path in [good, bad] * 20:
        image_or_none(path)
    assert len(list(folder.iterdir())) == before


def test_threads(tmp_path: Path) -> None:
    """Files whose decoding warns, read in threads: no warning escapes, the filters are put back."""
    paths = [saved(tmp_path / f"{i}.png", picture(noise(3, seed=i))) for i in range(4)]
    (tmp_path / "bad.tif").write_bytes(SAMPLES["tiff"][:-60])
    before, failures = list(warnings.filters), []

    def read(i: int) -> None:
        try:
            for _ in range(20):
                assert torch.equal(read_image(paths[i], channels=3), noise(3, seed=i))
                with pytest.raises(ImageError):
                    read_image(tmp_path / "bad.tif", channels=3)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and list(warnings.filters) == before


def test_only_pillow_is_silenced() -> None:
    with pillow_is_quiet():
        with pytest.warns(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)
        warnings.warn_explicit("Pillow's", UserWarning, "x.py", 1, module="PIL.Image")
