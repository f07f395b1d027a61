"""unit.data.sets.layout: every image reaches its folder, and no pixel changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from icc_profiles import cmyk_profile
from PIL import Image
from set_toys import FOLDERS, counts_of, list_files, named, write_folders, write_image, write_pairs

from unit.cli.data import data
from unit.data.sets import layout


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
@pytest.mark.parametrize("side_a", ["left", "right"])
def test_the_halves_of_a_pair_make_up_the_pair(tmp_path: Path, mode: str, side_a: str) -> None:
    for split in ("train", "test"):
        write_image(tmp_path / "in" / split / "7.png", mode=mode)
    layout.arrange(tmp_path / "in", tmp_path / "out", side_a=side_a)
    assert sorted(list_files(tmp_path / "out")) == sorted(f"{folder}/7.png" for folder in FOLDERS)
    a, b = (np.asarray(Image.open(tmp_path / "out" / f"train{d}" / "7.png")) for d in "AB")
    pair = np.asarray(Image.open(tmp_path / "in" / "train" / "7.png"))
    halves = [a, b] if side_a == "left" else [b, a]
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), pair)


def test_the_halves_of_a_jpeg_are_its_decoded_pixels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_image(tmp_path / "in" / split / "7.jpg", width=32)
    layout.arrange(tmp_path / "in", tmp_path / "out")
    halves = [np.asarray(Image.open(tmp_path / "out" / f"test{d}" / "7.png")) for d in "AB"]
    pair = np.asarray(Image.open(tmp_path / "in" / "test" / "7.jpg"))
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), pair)


def test_val_is_test_only_where_test_is_missing(tmp_path: Path) -> None:
    layout.arrange(write_pairs(tmp_path / "x", train=1, val=2), tmp_path / "x_out")
    layout.arrange(write_pairs(tmp_path / "y", train=1, val=2, test=3), tmp_path / "y_out")
    layout.arrange(write_folders(tmp_path / "z", splits=("train", "val")), tmp_path / "z_out")
    assert counts_of(tmp_path / "x_out") == named(1, 1, 2, 2)
    assert counts_of(tmp_path / "z_out") == named(2, 3, 2, 3)
    assert counts_of(tmp_path / "y_out") == {**named(1, 1, 3, 3), "valA": 2, "valB": 2}


def test_folders_are_copied_byte_for_byte_from_three_levels_down(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "in" / "1" / "2" / "3")
    (tmp_path / "in" / "__MACOSX" / "trainA").mkdir(parents=True)
    (root / "trainA" / ".DS_Store").write_bytes(b"")
    layout.arrange(tmp_path / "in", tmp_path / "out")
    expected = {name: data for name, data in list_files(root).items() if "DS_Store" not in name}
    assert list_files(tmp_path / "out") == expected
    layout.arrange(root, tmp_path / "moved", move=True)
    assert list(list_files(root)) == ["trainA/.DS_Store"]


def test_what_is_no_image_is_left_out_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_folders(tmp_path / "in")
    (root / "testB" / "readme.txt").write_text("hello")
    layout.arrange(root, tmp_path / "out")
    assert counts_of(tmp_path / "out")["testB"] == 3
    assert "readme.txt" in capsys.readouterr().err


def _no_test(root: Path) -> None:
    write_pairs(root, train=1)


def _empty_split(root: Path) -> None:
    write_pairs(root, train=1)
    (root / "test").mkdir()


def _no_b(root: Path) -> None:
    for folder in ("trainA", "testA", "testB"):
        write_image(root / folder / "0.png")


def _two_sets(root: Path) -> None:
    write_pairs(root / "x", train=1, test=1)
    write_pairs(root / "y", train=1, test=1)


def _too_deep(root: Path) -> None:
    write_pairs(root / "1" / "2" / "3" / "4", train=1, test=1)


def _odd_pair(root: Path) -> None:
    write_pairs(root, train=1, test=1)
    write_image(root / "test" / "odd.png", width=7)


def _cut_image(root: Path) -> None:
    write_pairs(root, train=1, test=1)
    (root / "test" / "cut.png").write_bytes((root / "test" / "0.png").read_bytes()[:50])


def _same_stem(root: Path) -> None:
    write_pairs(root, train=1, test=1)
    write_image(root / "test" / "0.jpg")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_no_test, "has training images only"),
        (_empty_split, "no images in"),
        (_no_b, "no such folder: .*trainB"),
        (_two_sets, "more than one data set"),
        (_too_deep, "no trainA or train folder"),
        (_odd_pair, "odd.png: it is 7 pixels wide"),
        (_cut_image, "cannot split the pair .*cut.png"),
        (_same_stem, "two pairs are named 0"),
    ],
)
def test_an_unfit_source_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    build: Callable[[Path], None],
    message: str,
) -> None:
    build(tmp_path / "in")
    before = list_files(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        layout.arrange(tmp_path / "in", tmp_path / "scratch" / "out")
    out = tmp_path / "out"
    assert data(["maps", "--source", str(tmp_path / "in"), "--output", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert {name: d for name, d in list_files(tmp_path).items() if "scratch" not in name} == before
    assert not list(tmp_path.glob(".*"))
    assert not out.exists()


def test_only_the_decoders_of_images_are_run(tmp_path: Path) -> None:
    """PostScript would reach Ghostscript, whatever its name is."""
    write_pairs(tmp_path / "in", train=1, test=1)
    picture = Image.new("RGB", (8, 4))
    picture.save(tmp_path / "in" / "train" / "0.png", format="EPS")
    with pytest.raises(ValueError, match=r"cannot split the pair .*0\.png: cannot identify"):
        layout.arrange(tmp_path / "in", tmp_path / "out")


def test_large_pairs_say_no_more_than_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's warning of a bomb would be an error here."""
    write_pairs(tmp_path / "in", train=1, test=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    layout.arrange(tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"cannot split the pair .*decompression bomb"):
        layout.arrange(tmp_path / "in", tmp_path / "again")
    assert "Warning" not in capsys.readouterr().err


def test_links_that_lead_out_of_the_source_are_not_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("mine")
    source = write_folders(tmp_path / "in")
    (source / "trainA" / "x.png").symlink_to(tmp_path / "secret")
    (source / "trainA" / "y.png").symlink_to(source / "trainA" / "0.png")
    layout.arrange(source, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "trainA").iterdir()) == ["0.png", "1.png", "y.png"]
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "links that lead out of" in said and "x.png" in said
    (source / "testA").rename(tmp_path / "elsewhere")
    (source / "testA").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no images in .*testA but links that lead out"):
        layout.arrange(source, tmp_path / "again")


def test_pairs_in_cmyk_are_split_through_their_profile(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "in" / split).mkdir(parents=True)
        image = Image.new("CMYK", (8, 4), (255, 0, 0, 0))
        image.save(tmp_path / "in" / split / "0.tif", icc_profile=cmyk_profile())
    layout.arrange(tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out" / "trainA" / "0.png") as half:
        assert half.getpixel((1, 1)) == pytest.approx((0, 0, 0), abs=4) and "icc_profile" not in half.info
