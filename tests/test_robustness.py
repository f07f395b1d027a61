"""What a long training meets: kills at any moment, half-written files, weights that break, folders of odd images."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import Command, Said, Tiny
from PIL import Image
from safetensors.torch import load_file

import unit
from unit import checkpoint, training
from unit.checkpoint import Checkpoint, CheckpointError
from unit.config.unit import ModelConfig
from unit.methods.translator import Translator
from unit.methods.unit import Unit
from unit.model import load
from unit.options import parse


def refused(said: Said, *words: str, code: int = 2) -> None:
    """One line on stderr that says all of `words`, and the exit code."""
    lines = said.err.splitlines()
    assert said.code == code, said
    assert len(lines) == 1 and lines[0].startswith("error: "), said.err
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"
    assert "finished" not in said.out


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write(path: Path, size: tuple[int, int] = (24, 24)) -> None:
    """A picture of seeded noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 4 steps. Tests read it and change nothing in it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert run_command("train", *tiny(folder)).code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


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
            write(tmp_path / "data" / f"train{domain}" / f"{number}.png")
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
    write(root / "trainA" / "thin.png", (1, 2000))
    said = run_command("train", *tiny(tmp_path / "run", "--data.root", str(root), "--data.resize", "400"))
    assert said.code == 0
    assert "1 file left out that can't be decoded" in said.out and "thin.png" in said.out


# Data that teach little

CONTENTS = {"one image": None, "black": ("black", "black"), "white": ("white", "white"), "grey": ("grey", "grey"),
            "a colour each": ("black", "white"), "black but for a corner": None}  # fmt: skip
