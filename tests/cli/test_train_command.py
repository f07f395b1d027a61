"""`unit train`: what a user does wrong is one clear line, and nothing is made, lost or overwritten."""

import shutil
from pathlib import Path

import pytest
from conftest import Command, Tiny
from run_files import contents, refused
from safetensors.torch import load_file

from unit.data.toymaps import write_toymaps


@pytest.fixture(scope="module")
def run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run_command("train", *tiny(folder)).code == 0
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copied"))


@pytest.fixture
def data(toys: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toys, tmp_path / "data"))


# Training: the command and the config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--optim.speed", "3"], ["unknown key optim.speed", "optim"]),
        (["--optim.lr", "fast"], ["optim.lr", "float", "fast"]),
        (["--model.shared_blocks", "3"], ["model.shared_blocks", "0 to 2", "3"]),
        (["--data.size", "18"], ["data.size", "multiple of 4", "18"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml", "maps_small"]),
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
    refused(run_command("train", *tiny(output, *options)), *words)
    assert not output.exists()


def test_a_finished_run_says_what_to_do_with_it(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    said = run_command("main", "train", *tiny(tmp_path / "run", "--train.steps", "1"))
    assert said.code == 0, said.err
    last = said.out.splitlines()[-1]
    assert last.startswith("finished: ")
    assert (
        f"`unit translate --model {tmp_path / 'run'}" in last and f"`unit evaluate --model {tmp_path / 'run'}`" in last
    )


def test_help_says_what_each_key_is(run_command: Command) -> None:
    said = run_command("train", "--help")
    assert said.code == 0
    assert "--resume" in said.out and "over all processes together" in " ".join(said.out.split())


# Training: the data


def test_no_folder_given(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    arguments = tiny(tmp_path / "run")
    del arguments[:2]
    refused(run_command("train", *arguments), "data.a", "data.root")


@pytest.mark.parametrize("domain", ["trainA", "trainB"])
@pytest.mark.parametrize("fate", ["missing", "empty"])
def test_a_side_without_images(
    domain: str, fate: str, data: Path, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    shutil.rmtree(data / domain)
    if fate == "empty":
        (data / domain).mkdir()
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(data)))
    refused(said, domain, "no folder" if fate == "missing" else "no image")
    assert not (tmp_path / "run").exists()


def test_images_smaller_than_the_crop(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    said = run_command("train", *tiny(tmp_path / "run", "--data.size", "32"))
    refused(said, "24×24", "data.size 32", "data.resize")
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
    refused(said, "trainB", "6 found by name", "6 of them can't be decoded")


# Training: data that is missing


@pytest.fixture
def few_toymaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy maps are 2,400 images; here they are ten."""

    def draw(root: Path, **_: object) -> None:
        write_toymaps(root, size=24, train=3, test=2)

    monkeypatch.setattr("unit.data.sets.prepare.write_toymaps", draw)


def test_missing_toymaps_are_drawn_at_once_and_it_says_so(
    few_toymaps: None, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    root = tmp_path / "datasets" / "toymaps"
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(root), "--train.steps", "1"))
    assert said.code == 0, said.err
    (line,) = (line for line in said.out.splitlines() if "toy maps" in line)
    assert str(root) in line and "missing" in line and "trainA 3" in line
    assert {path.name: len(list(path.iterdir())) for path in root.iterdir()} == {
        "trainA": 3, "trainB": 3, "testA": 2, "testB": 2,
    }  # fmt: skip
    assert [path.name for path in root.parent.iterdir()] == ["toymaps"]
    again = run_command("train", *tiny(tmp_path / "again", "--data.root", str(root), "--train.steps", "1"))
    assert again.code == 0 and "toy maps" not in again.out


def test_toymaps_that_are_there_are_left_as_they_are(
    few_toymaps: None, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    root = tmp_path / "toymaps"
    root.mkdir()
    (root / "mine").write_text("mine")
    refused(run_command("train", *tiny(tmp_path / "run", "--data.root", str(root))), "trainA")
    assert contents(root) == {"mine": b"mine"}


def test_toymaps_are_not_drawn_where_other_folders_are_trained_on(
    few_toymaps: None, toys: Path, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    folders = ["--data.a", str(toys / "trainA"), "--data.b", str(toys / "trainB"), "--train.steps", "1"]
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(tmp_path / "toymaps"), *folders))
    assert said.code == 0, said.err
    assert not (tmp_path / "toymaps").exists()


def test_a_home_folder_is_expanded(
    few_toymaps: None, tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", "~/toymaps", "--train.steps", "1"))
    assert said.code == 0, said.err
    assert (tmp_path / "home" / "toymaps" / "trainA").is_dir() and not (tmp_path / "~").exists()
    for command in ("evaluate", "plot"):
        said = run_command("main", command, "--model", tmp_path / "run")
        assert said.code == 0, said.err


@pytest.mark.parametrize(
    ("root", "command"),
    [
        ("datasets/maps", "`unit data maps`"),
        ("elsewhere/horse2zebra", "`unit data horse2zebra --output elsewhere/horse2zebra`"),
        ("my data/maps", "`unit data maps --output 'my data/maps'`"),
    ],
)
def test_a_missing_data_set_says_how_to_get_it(
    root: str, command: str, tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", root))
    refused(said, f"{root}/trainA", f"{command} gets it")
    assert not list(tmp_path.iterdir())


# Training: the run's folder


def test_a_run_is_never_overwritten(run: Path, tiny: Tiny, run_command: Command) -> None:
    before = contents(run)
    refused(run_command("train", *tiny(run)), str(run), "not empty", "--resume")
    assert contents(run) == before


def test_an_output_that_cannot_be_written(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(run_command("train", *tiny(tmp_path / "file" / "run")), "run.output", "can't be written")
    refused(run_command("train", *tiny(tmp_path / "file")), "run.output", "not empty")
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_with_another_config(copied: Path, run_command: Command) -> None:
    before = contents(copied)
    said = run_command("train", "--resume", str(copied), "--optim.lr", "0.5", "--model.width", "8")
    refused(said, "differs", "optim.lr (0.0001 → 0.5)", "model.width (4 → 8)")
    assert contents(copied) == before


def test_resume_of_a_run_without_a_checkpoint(copied: Path, run_command: Command) -> None:
    shutil.rmtree(copied / "checkpoints")
    refused(run_command("train", "--resume", str(copied)), "no checkpoint")


def test_resume_with_other_images(copied: Path, data: Path, run_command: Command) -> None:
    next((data / "trainA").iterdir()).rename(data / "trainA" / "renamed.png")
    before = contents(copied)
    said = run_command("train", "--resume", str(copied), "--data.root", str(data), "--train.steps", "6")
    refused(said, "other data in domain a")
    assert contents(copied) == before


def test_resume_from_a_damaged_checkpoint(copied: Path, run_command: Command) -> None:
    file = copied / "checkpoints" / "step-00000004" / "adam-translator.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    before = contents(copied)
    said = run_command("train", "--resume", str(copied), "--train.steps", "6")
    refused(said, "step-00000004", "damaged", "adam-translator.safetensors")
    assert contents(copied) == before


def test_a_training_that_breaks_down_stops_and_keeps_its_checkpoint(
    tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said = run_command("train", *tiny(run, "--optim.lr", "1e30", "--loss.gan", "0", "--train.checkpoint_every", "1"))
    refused(said, "NaN or infinite", "at step 2", "reconstruction_a", code=1)
    assert not (run / "model.safetensors").exists()
    for step in (run / "checkpoints").iterdir():
        assert step.name == "step-00000001"
        for tensors in step.glob("*.safetensors"):
            assert all(bool(tensor.isfinite().all()) for tensor in load_file(tensors).values())
