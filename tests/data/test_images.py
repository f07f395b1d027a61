"""Images and their files: what is found in folders, values and sizes, and what is written."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import LOSSLESS, noise, picture
from PIL import Image

from unit.data.decoding import ImageError, read_image
from unit.data.images import (
    EXTENSIONS,
    find_files,
    find_images,
    resize_shorter,
    to_float,
    to_uint8,
    write_grid,
    write_image,
)

# Folders.


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_images(root)]


def test_images_are_found_by_suffix_and_sorted(tmp_path: Path) -> None:
    names = [
        "b.PNG",
        "a/z.jpg",
        "a/b/c.JpEg",
        "a.webp",
        "c.tif",
        "c.tiff",
        "d.bmp",
        "10.png",
        "9.png",
        "a.gif",
        "e.jpe",
        "e.jfif",
        "f.avif",
        "g.jp2",
        "h.ppm",
        "h.pgm",
    ]
    touch(
        tmp_path,
        *names,
        "x.txt",
        "x.heic",
        "png",
        "x.png.part",
        ".hidden.png",
        ".h/x.png",
        "a/._x.png",
    )
    assert listed(tmp_path) == sorted(names)
    assert find_images(str(tmp_path)) == find_images(tmp_path)
    others = find_files(tmp_path).others
    assert [path.relative_to(tmp_path).as_posix() for path in others] == ["png", "x.heic", "x.png.part", "x.txt"]
    assert all(suffix in EXTENSIONS for suffix in LOSSLESS)


def test_folders_named_like_images_are_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a.png/b.png")
    assert listed(tmp_path) == ["a.png/b.png"]


def test_a_hidden_root_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, ".root/a.png")
    assert listed(tmp_path / ".root") == ["a.png"]


@pytest.mark.parametrize("name", ["a b.png", "a\nb.png", "日本 é.png", "'\"\\.png", "-.png", b"\xff.png"])
def test_odd_names(tmp_path: Path, name: str | bytes) -> None:
    try:
        path = tmp_path / os.fsdecode(name)
        write_image(path, noise(3))
    except (OSError, ValueError):
        pytest.skip("this file system has no such names")
    assert find_images(tmp_path) == [path]
    assert torch.equal(read_image(path, channels=3), noise(3))
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read_image(path, channels=3)
    assert "\n" not in str(caught.value) and str(caught.value).encode()  # printable as UTF-8


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_images(tmp_path / "none")
    touch(tmp_path, "a.png")
    with pytest.raises(NotADirectoryError, match="not a folder"):
        find_images(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    assert find_images(tmp_path / "empty") == []


def test_links(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "a/x.png", "a/b/y.png")
    touch(elsewhere, "z.png", "deep/z.png")
    try:
        (root / "link").symlink_to(elsewhere)
    except OSError:
        pytest.skip("no symbolic links here")
    (elsewhere / "back").symlink_to(root)
    (elsewhere / "deep" / "self").symlink_to(elsewhere / "deep")
    (root / "a" / "b" / "up").symlink_to(root / "a")
    (root / "above").symlink_to(tmp_path)
    (root / "again").symlink_to(elsewhere)
    (root / "file.png").symlink_to(root / "a" / "x.png")
    (root / "gone.png").symlink_to(root / "none.png")  # listed, so that reading it says what is wrong
    (root / "loop.png").symlink_to(root / "loop.png")
    found = listed(root)
    assert found == [
        "a/b/y.png",
        "a/x.png",
        "again/deep/z.png",
        "again/z.png",
        "file.png",
        "gone.png",
        "loop.png",
    ]
    (tmp_path / "to root").symlink_to(root)
    assert listed(tmp_path / "to root") == found
    for name in ("gone.png", "loop.png"):
        with pytest.raises(ImageError):
            read_image(root / name, channels=3)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folders_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "b/y.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.warns(RuntimeWarning, match="cannot list folder .*a': Permission denied"):
            assert listed(tmp_path) == ["b/y.png"]
        with pytest.raises(PermissionError, match="cannot list folder"):
            find_images(tmp_path / "a")
    finally:
        (tmp_path / "a").chmod(stat.S_IRWXU)


def test_unlistable_folders_are_named_also_to_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/x.png", "b/y.png")
    listdir = os.listdir

    def denied(path: str) -> list[str]:
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.warns(RuntimeWarning, match="cannot list folder .*a': Permission denied"):
        assert listed(tmp_path) == ["b/y.png"]
    with pytest.raises(PermissionError, match="cannot list folder"):
        find_images(tmp_path / "a")


# Values and sizes.


def test_float_and_back_is_the_identity() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    values = to_float(levels)
    assert values.dtype == torch.float32 and values[0] == -1 and values[-1] == 1
    assert torch.equal(to_uint8(values), levels)
    assert torch.equal(to_uint8(values.double()), levels)


def test_to_uint8_rounds_and_clamps() -> None:
    levels = torch.tensor([-9.0, -1.001, 0.49 / 127.5 - 1, 0.51 / 127.5 - 1, 1.001, float("inf")])
    assert to_uint8(levels).tolist() == [0, 0, 0, 1, 255, 255]
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(torch.tensor([0.0, float("nan")]))
    with pytest.raises(ValueError, match="not floating point"):
        to_uint8(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"not torch\.uint8"):
        to_float(torch.zeros(3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (33, 33), (5, 9)])
@pytest.mark.parametrize("size", [1, 16, 50])
def test_resize_is_pillows(channels: int, shape: tuple[int, int], size: int) -> None:
    image = noise(channels, *shape)
    resized = resize_shorter(image, size)
    scale = size / min(shape)
    height, width = (int(side * scale + 0.5) for side in shape)
    assert resized.shape == (channels, height, width) and min(height, width) == size
    assert resized.dtype == torch.uint8 and resized.is_contiguous()
    by_pillow = picture(image).resize((width, height), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(by_pillow).reshape(height, width, channels)).permute(2, 0, 1)
    assert (resized.int() - expected.int()).abs().max() <= 2  # two passes, each rounded


def test_resize_leaves_what_fits_and_flat_images() -> None:
    image = noise(3, 16, 40)
    assert resize_shorter(image, 16) is image
    for level in (0, 1, 128, 255):
        flat = torch.full((3, 20, 31), level, dtype=torch.uint8)
        assert (resize_shorter(flat, 7) == level).all() and (resize_shorter(flat, 64) == level).all()


def test_resize_refuses() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        resize_shorter(noise(3), 0)
    with pytest.raises(ValueError, match="more than"):
        resize_shorter(noise(3, 1, 10_000), 256)
    for bad in (torch.zeros(3, 4, 4), noise(3)[0]):
        with pytest.raises(ValueError, match=r"not torch\.uint8 of 3 dimensions"):
            resize_shorter(bad, 8)


# Writing.


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_write_and_read_is_the_identity(tmp_path: Path, suffix: str, channels: int) -> None:
    image = noise(channels) // 4 + 90  # low contrast: it must not be stretched
    write_image(tmp_path / f"x{suffix}", image)
    assert torch.equal(read_image(tmp_path / f"x{suffix}", channels=channels), image)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


def test_write_jpeg_is_near(tmp_path: Path) -> None:
    image = torch.full((3, 16, 16), 90, dtype=torch.uint8)
    write_image(str(tmp_path / "x.jpg"), image)
    assert (read_image(tmp_path / "x.jpg", channels=3).int() - 90).abs().max() <= 1


def test_write_takes_any_strides(tmp_path: Path) -> None:
    image = noise(3, 6, 8).transpose(1, 2)[:, ::2]
    write_image(tmp_path / "x.png", image)
    assert torch.equal(read_image(tmp_path / "x.png", channels=3), image)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    write_image(path, noise(3))

    def save(self: Image.Image, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="disk full"):
        write_image(path, noise(3, seed=1))
    assert [path] == list(tmp_path.iterdir())
    assert torch.equal(read_image(path, channels=3), noise(3))


def test_write_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of"):
        write_image(tmp_path / "x.gif", noise(3))
    for bad in (noise(2), noise(4), noise(3)[:, :0]):
        with pytest.raises(ValueError, match="image has shape"):
            write_image(tmp_path / "x.png", bad)
    with pytest.raises(ValueError, match=r"not torch\.uint8"):
        write_image(tmp_path / "x.png", noise(3).float())
    with pytest.raises(FileNotFoundError):
        write_image(tmp_path / "none" / "x.png", noise(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_grid(tmp_path: Path, channels: int) -> None:
    images = torch.stack([noise(channels, 4, 6, seed) for seed in range(5)])
    write_grid(tmp_path / "x.png", images, columns=3)
    grid = read_image(tmp_path / "x.png", channels=channels)  # type: ignore[arg-type]
    assert grid.shape == (channels, 2 * 4 + 2, 3 * 6 + 2 * 2)
    for i, image in enumerate(images):
        top, left = i // 3 * 6, i % 3 * 8
        assert torch.equal(grid[:, top : top + 4, left : left + 6], image)
        grid[:, top : top + 4, left : left + 6] = 255
    assert (grid == 255).all()


def test_grid_of_few_images(tmp_path: Path) -> None:
    images = noise(3)[None]
    write_grid(tmp_path / "x.png", images, columns=8)
    assert torch.equal(read_image(tmp_path / "x.png", channels=3), images[0])
    for bad, columns in ((images, 0), (images[:0], 2)):
        with pytest.raises(ValueError, match="at least 1"):
            write_grid(tmp_path / "x.png", bad, columns=columns)
