"""What a translation keeps of its source besides the pixels: alpha, resolution, EXIF, and a place on the map."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copiers import Copier, copier
from PIL import Image, TiffImagePlugin
from torch import Tensor

import unit
from unit.data.metadata import UNREADABLE
from unit.inference.translator import Translator
from unit.models.base import Direction


class Inverter(Copier):
    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return -x


def inverter() -> Translator:
    return Translator(Inverter(copier().model.config))


def clear_in_the_middle() -> Image.Image:
    """Red, with a transparent square in the middle and a half-transparent strip below it."""
    image = Image.new("RGBA", (32, 32), (200, 60, 40, 255))
    image.paste((200, 60, 40, 0), (8, 8, 24, 24))
    image.paste((200, 60, 40, 128), (0, 26, 32, 32))
    return image


def translated(tmp_path: Path, source: Path, format: Any = "png", **options: Any) -> Image.Image:
    report = unit.translate(inverter(), source, tmp_path / "out", format=format, **options)
    assert not report.failed
    with Image.open(report.written[0]) as image:
        image.load()
        return image


# Alpha.


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("format", ["png", "webp", "tif"])
def test_alpha_is_kept_and_the_colors_under_it_translated(tmp_path: Path, suffix: str, format: str) -> None:
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    source = clear_in_the_middle()
    source.save(tmp_path / f"x.{suffix}", **options)
    image = translated(tmp_path, tmp_path / f"x.{suffix}", format)
    assert image.mode == "RGBA" and image.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    assert (np.asarray(image)[..., :3] == (55, 195, 215)).all()


@pytest.mark.parametrize("format", ["jpg", "bmp"])
def test_formats_without_alpha_are_composited_on_white(tmp_path: Path, format: str) -> None:
    clear_in_the_middle().save(tmp_path / "x.png")
    image = translated(tmp_path, tmp_path / "x.png", format)
    assert image.mode == "RGB"
    for place, color in (((2, 2), (55, 195, 215)), ((16, 16), (255, 255, 255)), ((16, 30), (155, 225, 235))):
        assert image.getpixel(place) == pytest.approx(color, abs=3)


def test_a_palette_with_a_transparent_color(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16))
    image.putpalette([10, 20, 30, 200, 60, 40])
    image.paste(1, (4, 4, 12, 12))
    image.save(tmp_path / "x.png", transparency=1)
    image = translated(tmp_path, tmp_path / "x.png")
    assert image.getpixel((1, 1)) == (245, 235, 225, 255) and image.getpixel((8, 8)) == (55, 195, 215, 0)


def test_alpha_of_16_bits_becomes_8(tmp_path: Path) -> None:
    """Red 200, green 60, blue 40, alpha 128, of 257 levels each."""
    row = b"\0" + struct.pack(">4H", *(257 * level for level in (200, 60, 40, 128))) * 4
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 4)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert translated(tmp_path, tmp_path / "x.png").getpixel((1, 1)) == (55, 195, 215, 128)


def test_alpha_is_scaled_with_its_image(tmp_path: Path) -> None:
    clear_in_the_middle().save(tmp_path / "x.png")
    image = translated(tmp_path, tmp_path / "x.png", resize=16)
    assert image.size == (16, 16) and image.getchannel("A").getpixel((8, 8)) == 0
    assert image.getchannel("A").getpixel((1, 1)) == 255


def test_alpha_is_turned_with_its_image(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 4), (200, 60, 40, 255))
    image.putpixel((0, 0), (200, 60, 40, 0))
    exif = Image.Exif()
    exif[274] = 6  # its left column belongs on top, from right to left
    image.save(tmp_path / "x.png", exif=exif)
    turned = translated(tmp_path, tmp_path / "x.png")
    assert turned.size == (4, 8) and turned.getchannel("A").getpixel((3, 0)) == 0
    assert turned.getexif().get(274, 1) == 1


def test_a_pil_image_and_a_path_keep_alpha_too(tmp_path: Path) -> None:
    source = clear_in_the_middle()
    source.save(tmp_path / "x.png")
    for given in (source, tmp_path / "x.png", str(tmp_path / "x.png")):
        image = inverter()(given)
        assert image.mode == "RGBA" and image.getpixel((16, 16)) == (55, 195, 215, 0)
    assert inverter()(source.convert("RGB")).mode == "RGB"


# Metadata.


def photograph(path: Path, **more: Any) -> Path:
    """300 dpi, and a camera, a date and a place."""
    exif = Image.Exif()
    exif.update({271: "Maker", 272: "Model", 274: 1, 306: "2020:01:02 03:04:05", 315: "Ann"})
    exif.get_ifd(34665).update({36867: "2020:01:02 03:04:05", 40961: 65535, 40962: 32, 40963: 32, 37386: 50.0})
    exif.get_ifd(34853).update({1: "N", 2: (52.0, 30.0, 0.0)})
    Image.new("RGB", (32, 32), (200, 60, 40)).save(path, exif=exif.tobytes(), dpi=(300, 300), **more)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("format", ["jpg", "png", "tif", "webp"])
def test_resolution_and_exif_are_kept(tmp_path: Path, suffix: str, format: str) -> None:
    image = translated(tmp_path, photograph(tmp_path / f"x.{suffix}"), format)
    exif = image.getexif()
    assert (exif[271], exif[272], exif[306], exif[315], exif[274]) == (
        "Maker", "Model", "2020:01:02 03:04:05", "Ann", 1,
    )  # fmt: skip
    camera, place = exif.get_ifd(34665), exif.get_ifd(34853)
    assert camera[36867] == "2020:01:02 03:04:05" and float(camera[37386]) == 50
    assert camera[40961] == 1  # the pixels are sRGB
    assert place[1] == "N" and [float(part) for part in place[2]] == [52, 30, 0]
    if format != "webp":
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_sides_in_exif_are_those_of_the_translation(tmp_path: Path) -> None:
    image = translated(tmp_path, photograph(tmp_path / "x.jpg"), "jpg", resize=16)
    camera = image.getexif().get_ifd(34665)
    assert (camera[40962], camera[40963]) == (16, 16)


@pytest.mark.parametrize("format", ["jpg", "png", "tif", "webp", "bmp"])
def test_a_tiffs_description_without_its_storage(tmp_path: Path, format: str) -> None:
    photograph(tmp_path / "x.tif")
    image = translated(tmp_path, tmp_path / "x.tif", format)
    if format == "bmp":
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        return
    exif = image.getexif()
    assert exif[271] == "Maker" and exif[274] == 1 and exif.get_ifd(34853)[1] == "N"
    assert image.getpixel((8, 8)) == pytest.approx((55, 195, 215), abs=2)
    if format != "tif":
        assert not {256, 257, 258, 259, 273, 279} & set(exif)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_an_image_without_metadata_gets_none(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / f"x.{suffix}")
    image = translated(tmp_path, tmp_path / f"x.{suffix}", "jpg")
    assert not image.getexif() and image.info.get("dpi") is None


def test_no_thumbnail_of_the_source_goes_along(tmp_path: Path) -> None:
    photograph(tmp_path / "x.jpg")
    assert not translated(tmp_path, tmp_path / "x.jpg", "jpg").getexif().get_ifd(1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense" * 9, b"Exif\0\0II*\0\x08\0\0\0\xff\x0f"]
)
def test_corrupt_metadata_stops_no_translation(tmp_path: Path, suffix: str, exif: bytes) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / f"x.{suffix}", exif=exif)
    assert translated(tmp_path, tmp_path / f"x.{suffix}", "jpg").size == (16, 16)


def test_metadata_that_the_format_has_no_room_for_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 100_000  # a JPEG has room for 65,533 bytes
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", exif=exif, dpi=(300, 300))
    image = translated(tmp_path, tmp_path / "x.png", "jpg")
    assert 270 not in image.getexif() and image.info["dpi"] == (300, 300)


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 2_000_000
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", exif=exif)
    report = unit.translate(copier(), tmp_path / "x.png", tmp_path / "out")
    assert f"1 file with {UNREADABLE}" in str(report)


# The place on the map.

GEO: dict[int, tuple[int, Any]] = {
    33550: (12, (0.5, 0.5, 0.0)),
    33922: (12, (0.0, 0.0, 0.0, 500000.0, 5800000.0, 0.0)),
    34735: (3, (1, 1, 0, 1, 1024, 0, 1, 1)),
    34736: (12, (6378137.0, 298.25)),
    34737: (2, "WGS 84|"),
}


def geotiff(path: Path, orientation: int = 1) -> Path:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, (kind, value) in GEO.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    directory[274] = orientation
    Image.new("RGB", (32, 24), (200, 60, 40)).save(path, tiffinfo=directory)
    return path


def test_a_geotiff_stays_on_the_map(tmp_path: Path) -> None:
    image = translated(tmp_path, geotiff(tmp_path / "x.tif"), "same")
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    for tag, (kind, value) in GEO.items():
        assert image.tag_v2[tag] == value and image.tag_v2.tagtype[tag] == kind


def test_but_not_at_another_size_or_turned_or_in_another_format(tmp_path: Path) -> None:
    small = translated(tmp_path, geotiff(tmp_path / "x.tif"), "tif", resize=12)
    turned = translated(tmp_path, geotiff(tmp_path / "y.tif", orientation=3), "tif")
    for image in (small, turned):
        assert isinstance(image, TiffImagePlugin.TiffImageFile) and not set(GEO) & set(image.tag_v2)
    assert translated(tmp_path, geotiff(tmp_path / "x.tif"), "png").size == (32, 24)
