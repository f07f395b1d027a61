"""Color profiles: pixels are converted to sRGB, in files of every kind, and what can't be applied is named."""

import threading
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from icc_profiles import ADOBE_RGB, DISPLAY_P3, PLAIN_SRGB, cmyk_profile, gray_profile
from image_files import noise, picture, saved
from PIL import Image, ImageCms, features

from unit.data import profiles
from unit.data.decoding import decode_image, read_image
from unit.data.profiles import BROKEN, MAX_PROFILE, OF_ANOTHER_KIND, TOO_LARGE

PATCHES = [(200, 60, 40), (60, 200, 60), (128, 128, 128)]
RIGHT = {
    "adobe": (ADOBE_RGB, [(231, 57, 34), (0, 201, 37), (129, 129, 129)]),
    "p3": (DISPLAY_P3, [(219, 37, 13), (0, 205, 0), (129, 129, 129)]),
}


def patches(colors: list[tuple[int, int, int]] = PATCHES) -> Image.Image:
    image = Image.new("RGB", (len(colors) * 16, 16))
    for number, color in enumerate(colors):
        image.paste(color, (number * 16, 0, number * 16 + 16, 16))
    return image


def centers(path: Path, count: int = 3) -> torch.Tensor:
    return read_image(path, channels=3)[:, 8, 8::16][:, :count].T.int()


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_colors_are_converted_to_srgb(tmp_path: Path, suffix: str, name: str) -> None:
    profile, right = RIGHT[name]
    more = {"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}
    path = saved(tmp_path / f"x{suffix}", patches(), icc_profile=profile, **more)
    assert (centers(path) - torch.tensor(right)).abs().max() <= (2 if suffix == ".jpg" else 1)
    assert decode_image(path, channels=3).notes == ()


@pytest.mark.parametrize("mode", ["RGBA", "P", "P with transparency"])
def test_also_under_alpha_and_in_palettes(tmp_path: Path, mode: str) -> None:
    image = patches()
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.paste((200, 60, 40, 255), (0, 0, 16, 16))
        path = saved(tmp_path / "x.png", image, icc_profile=ADOBE_RGB)
        decoded = decode_image(path, channels=3, keep_alpha=True)
        assert decoded.alpha is not None
        assert torch.equal(decoded.alpha, torch.from_numpy(np.array(image.getchannel("A"))))
        assert (decoded.pixels[:, 8, 40].int() - 129).abs().max() <= 1
    else:
        more = {"transparency": 3} if "transparency" in mode else {}
        path = saved(tmp_path / "x.png", image.quantize(4), icc_profile=ADOBE_RGB, **more)
    assert (centers(path)[0] - torch.tensor(RIGHT["adobe"][1][0])).abs().max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_gray_of_another_gamma(tmp_path: Path, suffix: str) -> None:
    """0.5 to the power of 1 is sRGB's 188."""
    path = saved(tmp_path / f"x{suffix}", Image.new("L", (16, 16), 128), icc_profile=gray_profile(1.0))
    gray = read_image(path, channels=1)
    assert gray.shape == (1, 16, 16) and (gray.int() - 188).abs().max() <= 1
    assert torch.equal(read_image(path, channels=3), gray.expand(3, -1, -1))


def test_gray_with_a_profile_of_colors_is_as_its_neutral_colors(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("L", (16, 16), 128), icc_profile=ADOBE_RGB)
    assert (read_image(path, channels=1).int() - 129).abs().max() <= 1


def test_gray_of_16_bits_and_gray_with_alpha(tmp_path: Path) -> None:
    deep = saved(tmp_path / "x.png", Image.new("I;16", (4, 4), 128 * 257), icc_profile=gray_profile(1.0))
    assert (read_image(deep, channels=1).int() - 188).abs().max() <= 1
    pale = saved(tmp_path / "y.png", Image.new("LA", (4, 4), (128, 0)), icc_profile=gray_profile(1.0))
    kept = decode_image(pale, channels=1, keep_alpha=True)
    assert (kept.pixels.int() - 188).abs().max() <= 1 and kept.alpha is not None and not kept.alpha.any()
    assert (read_image(pale, channels=1) == 255).all()


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_is_read_through_its_profile(tmp_path: Path, suffix: str) -> None:
    """Without it, full cyan is (0, 255, 255)."""
    for ink, level in (((255, 0, 0, 0), 0), ((0, 0, 0, 0), 255)):
        image = Image.new("CMYK", (16, 16), ink)
        path = saved(tmp_path / f"x{suffix}", image, icc_profile=cmyk_profile())
        assert (read_image(path, channels=3).int() - level).abs().max() <= 4
        assert not decode_image(path, channels=3).notes


@pytest.mark.parametrize("name", ["ours", "Pillow's"])
def test_a_profile_that_is_srgb_changes_no_pixel(tmp_path: Path, name: str) -> None:
    profile = PLAIN_SRGB if name == "ours" else ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = noise(3, 40, 50)
    path = saved(tmp_path / "x.png", picture(image), icc_profile=profile)
    assert torch.equal(read_image(path, channels=3), image)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("broken", [b"nonsense", ADOBE_RGB[:200], ADOBE_RGB[:36] + b"none" + ADOBE_RGB[40:]])
def test_a_broken_profile_is_named_and_ignored(tmp_path: Path, suffix: str, broken: bytes) -> None:
    path = saved(tmp_path / f"x{suffix}", patches(), icc_profile=broken)
    plain = saved(tmp_path / f"y{suffix}", patches())
    decoded = decode_image(path, channels=3)
    assert decoded.notes == (BROKEN,) and torch.equal(decoded.pixels, read_image(plain, channels=3))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_an_absurdly_large_profile_is_named_and_ignored(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"x{suffix}", patches(), icc_profile=ADOBE_RGB + bytes(MAX_PROFILE))
    decoded = decode_image(path, channels=3)
    assert decoded.notes == (TOO_LARGE,) and decoded.pixels.shape == (3, 16, 48)


def test_a_profile_that_unpacks_to_too_much_is_ignored_too(tmp_path: Path) -> None:
    file = BytesIO()
    patches().save(file, format="PNG")
    body = b"iCCPbomb\0\0" + zlib.compress(bytes(2**26))
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(file.getvalue()[:33] + chunk + file.getvalue()[33:])
    decoded = decode_image(tmp_path / "x.png", channels=3)
    assert decoded.notes == (TOO_LARGE,) and torch.equal(centers(tmp_path / "x.png"), torch.tensor(PATCHES).int())


def test_a_profile_of_another_kind_than_the_pixels_is_named_and_ignored(tmp_path: Path) -> None:
    gray = saved(tmp_path / "x.png", patches(), icc_profile=gray_profile(1.0))
    ink = saved(tmp_path / "y.tif", Image.new("CMYK", (4, 4)), icc_profile=ADOBE_RGB)
    for path in (gray, ink):
        assert decode_image(path, channels=3).notes == (OF_ANOTHER_KIND,)
    assert torch.equal(centers(gray), torch.tensor(PATCHES).int())


def test_each_profile_is_built_once_and_serves_all_threads(tmp_path: Path) -> None:
    profiles._transform.cache_clear()
    paths = [saved(tmp_path / f"{i}.png", picture(noise(3, 64, 64, i)), icc_profile=ADOBE_RGB) for i in range(8)]
    alone = [read_image(path, channels=3) for path in paths]
    assert profiles._transform.cache_info().misses == 1
    failures: list[int] = []

    def read() -> None:
        failures.extend(i for i, path in enumerate(paths * 5) if not read_image(path, channels=3).equal(alone[i % 8]))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pillow_can_convert_colors() -> None:
    assert features.check("littlecms2")
