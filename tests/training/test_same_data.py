"""What makes two sets of images the same data to a resumed run: names, sizes and contents, wherever they lie."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Tiny
from PIL import Image
from run_files import refused


@pytest.fixture
def begun(toys: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> tuple[Path, Path]:
    """A data folder of its own, and a run on it that may go on."""
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(toys, data)
    assert run_command("train", *tiny(run, "--data.root", str(data))).code == 0
    return data, run


def test_data_that_moved_is_the_same(begun: tuple[Path, Path], run_command: Command, tmp_path: Path) -> None:
    data, run = begun
    data.rename(tmp_path / "elsewhere")
    more = ("--data.root", tmp_path / "elsewhere", "--train.steps", "6")
    assert run_command("train", "--resume", run, *more).code == 0


def test_other_images_under_the_same_names_are_refused(begun: tuple[Path, Path], run_command: Command) -> None:
    data, run = begun
    for path in (data / "trainA").glob("*.png"):
        Image.new("RGB", (24, 24), "red").save(path)
    said = run_command("train", "--resume", run, "--train.steps", "6")
    refused(said, "trained on other data in domain a", "--init")


def test_one_image_of_the_same_size_with_other_pixels_is_refused(
    tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    for folder in ("trainA", "trainB"):
        (data / folder).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (24, 24), (number, 0, 0)).save(data / folder / f"{number}.bmp")
    assert run_command("train", *tiny(run, "--data.root", str(data))).code == 0
    Image.new("RGB", (24, 24), (0, 9, 0)).save(data / "trainB" / "1.bmp")
    refused(run_command("train", "--resume", run, "--train.steps", "6"), "other data in domain b")


def test_a_grown_data_set_begins_anew_with_the_weights(
    begun: tuple[Path, Path], tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    data, run = begun
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(data / "trainA" / "more.png")
    refused(run_command("train", "--resume", run, "--train.steps", "6"), "--init", "other data in domain a")
    said = run_command("train", *tiny(tmp_path / "next", "--data.root", str(data), "--init", str(run)))
    assert said.code == 0 and "7 images in a" in said.out and "begun anew" not in said.out