"""What the domains hold, and the colours of their two constant images."""
OPTIONS: dict[str, list[str]] = {
    "defaults": [],
    "other norms": ["--model.encoder_norm", "instance", "--model.generator_norm", "layer", "--model.slope", "0"],
    "learned variance": ["--model.regularizer", "kl_learned"],
    "mmd": ["--model.regularizer", "mmd"],
    "judged codes": ["--model.regularizer", "adversarial"],
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
            write(folder / "0.png", (16, 16))
        elif content == "black but for a corner":
            Image.fromarray(cornered).save(folder / "0.png")
        for number, colour in enumerate(CONTENTS[content] or ()):
            Image.new("RGB", (16, 16), colour).save(folder / f"{number}.png")
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
    lines = metrics(tmp_path / "run")
    assert len(lines) == 6 and all(np.isfinite(list(line.values())).all() for line in lines)
    for path in (tmp_path / "run").rglob("*.safetensors"):
        assert all(bool(tensor.isfinite().all()) for tensor in load_file(path).values()), path
    report = unit.translate(tmp_path / "run", tmp_path / "data" / "trainA", tmp_path / "out")
    assert not report.failed and report.written


# Scores


def test_a_pair_of_two_sizes_is_refused_by_name(
    run_command: Command, finished: Path, toys: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(toys, tmp_path / "root"))
    write(root / "testB" / "00001.png", (20, 24))
    said = run_command("main", "evaluate", "--model", finished, "--root", root, "--palette", "toymaps")
    refused(said, "00001.png")


def test_a_grey_model_is_not_scored_on_coloured_maps(
    run_command: Command, tiny: Tiny, toys: Path, tmp_path: Path
) -> None:
    assert run_command("train", *tiny(tmp_path / "run", "--train.steps", "1", "--data.channels", "1")).code == 0
    said = run_command("main", "evaluate", "--model", tmp_path / "run", "--root", toys, "--palette", "toymaps")
    refused(said, "channels")


# Weights that break


def break_weights(monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
    """Have the translator's update of that step, the second one of the step, leave NaN in its weights."""
    step, calls = torch.optim.Adam.step, []

    def breaking(self: torch.optim.Adam, *arguments: Any) -> None:
        step(self, *arguments)
        calls.append(1)
        if len(calls) == 2 * at:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", breaking)


@pytest.mark.parametrize("at", [2, 4])
@pytest.mark.parametrize("ema", ["0", "0.5"])
def test_broken_weights_are_never_saved_nor_called_finished(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, ema: str
) -> None:
    """The update just before a checkpoint may be what breaks the weights; the losses before it are still finite."""
    break_weights(monkeypatch, at=at)
    steps = ["--train.sample_every", "100", "--train.checkpoint_every", "2"]
    said = run_command("train", *tiny(tmp_path / "run", "--optim.ema", ema, *steps))
    saved = {path: load_file(path) for path in (tmp_path / "run").rglob("*.safetensors")}
    broken = [path.name for path, tensors in saved.items() if not all(t.isfinite().all() for t in tensors.values())]
    assert not broken
    refused(said, "broke down", code=1)


def test_a_training_that_breaks_down_fails_even_if_samples_come_before_the_log(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_weights(monkeypatch, at=2)
    steps = ["--train.sample_every", "1", "--train.log_every", "4", "--train.checkpoint_every", "4"]
    refused(run_command("train", *tiny(tmp_path / "run", *steps)), "broke down", code=1)


# Damaged manifests


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small checkpoint."""
    folder = checkpoint.folder_of(tmp_path, 7)
    scalars = {"step": 7, "data": {"a": "0f", "b": "1e"}, "schedules": {"translator": {"last_epoch": 7}}}
    checkpoint.save(folder, Checkpoint({"network": {"weight": torch.arange(4.0)}}, scalars))
    return folder


def test_a_manifest_with_one_bit_flipped_anywhere_is_refused(saved: Path) -> None:
    intact = checkpoint.load(saved).scalars
    whole = (saved / "manifest.json").read_bytes()
    accepted = []
    for place in range(len(whole)):
        (saved / "manifest.json").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            changed = checkpoint.load(saved)
        except CheckpointError as error:
            assert saved.name in str(error)
        else:
            if changed.scalars != intact:
                accepted.append(whole[max(0, place - 9) : place + 2])
    assert not accepted, f"{len(accepted)} of {len(whole)} flips change the counters unseen, such as in {accepted[0]!r}"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"7", b'"x"', b"\xff", b'{"format": 1}'])
def test_a_manifest_that_is_none_is_refused_by_name(saved: Path, text: bytes) -> None:
    (saved / "manifest.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=saved.name):
        checkpoint.load(saved)


def test_a_manifest_reads_no_file_outside_its_folder(saved: Path) -> None:
    shutil.copy(saved / "network.safetensors", saved.parent / "outside.safetensors")
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["../outside.safetensors"] = manifest["files"]["network.safetensors"]
    manifest["sha256"] = checkpoint.seal(manifest)
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside"):
        checkpoint.load(saved)


def test_a_run_whose_manifest_lacks_the_model_is_refused_by_name(
    run_command: Command, run: Path, toys: Path, tmp_path: Path
) -> None:
    (run / "config.json").unlink()
    manifest = run / "checkpoints" / "step-00000004" / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["files"]["average.safetensors"]
    manifest.write_text(json.dumps(content))
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "out")
    refused(said, "step-00000004")


# Kills and resumes

Train = Callable[..., Path]


@pytest.fixture
def train(tiny: Tiny, tmp_path: Path) -> Train:
    """`train(name, *arguments, resume=...)`: a tiny training into the run of that name, saved every 3 steps."""

    def call(name: str, *arguments: str, resume: Path | None = None) -> Path:
        AcceleratorState._reset_state(reset_partial_state=True)  # as in a fresh process
        config = parse(tiny(tmp_path / name, "--train.checkpoint_every", "3", "--train.steps", "6", *arguments))
        return training.train(config, resume=resume)

    return call


Kill = Callable[..., Path]


@pytest.fixture
def kill(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kill:
    """`kill(*arguments, at=n)`: begin the run "part" and break it off in the middle of step n, counted from 1."""
    phases = Unit.phases

    def call(*arguments: str, at: int, resume: Path | None = None) -> Path:
        def killed(self: Unit, wrapped: Any, batch: Any, *, recompute: bool) -> Iterator[Any]:
            for phase in phases(self, wrapped, batch, recompute=recompute):
                if batch.step == at - 1 and phase.player == "translator":
                    raise KeyboardInterrupt
                yield phase

        with monkeypatch.context() as patch:
            patch.setattr(Unit, "phases", killed)
            with pytest.raises(KeyboardInterrupt):
                train("part", *arguments, resume=resume)
        return tmp_path / "part"

    return call


def metrics(run: Path) -> list[dict[str, Any]]:
    """The log without what the clock says."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


def assert_same_end(left: Path, right: Path) -> None:
    """Both runs' last checkpoints and models are the same, byte for byte."""
    x, y = checkpoint.list_of(left)[-1], checkpoint.list_of(right)[-1]
    assert x.name == y.name
    assert contents(x) == contents(y)
    for name in ("model.safetensors", "config.json"):
        assert (left / name).read_bytes() == (right / name).read_bytes()


VARIANTS = {
    "plain": [],
    "without average": ["--optim.ema", "0"],
    "without discriminators": ["--loss.gan", "0"],
    "accumulated": ["--train.batch_size", "4", "--train.accumulation", "2"],
    "augmented": ["--discriminator.spectral_norm", "true", "--data.zoom", "1.5", "--data.jitter", "0.5"],
    "step": ["--optim.schedule", "step", "--optim.step_every", "2"],
    "fp16": ["--train.precision", "fp16"],
    "linear": ["--optim.schedule", "linear", "--optim.decay_start", "2"],
    "cosine": ["--optim.schedule", "cosine"],
}


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_run_killed_and_resumed_equals_the_unbroken_one(train: Train, kill: Kill, arguments: list[str]) -> None:
    """Killed in step 6: steps 4 and 5 were logged, but the newest checkpoint is of step 3."""
    unbroken = train("unbroken", *arguments)
    part = kill(*arguments, at=6)
    assert [line["step"] for line in metrics(part)] == [1, 2, 3, 4, 5]
    assert [path.name for path in checkpoint.list_of(part)] == ["step-00000003"]
    train("part", *arguments, resume=part)
    assert_same_end(unbroken, part)
    assert metrics(part) == metrics(unbroken)


def test_a_run_killed_twice_equals_the_unbroken_one(train: Train, kill: Kill) -> None:
    unbroken = train("unbroken", "--train.checkpoint_every", "2")
    part = kill("--train.checkpoint_every", "2", at=4)
    kill("--train.checkpoint_every", "2", at=5, resume=part)
    train("part", "--train.checkpoint_every", "2", resume=part)
    assert_same_end(unbroken, part)
    assert metrics(part) == metrics(unbroken)


def test_a_resumed_run_may_log_and_save_at_other_steps(train: Train, kill: Kill) -> None:
    unbroken = train("unbroken")
    part = kill(at=5)
    other = ["--train.log_every", "2", "--train.sample_every", "5", "--train.checkpoint_every", "4"]
    train("part", *other, "--data.cache_gb", "0", "--data.workers", "0", resume=part)
    assert_same_end(unbroken, part)


@pytest.mark.parametrize("rest", ['{"step": 4, "lr": 0.0', "{", "\0\0\0\0", '{"step": 4}'])
def test_a_line_of_metrics_cut_short_by_a_kill_does_not_stop_a_resume(train: Train, kill: Kill, rest: str) -> None:
    part = kill(at=4)
    with (part / "metrics.jsonl").open("a") as file:
        file.write(rest)
    train("part", resume=part)
    assert [line["step"] for line in metrics(part)] == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_save_does_not_stop_a_resume(train: Train, kill: Kill) -> None:
    part = kill(at=6)
    partial = part / "checkpoints" / ".step-00000006.partial"
    partial.mkdir()
    (partial / "translator.safetensors").write_bytes(b"half of it")
    train("part", resume=part)
    assert [path.name for path in (part / "checkpoints").iterdir()] == ["step-00000003", "step-00000006"]


def test_a_run_trained_on_and_killed_is_loaded_as_of_its_newest_checkpoint(train: Train, kill: Kill) -> None:
    """The model that its first part finished with is not its newest any more."""
    part = train("part", "--train.steps", "3")
    kill("--train.steps", "9", at=8, resume=part)
    newest = checkpoint.load(checkpoint.folder_of(part, 6)).tensors["average"]
    loaded = checkpoint.tensors_of(load(part))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in newest.items())


def test_a_run_is_not_resumed_to_fewer_steps_than_it_has(run_command: Command, run: Path) -> None:
    before = contents(run)
    refused(run_command("train", "--resume", run, "--train.steps", "3"), "train.steps", "3", "4")
    assert contents(run) == before


def test_an_interruption_says_how_to_go_on(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = Translator.forward, []

    def interrupted(self: Translator, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return forward(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "forward", interrupted)
        refused(run_command("train", *tiny(tmp_path / "run")), "--resume", code=130)
    assert run_command("train", "--resume", tmp_path / "run").code == 0


def test_an_interruption_before_the_first_checkpoint_does_not_promise_a_resume(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Translator, *arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "forward", interrupted)
    said = run_command("train", *tiny(tmp_path / "run"))
    assert said.code == 130 and "checkpoints are as they were" not in said.err


def test_a_full_disk_is_one_line(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(run_command("train", *tiny(tmp_path / "run")), "No space left", code=1)


# Translating odd files


class Copier(Translator):
    """Returns what it is given."""

    def __init__(self) -> None:
        super().__init__(ModelConfig(width=1, blocks=1), channels=3)

    def translate(self, x: torch.Tensor, direction: str = "a2b") -> torch.Tensor:
        return x


def test_a_second_translation_into_the_input_folder_finds_all_done(tmp_path: Path) -> None:
    """The first one's output is no input of the second."""
    write(tmp_path / "in" / "x.png")
    unit.translate(Copier(), tmp_path / "in", tmp_path / "in" / "out")
    before = contents(tmp_path)
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "in" / "out")
    assert not report.written and len(report.existing) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_overwritten(tmp_path: Path, overwrite: bool) -> None:
    write(tmp_path / "in" / "x.png")
    write(tmp_path / "in" / "x.bmp", (8, 8))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="in"):
        unit.translate(Copier(), tmp_path / "in", tmp_path / "in", overwrite=overwrite)
    with pytest.raises(ValueError, match=r"x\.png"):
        unit.translate(Copier(), tmp_path / "in" / "x.png", tmp_path / "in" / "x.png", overwrite=overwrite)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("format", ["webp", "jpg"])
def test_an_image_larger_than_its_format_fails_alone(tmp_path: Path, format: Any) -> None:
    """WebP ends at 16,383 pixels a side, JPEG at 65,535."""
    write(tmp_path / "in" / "a.png", (16_400 if format == "webp" else 65_600, 1))
    write(tmp_path / "in" / "b.png")
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out", format=format)
    assert [path.name for path in report.written] == [f"b.{format}"]
    (reason,) = report.failed.values()
    assert "a." in reason and "None" not in reason
    assert contents(tmp_path / "out").keys() == {f"b.{format}"}


def test_each_failure_names_its_file(tmp_path: Path) -> None:
    write(tmp_path / "in" / "thin.png", (1, 2000))
    write(tmp_path / "in" / "sound.png")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "out" / "taken.png").mkdir(parents=True)
    write(tmp_path / "in" / "taken.png")
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out", resize=400, overwrite=True)
    assert [path.name for path in report.written] == ["sound.png"]
    assert {path.name for path in report.failed} == {"thin.png", "empty.png", "taken.png"}
    for path, reason in report.failed.items():
        assert path.name in reason and len(reason.splitlines()) == 1, reason


def test_an_image_that_vanishes_on_the_way_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        write(tmp_path / "in" / name)
    from unit import translation

    plan = translation.plan

    def slow_plan(*arguments: Any) -> list[tuple[Path, Path]]:
        jobs = plan(*arguments)
        (tmp_path / "in" / "a.png").unlink()
        return jobs

    monkeypatch.setattr(translation, "plan", slow_plan)
    report = unit.translate(Copier(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.failed] == ["a.png"] and [path.name for path in report.written] == ["b.png"]


# Launchers


def test_two_launched_processes_are_never_two_trainings(tiny: Tiny, tmp_path: Path) -> None:
    """torchrun on a machine without GPUs, with nothing set for Accelerate: one training, or a refusal."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    said = subprocess.run(
        [*launch, *tiny(tmp_path / "run", "--train.steps", "2")],
        cwd=Path(unit.__file__).resolve().parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    firsts = [line for line in said.stdout.splitlines() if line.startswith(("cpu (", "cuda ("))]
    assert not any("1 process " in line for line in firsts), said.stdout
    assert "Warning" not in said.stderr
