"""What a training takes and what it refuses: the smallest networks, flat images, files of no use."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Tiny
from digit_toys import logged_by
from PIL import Image
from run_files import refused, write_noise
from safetensors.torch import load_file

import unit

# Configs


@pytest.mark.parametrize(
    "arguments",
    [
        ["--discriminator.layers", "5", "--discriminator.kernel", "4"],
        ["--discriminator.layers", "6", "--discriminator.kernel", "6"],
        ["--discriminator.layers", "4", "--discriminator.kernel", "4", "--discriminator.scales", "2"],
    ],
    ids=" ".join,
)
def test_a_discriminator_larger_than_its_image_is_refused(
    run_command: Command, tiny: Tiny, tmp_path: Path, arguments: list[str]
) -> None:
    refused(run_command("train", *tiny(tmp_path / "run", *arguments)), "data.size", "16", "too small")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--discriminator.layers", "5", "--discriminator.scales", "3"],
        ["--discriminator.layers", "1", "--discriminator.kernel", "7"],
        ["--model.downsamplings", "0", "--model.encoder_norm", "layer"],
        ["--model.downsamplings", "3", "--model.padding", "reflect"],
        ["--model.down_kernel", "4", "--model.up_kernel", "4", "--model.encoder_norm", "instance"],
        ["--model.down_kernel", "1", "--model.up_kernel", "1"],
        ["--loss.reconstruction", "0", "--loss.cycle_kl", "0"],
        ["--loss.kl", "0", "--loss.cycle_kl", "0"],
        ["--train.batch_size", "13", "--data.resize", "20"],
        ["--run.seed", "-1"],
    ],
    ids=" ".join,
)
def test_what_the_config_allows_trains(run_command: Command, tiny: Tiny, tmp_path: Path, arguments: list[str]) -> None:
    said = run_command("train", *tiny(tmp_path / "run", "--train.steps", "1", *arguments))
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused(
    run_command: Command, tiny: Tiny, tmp_path: Path, tracker: str
) -> None:
    try:
        __import__(tracker)
    except ImportError:
        refused(run_command("train", *tiny(tmp_path / "run", "--run.tracker", tracker)), "run.tracker", tracker)
        assert not (tmp_path / "run").exists()
    else:
        pytest.skip(f"{tracker} is installed")


# Data


def data_of(tmp_path: Path) -> Path:
    """A data folder with two images on each side."""
    for domain in "AB":
        for number in range(2):
            write_noise(tmp_path / "data" / f"train{domain}" / f"{number}.png")
    return tmp_path / "data"


def test_the_first_line_comes_first_even_if_files_are_left_out(
    run_command: Command, tiny: Tiny, tmp_path: Path
) -> None:
    root = data_of(tmp_path)
    (root / "trainB" / "empty.png").write_bytes(b"")
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(root), "--train.steps", "1"))
    assert said.out.startswith("cpu (")


def test_an_image_too_large_to_resize_is_left_out_by_name(run_command: Command, tiny: Tiny, tmp_path: Path) -> None:
    root = data_of(tmp_path)
    write_noise(root / "trainA" / "thin.png", (1, 2000))
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(root), "--data.resize", "400"))
    assert said.code == 0
    assert "1 file left out that can't be decoded" in said.out and "thin.png" in said.out


# Data that teach little

CONTENTS = {"one image": None, "black": ("black", "black"), "white": ("white", "white"), "gray": ("gray", "gray"),
            "a color each": ("black", "white"), "black but for a corner": None}  # fmt: skip
"""What the domains hold, and the colors of their two constant images."""
OPTIONS: dict[str, list[str]] = {
    "defaults": [],
    "other norms": ["--model.encoder_norm", "instance", "--model.generator_norm", "layer", "--model.slope", "0"],
    "learned variance": ["--model.regularizer", "kl_learned"],
    "mmd": ["--model.regularizer", "mmd"],
    "code discriminator": ["--model.regularizer", "adversarial"],
    "spectral norm": ["--discriminator.spectral_norm", "true", "--loss.gan_kind", "hinge"],
    "augmented": ["--data.jitter", "1", "--data.zoom", "2", "--data.channels", "1"],
}


def flat_data(tmp_path: Path, content: str) -> Path:
    """A data folder of that content."""
    root = tmp_path / "data"
    cornered = np.zeros((200, 200, 3), np.uint8)  # nearly all of its crops are black
    cornered[:4, :4] = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    for domain in "AB":
        folder = root / f"train{domain}"
        folder.mkdir(parents=True)
        if content == "one image":
            write_noise(folder / "0.png", (16, 16))
        elif content == "black but for a corner":
            Image.fromarray(cornered).save(folder / "0.png")
        for number, color in enumerate(CONTENTS[content] or ()):
            Image.new("RGB", (16, 16), color).save(folder / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param(content, options, marks=[] if options == "defaults" or content == "black" else pytest.mark.slow)
        for content in CONTENTS
        for options in OPTIONS
    ],
)
def test_data_that_teach_little_are_trained_on_without_breaking_down(
    run_command: Command, tiny: Tiny, tmp_path: Path, content: str, options: str
) -> None:
    """At batch 1 and the smallest size."""
    arguments = ["--data.root", str(flat_data(tmp_path, content)), "--train.batch_size", "1", "--optim.lr", "1e-2"]
    said = run_command("train", *tiny(tmp_path / "run", *arguments, "--train.steps", "6", *OPTIONS[options]))
    assert (said.code, said.err) == (0, "")
    lines = logged_by(tmp_path / "run")
    assert len(lines) == 6 and all(np.isfinite(list(line.values())).all() for line in lines)
    for path in (tmp_path / "run").rglob("*.safetensors"):
        assert all(bool(tensor.isfinite().all()) for tensor in load_file(path).values()), path
    report = unit.translate(tmp_path / "run", tmp_path / "data" / "trainA", tmp_path / "out")
    assert not report.failed and report.written
