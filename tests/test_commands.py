"""What a user does wrong is one clear line, the right exit code, and nothing made, lost or overwritten."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Said, Tiny
from safetensors.torch import load_file, save_file

from unit.data.images import write_image


def assert_refused(said: Said, *words: str, code: int = 2) -> None:
    assert said.code == code, said
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], (word, lines[0])


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run_command("train", *tiny(folder)).code == 0
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "copied")


@pytest.fixture
def data(toys: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toys, tmp_path / "data")


# Training: the command and the config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--optim.speed", "3"], ["unknown key optim.speed", "optim"]),
        (["--optim.lr", "fast"], ["optim.lr", "float", "fast"]),
        (["--model.shared_blocks", "3"], ["model.shared_blocks", "0 to 2", "3"]),
        (["--data.size", "18"], ["data.size", "multiple of 4", "18"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml", "maps.yaml"]),
        (["--train.batch_size", "3", "--train.accumulation", "2"], ["train.batch_size", "3", "multiple of 2"]),
        (["--data.root", "/nowhere"], ["/nowhere/trainA", "data.root"]),
        (["--resume", "/nowhere"], ["--resume", "/nowhere"]),
        (["--run.tracker", "mlflow"], ["run.tracker", "mlflow is not installed"]),
        (["--train.precision", "bf17"], ["train.precision", "bf16", "bf17"]),
    ],
)
def test_a_wrong_command_is_one_line(
    options: list[str], words: list[str], tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    assert_refused(run_command("train", *tiny(output, *options)), *words)
    assert not output.exists()


def test_help_says_what_each_key_is(run_command: Command) -> None:
    said = run_command("train", "--help")
    assert said.code == 0
    assert "--resume" in said.out and "over all processes together" in " ".join(said.out.split())


# Training: the data


def test_no_folder_given(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    arguments = tiny(tmp_path / "run")
    del arguments[:2]
    assert_refused(run_command("train", *arguments), "data.a", "data.root")


@pytest.mark.parametrize("domain", ["trainA", "trainB"])
@pytest.mark.parametrize("fate", ["missing", "empty"])
def test_a_side_without_images(
    domain: str, fate: str, data: Path, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    shutil.rmtree(data / domain)
    if fate == "empty":
        (data / domain).mkdir()
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(data)))
    assert_refused(said, domain, "no folder" if fate == "missing" else "no image")
    assert not (tmp_path / "run").exists()


def test_images_smaller_than_the_crop(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    said = run_command("train", *tiny(tmp_path / "run", "--data.size", "32"))
    assert_refused(said, "24×24", "data.size 32", "data.resize")
    assert run_command("train", *tiny(tmp_path / "run", "--data.size", "32", "--data.resize", "32")).code == 0


def test_bad_files_are_named_counted_and_left_out(data: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    whole = next((data / "trainA").iterdir()).read_bytes()
    (data / "trainA" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (data / "trainA" / "zero.png").write_bytes(b"")
    (data / "trainA" / "corrupt.jpg").write_bytes(b"not an image")
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(data)))
    assert said.code == 0, said.err
    assert "trainA: 3 files left out that can't be decoded:" in said.out
    assert all(name in said.out for name in ("truncated.png", "zero.png", "corrupt.jpg"))
    assert "6 images in a, 6 in b" in said.out


def test_a_folder_of_bad_files_alone(data: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    for path in (data / "trainB").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(data)))
    assert_refused(said, "trainB", "6 found by name", "6 of them can't be decoded")


# Training: the run's folder


def test_a_run_is_never_overwritten(run: Path, tiny: Tiny, run_command: Command) -> None:
    before = tree(run)
    assert_refused(run_command("train", *tiny(run)), str(run), "not empty", "--resume")
    assert tree(run) == before


def test_an_output_that_cannot_be_written(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert_refused(run_command("train", *tiny(tmp_path / "file" / "run")), "run.output", "can't be written")
    assert_refused(run_command("train", *tiny(tmp_path / "file")), "run.output", "not empty")
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_with_another_config(copied: Path, run_command: Command) -> None:
    before = tree(copied)
    said = run_command("train", "--resume", str(copied), "--optim.lr", "0.5", "--model.width", "8")
    assert_refused(said, "differs", "optim.lr (0.0001 → 0.5)", "model.width (4 → 8)")
    assert tree(copied) == before


def test_resume_of_a_run_without_a_checkpoint(copied: Path, run_command: Command) -> None:
    shutil.rmtree(copied / "checkpoints")
    assert_refused(run_command("train", "--resume", str(copied)), "no checkpoint")


def test_resume_with_other_images(copied: Path, data: Path, run_command: Command) -> None:
    next((data / "trainA").iterdir()).rename(data / "trainA" / "renamed.png")
    before = tree(copied)
    said = run_command("train", "--resume", str(copied), "--data.root", str(data), "--train.steps", "6")
    assert_refused(said, "other data in domain a")
    assert tree(copied) == before


def test_resume_from_a_damaged_checkpoint(copied: Path, run_command: Command) -> None:
    file = copied / "checkpoints" / "step-00000004" / "adam-translator.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    before = tree(copied)
    said = run_command("train", "--resume", str(copied), "--train.steps", "6")
    assert_refused(said, "step-00000004", "damaged", "adam-translator.safetensors")
    assert tree(copied) == before


def test_a_training_that_breaks_down_stops_and_keeps_its_checkpoint(
    tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said = run_command("train", *tiny(run, "--optim.lr", "1e30", "--loss.gan", "0", "--train.checkpoint_every", "1"))
    assert_refused(said, "not a finite number", "at step 2", "reconstruction_a", code=1)
    assert not (run / "model.safetensors").exists()
    for step in (run / "checkpoints").iterdir():
        assert step.name == "step-00000001"
        for tensors in step.glob("*.safetensors"):
            assert all(bool(tensor.isfinite().all()) for tensor in load_file(tensors).values())


# The model's folder


def test_a_model_that_is_not_there(run_command: Command, toys: Path, tmp_path: Path) -> None:
    rest = ["--input", str(toys / "testA"), "--output", str(tmp_path / "out")]
    assert_refused(run_command("translate", "--model", "/nowhere", *rest), "/nowhere")
    assert_refused(run_command("translate", "--model", str(tmp_path), *rest), "no model", "config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("version", ["config.json", "format 99", "reads 1"]),
        ("missing weight", ["model.safetensors", "lacks 1 weights"]),
        ("extra weight", ["model.safetensors", "stranger"]),
        ("shape", ["model.safetensors", "shape"]),
        ("missing file", ["model.safetensors is missing"]),
        ("truncated", ["model.safetensors", "damaged"]),
        ("not json", ["config.json"]),
        ("key", ["config.json", "model.depth"]),
        ("value", ["config.json", "model.width"]),
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
            text.write_text(json.dumps(description | {"model": description["model"] | {"depth": 3}}))
        case "value":
            text.write_text(json.dumps(description | {"model": description["model"] | {"width": "wide"}}))
    output = copied.parent / "out"
    said = run_command("translate", "--model", copied, "--input", toys / "testA", "--output", output)
    assert_refused(said, *words)
    assert not output.exists()


# Translating and evaluating


def test_translate_then_evaluate(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "out")
    assert (said.code, said.out) == (0, "3 images translated\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in (toys / "testA").iterdir()
    )
    said = run_command("main", "evaluate", "--model", run, "--root", toys, "--palette", "toymaps")
    assert said.code == 0, said.err
    assert "balanced" in said.out and "constant colour" in said.out and "another map" in said.out
    said = run_command("main", "evaluate", "--model", run, "--root", toys, "--size", "16")
    assert said.code == 0, said.err
    assert "round trip" in said.out


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
    assert_refused(run_command("translate", *arguments), *words)
    assert not (tmp_path / "out").exists()


def test_an_input_folder_without_images(run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = run_command("translate", "--model", run, "--input", tmp_path / "empty", "--output", tmp_path / "out")
    assert_refused(said, "empty", "no images")


def test_an_output_folder_that_is_a_file(run: Path, toys: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "file" / "x")
    assert_refused(said, "can't be written")
    assert (tmp_path / "file").read_text() == "mine"


def test_files_that_fail_are_listed_and_the_exit_code_says_so(run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "good.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    said = run_command("translate", "--model", run, "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert said.code == 1
    assert "1 images translated" in said.out and "1 failed" in said.out and "bad.png" in said.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
