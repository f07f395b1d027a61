"""`unit translate`: a model's folder, what is translated, and what is refused before anything is written."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from run_files import contents, refused
from safetensors.torch import load_file, save_file

from unit.data.decoding import read_image
from unit.data.images import write_image
from unit.weights import FORMAT


@pytest.fixture(scope="module")
def run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run_command("train", *tiny(folder)).code == 0
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copied"))


# The model's folder


def test_a_model_that_is_not_there(run_command: Command, toys: Path, tmp_path: Path) -> None:
    rest = ["--input", str(toys / "testA"), "--output", str(tmp_path / "out")]
    refused(run_command("translate", "--model", "/nowhere", *rest), "/nowhere")
    refused(run_command("translate", "--model", str(tmp_path), *rest), "no model", "config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("version", ["config.json", "format 99", f"reads {FORMAT}"]),
        ("missing weight", ["model.safetensors", "lacks 1 weights"]),
        ("extra weight", ["model.safetensors", "stranger"]),
        ("shape", ["model.safetensors", "shape"]),
        ("missing file", ["model.safetensors is missing"]),
        ("truncated", ["model.safetensors", "damaged"]),
        ("not json", ["config.json"]),
        ("key", ["config.json", "model.depth"]),
        ("value", ["config.json", "model.width"]),
        ("name", ["config.json", "stranger", "unit"]),
    ],
)
def test_a_damaged_model(harm: str, words: list[str], copied: Path, toys: Path, run_command: Command) -> None:
    weights, text = copied / "model.safetensors", copied / "config.json"
    description, tensors = json.loads(text.read_text()), load_file(weights)
    name = next(iter(tensors))
    match harm:
        case "version":
            text.write_text(json.dumps(description | {"format": 99}))
        case "missing weight":
            save_file({key: value for key, value in tensors.items() if key != name}, weights)
        case "extra weight":
            save_file(tensors | {"stranger": torch.zeros(1)}, weights)
        case "shape":
            save_file(tensors | {name: torch.zeros(1)}, weights)
        case "missing file":
            weights.unlink()
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-10])
        case "not json":
            text.write_text("{")
        case "key":
            description["config"]["model"]["depth"] = 3
            text.write_text(json.dumps(description))
        case "value":
            description["config"]["model"]["width"] = "wide"
            text.write_text(json.dumps(description))
        case "name":
            text.write_text(json.dumps(description | {"model": "stranger"}))
    output = copied.parent / "out"
    said = run_command("translate", "--model", copied, "--input", toys / "testA", "--output", output)
    refused(said, *words)
    assert not output.exists()


# Translating


def test_names_are_kept_and_counted(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "out")
    assert (said.code, said.out) == (0, "3 images translated\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in (toys / "testA").iterdir()
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input", "/nowhere"], ["/nowhere"]),
        (["--batch-size", "0"], ["batch_size", "at least 1"]),
        (["--resize", "0"], ["resize", "at least 1"]),
        (["--device", "warp:9"], ["device warp:9"]),
    ],
)
def test_a_wrong_translation_is_one_line(
    options: list[str], words: list[str], run: Path, toys: Path, run_command: Command, tmp_path: Path
) -> None:
    arguments = ["--model", run, "--input", toys / "testA", "--output", tmp_path / "out", *options]
    refused(run_command("translate", *arguments), *words)
    assert not (tmp_path / "out").exists()


def test_an_input_folder_without_images(run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = run_command("translate", "--model", run, "--input", tmp_path / "empty", "--output", tmp_path / "out")
    refused(said, "empty", "no images")


def test_an_output_folder_that_is_a_file(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "file" / "x")
    refused(said, "can't be written")
    assert (tmp_path / "file").read_text() == "mine"


def test_files_that_fail_are_listed_and_the_exit_code_says_so(run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "good.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    said = run_command("translate", "--model", run, "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert said.code == 1
    assert "1 images translated" in said.out and "1 failed" in said.out and "bad.png" in said.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


@pytest.mark.parametrize("direction", ["AtoB", "b", ""])
def test_a_direction_that_there_is_not(
    direction: str, run: Path, toys: Path, run_command: Command, tmp_path: Path
) -> None:
    arguments = ["--model", run, "--input", toys / "testA", "--output", tmp_path / "out", "--direction", direction]
    refused(run_command("translate", *arguments), "--direction", "a2b", "b2a")
    assert not (tmp_path / "out").exists()


def test_options_do_what_they_say(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    def translated(name: str, *more: str) -> dict[str, bytes]:
        arguments = ["--model", run, "--input", toys / "testB", "--output", tmp_path / name, *more]
        said = run_command("main", "translate", *arguments)
        assert said.code == 0, said.err
        return contents(tmp_path / name)

    a2b, b2a, cycle = translated("1"), translated("2", "--direction", "b2a"), translated("3", "--cycle")
    assert (
        a2b.keys() == b2a.keys() == cycle.keys() and len({a2b["00000.png"], b2a["00000.png"], cycle["00000.png"]}) == 3
    )
    assert translated("4", "--format", "webp").keys() == {f"0000{n}.webp" for n in range(3)}
    translated("5", "--resize", "12", "--batch-size", "2", "--device", "cpu")
    assert read_image(tmp_path / "5" / "00000.png", channels=3).shape == (3, 12, 12)
    (tmp_path / "1" / "00001.png").write_bytes(b"mine")
    said = run_command("translate", "--model", run, "--input", toys / "testB", "--output", tmp_path / "1")
    assert said.code == 0 and "3 were there already" in said.out
    assert (tmp_path / "1" / "00001.png").read_bytes() == b"mine"
    assert translated("1", "--overwrite") == a2b


def test_a_checkpoint_is_a_model_too(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    newest = sorted((run / "checkpoints").iterdir())[-1]
    for name, model in (("1", run), ("2", newest)):
        arguments = ["--model", model, "--input", toys / "testA", "--output", tmp_path / name]
        assert run_command("translate", *arguments).code == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
