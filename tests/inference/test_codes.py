"""Codes of folders: rows by name, of the images as training sees them; the files; and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from digit_toys import METHODS
from domain_toys import write_images
from PIL import Image
from run_files import contents, refused
from saved_models import saved

import unit
from unit.data.decoding import read_image
from unit.data.images import to_float
from unit.inference.codes import encoding_of
from unit.models.base import Direction, ImageTranslator
from unit.models.folder import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of 24 × 20 in two folders."""
    write_images(tmp_path / "own" / "one", 3)
    write_images(tmp_path / "own" / "two", 2, seed=1)
    return tmp_path / "own"


@pytest.mark.parametrize("name", METHODS)
def test_every_autoencoder_encodes(name: str, folder: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"label": 3} if METHODS[name].get("method", name) == "cvae" else {}
    codes = unit.encode(saved(name, tmp_path / "model"), folder, **more)
    assert codes.names == ["one/000.png", "one/001.png", "one/002.png", "two/000.png", "two/001.png"]
    categories = METHODS[name].get("model.categories", 10 if name.startswith("aae_semi") else 0)
    width = 3 if name.startswith("m1m2") else 2 + categories
    assert codes.codes.shape == (5, width) and codes.codes.dtype == np.float32
    assert np.unique(codes.codes, axis=0).shape[0] == 5


def test_codes_are_of_centers_scaled_to_the_models_size(folder: Path, tmp_path: Path) -> None:
    model: Any = load_model(saved("vae", tmp_path / "model"))
    codes = unit.encode(tmp_path / "model", folder, batch_size=2)
    scaled = read_image(folder / "two" / "001.png", channels=1, resize=16)
    assert scaled.shape == (1, 16, 19)
    expected = model.code(to_float(scaled[None, :, :, 1:17]))[0]
    torch.testing.assert_close(torch.from_numpy(codes.codes[4]), expected)


@pytest.mark.parametrize("domain", ["a", "b"])
def test_a_translators_codes_are_those_of_its_domain(domain: Any, translator_run: Path, toys: Path) -> None:
    codes = unit.encode(translator_run, toys / "testA", domain=domain)
    model: Any = load_model(translator_run)
    x = to_float(read_image(sorted((toys / "testA").iterdir())[2], channels=3, resize=16)[None])
    assert len(codes.names) == 3 and codes.codes.shape == (3, *model.code_shape(x))
    torch.testing.assert_close(torch.from_numpy(codes.codes[2]), model.code(x, domain)[0])


# The command


def test_codes_and_names_are_written(folder: Path, tmp_path: Path, run_command: Command) -> None:
    model, out = saved("vae", tmp_path / "model"), tmp_path / "new" / "codes.npy"
    said = run_command("main", "encode", "--model", model, "--input", folder, "--output", out)
    assert said.code == 0 and said.out == "5 images encoded: 5 × 2 numbers\n", said.err
    assert sorted(contents(out.parent)) == ["codes.names.json", "codes.npy"]
    codes = unit.encode(model, folder)
    assert np.array_equal(np.load(out), codes.codes)
    assert json.loads(out.with_suffix(".names.json").read_text()) == codes.names


def test_an_image_alone_is_encoded(folder: Path, tmp_path: Path) -> None:
    codes = unit.encode(saved("vae", tmp_path / "model"), folder / "one" / "001.png")
    assert codes.names == ["001.png"] and codes.codes.shape == (1, 2)


def test_nothing_is_replaced_unasked(folder: Path, tmp_path: Path, run_command: Command) -> None:
    given = [
        "main",
        "encode",
        "--model",
        saved("vae", tmp_path / "m"),
        "--input",
        folder,
        "--output",
        tmp_path / "c.npy",
    ]
    for there in ("c.npy", "c.names.json"):
        (tmp_path / there).write_text("mine")
        refused(run_command(*given), f"{there} is there already; --overwrite replaces it")
        assert (tmp_path / there).read_text() == "mine"
        (tmp_path / there).unlink()
    (tmp_path / "c.npy").write_text("mine")
    assert run_command(*given, "--overwrite").code == 0 and np.load(tmp_path / "c.npy").shape == (5, 2)


