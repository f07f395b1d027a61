"""`unit train --config vae_folder`: a folder of images without labels, and all that is done with the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from domain_toys import write_images
from run_files import refused

from unit.data.decoding import read_image
from unit.models.folder import load_model


def arguments(root: Path, run: Path, **keys: Any) -> list[str]:
    given = {
        "data.root": root, "data.size": 32, "model.width": 2, "model.latent": 3, "train.steps": 2,
        "train.batch_size": 4, "train.precision": "fp32", "train.sample_every": 2, "run.tracker": "none",
        "run.output": run,
    } | {key.replace("__", "."): value for key, value in keys.items()}  # fmt: skip
    return ["--config", "vae_folder", *(part for key, value in given.items() for part in (f"--{key}", str(value)))]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_alone_are_enough(channels: int, tmp_path: Path, run_command: Command) -> None:
    root, run = write_images(tmp_path / "mine" / "deep", 9, width=50, height=40).parent, tmp_path / "run"
    said = run_command("train", *arguments(root, run, data__channels=channels))
    assert said.code == 0 and "  9 images" in said.out.splitlines()[0], said.err
    assert read_image(run / "samples" / "step-00000002.png", channels=3).shape == (3, 3 * 34 - 2, 9 * 34 - 2)
    # Pictures are of the training images, for there are no others; figures are not.
    plotted = run_command("main", "plot", "--model", run)
    assert plotted.code == 0, plotted.err
    assert {path.name for path in (run / "plots").iterdir()} == {"reconstructions.png", "samples.png", "latent.png"}
    refused(run_command("main", "evaluate", "--model", run), "no test images", "data.held_out")
    drawn = run_command("main", "sample", "--model", run, "--count", "3", "--output", tmp_path / "drawn")
    assert drawn.code == 0, drawn.err
    assert read_image(tmp_path / "drawn" / "000002.png", channels=3).shape == (3, 32, 32)
    encoded = run_command("main", "encode", "--model", run, "--input", root, "--output", tmp_path / "codes.npy")
    assert encoded.code == 0 and np.load(tmp_path / "codes.npy").shape == (9, 3), encoded.err


@pytest.mark.parametrize("where", ["test images", "set aside"])
def test_figures_are_of_images_that_were_not_trained_on(where: str, tmp_path: Path, run_command: Command) -> None:
    root, run = write_images(tmp_path / "mine" / "train", 9).parent, tmp_path / "run"
    if where == "test images":
        write_images(root / "test", 3, seed=1)
    keys = {"data__held_out": 2} if where == "set aside" else {}
    assert run_command("train", *arguments(root, run, **keys)).code == 0
    said = run_command("main", "evaluate", "--model", run)
    assert said.code == 0 and "-ELBO" in said.out and "KL" in said.out, said.err
    assert run_command("main", "plot", "--model", run).code == 0
    gallery = read_image(run / "plots" / "reconstructions.png", channels=1)
    assert gallery.shape[2] == (3 if where == "test images" else 2) * 34 - 2


@pytest.mark.parametrize("size", [32, 48, 64, 96, 128])
def test_sizes_that_halve_are_taken(size: int, tmp_path: Path, run_command: Command) -> None:
    root = write_images(tmp_path / "mine", 4)
    assert run_command("train", *arguments(root, tmp_path / "run", data__size=size, train__steps=1)).code == 0
    model: Any = load_model(tmp_path / "run")
    assert model.images.size == size


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"data__size": 50}, ["data.size", "halved to 8 pixels", "got 50"]),
        ({"data__size": 8}, ["data.size", "got 8"]),
        ({"data__channels": 2}, ["data.channels", "2"]),
        ({"model__width": 0}, ["model.width: expected 1 to 4096, got 0"]),
        ({"data__held_out": 4}, ["data.held_out: expected fewer than the 4 training images, got 4"]),
        ({"data__root": "/nowhere"}, ["no such folder of images", "/nowhere"]),
    ],
)
def test_what_is_refused(keys: dict[str, Any], words: list[str], tmp_path: Path, run_command: Command) -> None:
    root = write_images(tmp_path / "mine", 4)
    refused(run_command("train", *arguments(root, tmp_path / "run", **keys)), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("there", ["nothing", "no images", "bad images"])
def test_a_folder_without_images_is_refused(there: str, tmp_path: Path, run_command: Command) -> None:
    """And is not taken for MNIST's, which would be downloaded into it."""
    root = tmp_path / "mine"
    root.mkdir()
    if there != "nothing":
        (root / ("a.txt" if there == "no images" else "a.png")).write_bytes(b"nothing")
    refused(run_command("train", *arguments(root, tmp_path / "run")), str(root), "no image that can be used")
