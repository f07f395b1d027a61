"""Images that models draw: a function of seed and number, labels, files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from digit_toys import METHODS, method_of, parse_config
from run_files import contents, refused
from saved_models import saved

import unit
from unit.data.decoding import read_image
from unit.inference.samples import drawing_of

LABELS = {"cvae": 10, "m2": 10, "m1m2": 10, "aae_supervised": 10, "aae_semi": 10}
"""By method: how many labels there are to choose from."""


@pytest.mark.parametrize("name", METHODS)
def test_every_autoencoder_draws(name: str, tmp_path: Path) -> None:
    images = unit.sample(saved(name, tmp_path / "model"), 3, seed=1)
    assert [image.size for image in images] == [(16, 16)] * 3 and images[0].mode == "L"
    assert len({image.tobytes() for image in images}) == 3


@pytest.mark.parametrize("name", ["vae", "aae informed", "m2"])
def test_an_image_is_a_function_of_seed_and_number(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path / "model")
    few, many = unit.sample(model, 2, seed=5), unit.sample(model, 130, seed=5)
    assert all(
        np.abs(np.int64(x) - np.int64(y)).max() <= 1 for x, y in zip(few, many, strict=False)
    )  # but for rounding
    assert unit.sample(model, 1, seed=6)[0].tobytes() != few[0].tobytes()


@pytest.mark.parametrize("name", METHODS)
def test_labels_are_those_that_the_model_draws_by(name: str) -> None:
    keys = METHODS[name]
    parts = 10 if keys.get("model.prior") in ("mixture", "swiss_roll", "sectors", "cells") else 0
    wanted = keys.get("model.categories", LABELS.get(keys.get("method", name), parts))
    assert drawing_of(method_of(parse_config(name)).model).labels == wanted


def test_the_label_goes_to_the_decoder(tmp_path: Path) -> None:
    """A CVAE's images of label 3 are those of the same codes with that label."""
    model = saved("cvae", tmp_path / "model")
    in_turn, threes = unit.sample(model, 14), unit.sample(model, 14, label=3)
    same = [x.tobytes() == y.tobytes() for x, y in zip(in_turn, threes, strict=True)]
    assert same == [n % 10 == 3 for n in range(14)]


def test_the_label_chooses_the_part_of_the_prior(tmp_path: Path) -> None:
    model = method_of(parse_config("aae informed")).model
    drawing = drawing_of(model)
    codes = torch.cat([drawing.code(n, 5, 0) for n in range(200)])
    assert codes[:, 0].max() < 0  # the petal of 5 points to the left


# The command


def test_files_are_named_after_number_and_label(tmp_path: Path, run_command: Command) -> None:
    model, out = saved("cvae", tmp_path / "model"), tmp_path / "a" / "out"
    said = run_command("main", "sample", "--model", model, "--count", "12", "--output", out)
    assert said.code == 0 and said.out == "12 images drawn\n"
    assert sorted(path.name for path in out.iterdir())[:3] == ["0-000000.png", "0-000010.png", "1-000001.png"]
    (third,) = out.glob("*-000003.png")
    assert third.name == "3-000003.png"
    assert np.array_equal(read_image(third, channels=1)[0].numpy(), np.array(unit.sample(model, 12)[3]))


def test_files_that_are_there_are_left_alone(tmp_path: Path, run_command: Command) -> None:
    model, out = saved("vae", tmp_path / "model"), tmp_path / "out"
    given = ["main", "sample", "--model", model, "--output", out, "--count"]
    assert run_command(*given, "3").code == 0
    (out / "000001.png").write_bytes(b"mine")
    said = run_command(*given, "5")
    assert said.code == 0 and said.out.splitlines() == [
        "2 images drawn", "3 were there already and were left alone (--overwrite replaces them)"
    ]  # fmt: skip
    assert (out / "000001.png").read_bytes() == b"mine"
    assert run_command(*given, "5", "--overwrite").out == "5 images drawn\n"
    assert (out / "000001.png").read_bytes() != b"mine"
    before = contents(out)
    assert run_command(*given, "5", "--overwrite").code == 0 and contents(out) == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--count", "0"], ["count: expected 1 to", "got 0"]),
        (["--label", "1"], ["label: this model autoencoder draws without labels", "got 1"]),
        (["--device", "nowhere"], ["device nowhere"]),
        (["--count", "many"], ["--count", "many"]),
    ],
)
def test_what_is_refused(more: list[str], words: list[str], tmp_path: Path, run_command: Command) -> None:
    model = saved("vae", tmp_path / "model")
    refused(run_command("main", "sample", "--model", model, "--output", tmp_path / "out", *more), *words)
    assert not (tmp_path / "out").exists()


def test_labels_beyond_the_last_and_folders_that_are_files_are_refused(tmp_path: Path, run_command: Command) -> None:
    model = saved("cvae", tmp_path / "model")
    given = ["main", "sample", "--model", model, "--output"]
    refused(run_command(*given, tmp_path / "out", "--label", "10"), "label: expected 0 to 9, got 10")
    (tmp_path / "file").touch()
    refused(run_command(*given, tmp_path / "file"), "is a file; expected a folder")
    refused(run_command("main", "sample", "--model", tmp_path / "none", "--output", tmp_path / "out"), "no model")


def test_a_translator_has_no_prior(translator_run: Path, tmp_path: Path, run_command: Command) -> None:
    refused(run_command("main", "sample", "--model", translator_run, "--output", tmp_path / "out"), "unit has no prior")


@pytest.mark.parametrize("name", ["vae cppn", "cvae cppn"])
def test_a_decoder_of_coordinates_draws_at_any_size(name: str, tmp_path: Path, run_command: Command) -> None:
    model, out = saved(name, tmp_path / "model"), tmp_path / "out"
    given = ["main", "sample", "--model", model, "--output", out, "--count", "2"]
    assert run_command(*given, "--size", "48").code == 0
    small = unit.sample(model, 2)
    for path, expected in zip(sorted(out.iterdir()), small, strict=True):
        large = read_image(path, channels=1)[0]
        assert large.shape == (48, 48)
        assert np.abs(np.int64(large[1::3, 1::3]) - np.int64(expected)).max() <= 1  # but for rounding
    for size in ("0", "8193"):
        refused(run_command(*given, "--size", size), f"size: expected 1 to 8192, got {size}")


def test_other_decoders_have_one_size(tmp_path: Path, run_command: Command) -> None:
    given = ["--model", saved("vae", tmp_path / "model"), "--output", tmp_path / "out", "--size", "64"]
    refused(run_command("main", "sample", *given), "size: this model autoencoder draws at one size alone", "got 64")