def test_bad_files_are_named_and_left_out(folder: Path, tmp_path: Path, run_command: Command) -> None:
    (folder / "one" / "001.png").write_bytes(b"no image")
    (folder / "notes.txt").touch()
    out = tmp_path / "codes.npy"
    said = run_command(
        "main", "encode", "--model", saved("vae", tmp_path / "model"), "--input", folder, "--output", out
    )
    assert said.code == 1 and "4 images encoded" in said.out and "1 failed:" in said.out and "001.png" in said.out
    assert said.out.endswith("1 file skipped (.txt)\n")
    assert json.loads(out.with_suffix(".names.json").read_text())[1] == "one/002.png"
    assert len(np.load(out)) == 4


def test_a_folder_of_bad_files_alone_is_refused(tmp_path: Path, run_command: Command) -> None:
    model, root = saved("vae", tmp_path / "model"), tmp_path / "own"
    root.mkdir()
    given = ["main", "encode", "--model", model, "--input", root, "--output", tmp_path / "codes.npy"]
    refused(run_command(*given), "no images in it")
    (root / "a.png").write_bytes(b"no image")
    refused(run_command(*given), "no image that can be read; the first:", "a.png")
    assert not (tmp_path / "codes.npy").exists()


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("vae", ["--domain", "a"], ["domain: a model autoencoder has no domains", "got a"]),
        ("vae", ["--label", "1"], ["label: this model autoencoder encodes without labels"]),
        ("cvae", [], ["label: this model's encoder takes the label; expected 0 to 9, got None"]),
        ("cvae", ["--label", "10"], ["expected 0 to 9, got 10"]),
        ("vae", ["--batch-size", "0"], ["batch_size: expected at least 1, got 0"]),
        ("vae", ["--device", "nowhere"], ["device nowhere"]),
        ("vae", ["--output", "codes.txt"], ["expected a file .npy, got codes.txt"]),
        ("vae", ["--input", "/nowhere"], ["no input", "/nowhere"]),
    ],
)
def test_what_is_refused(
    name: str, more: list[str], words: list[str], folder: Path, tmp_path: Path, run_command: Command
) -> None:
    given = ["--model", saved(name, tmp_path / "model"), "--input", folder, "--output", tmp_path / "codes.npy"]
    refused(run_command("main", "encode", *given, *more), *words)
    assert not (tmp_path / "codes.npy").exists()


def test_of_a_translator_the_domain_is_needed(
    translator_run: Path, folder: Path, tmp_path: Path, run_command: Command
) -> None:
    given = ["main", "encode", "--model", translator_run, "--input", folder, "--output", tmp_path / "codes.npy"]
    refused(run_command(*given), "domain: expected a or b, whose images these are, got None")
    refused(run_command(*given, "--domain", "a", "--label", "1"), "label: a translator encodes without labels")
    refused(run_command(*given, "--domain", "c"), "--domain")


def test_names_survive_as_they_are(tmp_path: Path, run_command: Command) -> None:
    root = tmp_path / "own"
    root.mkdir()
    for name in ("line\nbreak.png", "ü.png"):
        Image.new("L", (16, 16), 90).save(root / name)
    out = tmp_path / "codes.npy"
    model = saved("vae", tmp_path / "model")
    assert run_command("main", "encode", "--model", model, "--input", root, "--output", out).code == 0
    assert json.loads(out.with_suffix(".names.json").read_text()) == ["line\nbreak.png", "ü.png"]


class Negative(ImageTranslator):
    """A translator without codes."""

    name, stride, floats_per_pixel = "negative", 1, 1.0

    def _translate(self, x: torch.Tensor, direction: Direction) -> torch.Tensor:
        return -x


def test_other_translators_have_no_codes() -> None:
    with pytest.raises(ValueError, match="a model negative has no codes; expected an autoencoder, or UNIT"):
        encoding_of(Negative(), domain="a", label=None)
