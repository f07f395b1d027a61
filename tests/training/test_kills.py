"""Runs of UNIT killed at any moment and resumed, half-written files, interruptions and full disks."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import Command, Tiny
from digit_toys import logged_by
from run_files import contents, refused, saved_steps

from unit import training, weights
from unit.cli.arguments import parse_config
from unit.methods.unit import Unit
from unit.models.folder import load_model
from unit.models.unit import UnitTranslator
from unit.training import checkpoint

Train = Callable[..., Path]


@pytest.fixture
def train(tiny: Tiny, tmp_path: Path) -> Train:
    """`train(name, *arguments, resume=...)`: a tiny training into the run of that name, saved every 3 steps."""

    def call(name: str, *arguments: str, resume: Path | None = None) -> Path:
        AcceleratorState._reset_state(reset_partial_state=True)  # as in a fresh process
        config = parse_config(tiny(tmp_path / name, "--train.checkpoint_every", "3", "--train.steps", "6", *arguments))
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
                if batch.step == at - 1 and phase.optimizer == "translator":
                    raise KeyboardInterrupt
                yield phase

        with monkeypatch.context() as patch:
            patch.setattr(Unit, "phases", killed)
            with pytest.raises(KeyboardInterrupt):
                train("part", *arguments, resume=resume)
        return tmp_path / "part"

    return call


def assert_same_end(left: Path, right: Path) -> None:
    """Both runs' last checkpoints and models are the same, byte for byte."""
    x, y = weights.list_checkpoints(left)[-1], weights.list_checkpoints(right)[-1]
    assert x.name == y.name
    assert contents(x) == contents(y)
    for name in ("model.safetensors", "config.json"):
        assert (left / name).read_bytes() == (right / name).read_bytes()


VARIANTS = {
    "plain": [],
    "without discriminators": ["--loss.gan", "0"],
    "step": ["--optim.schedule", "step", "--optim.step_every", "2"],
    "fp16": ["--train.precision", "fp16"],
    "linear": ["--optim.schedule", "linear", "--optim.decay_start", "2"],
}
"""Without average, accumulated, augmented, and with a cosine: test_exact_resume.py."""


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_run_killed_and_resumed_equals_the_unbroken_one(train: Train, kill: Kill, arguments: list[str]) -> None:
    """Killed in step 6: steps 4 and 5 were logged, but the newest checkpoint is of step 3."""
    unbroken = train("unbroken", *arguments)
    part = kill(*arguments, at=6)
    assert [line["step"] for line in logged_by(part)] == [1, 2, 3, 4, 5]
    assert saved_steps(part) == [3]
    train("part", *arguments, resume=part)
    assert_same_end(unbroken, part)
    assert logged_by(part) == logged_by(unbroken)


def test_a_run_killed_twice_equals_the_unbroken_one(train: Train, kill: Kill) -> None:
    unbroken = train("unbroken", "--train.checkpoint_every", "2")
    part = kill("--train.checkpoint_every", "2", at=4)
    kill("--train.checkpoint_every", "2", at=5, resume=part)
    train("part", "--train.checkpoint_every", "2", resume=part)
    assert_same_end(unbroken, part)
    assert logged_by(part) == logged_by(unbroken)


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
    assert [line["step"] for line in logged_by(part)] == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_save_does_not_stop_a_resume(train: Train, kill: Kill) -> None:
    part = kill(at=6)
    partial = part / "checkpoints" / ".step-00000006.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half of it")
    train("part", resume=part)
    assert [path.name for path in (part / "checkpoints").iterdir()] == ["step-00000003", "step-00000006"]


def test_a_run_trained_on_and_killed_is_loaded_as_of_its_newest_checkpoint(train: Train, kill: Kill) -> None:
    """The model that its first part finished with is not its newest any more."""
    part = train("part", "--train.steps", "3")
    kill("--train.steps", "9", at=8, resume=part)
    newest = checkpoint.load(weights.step_folder(part, 6)).tensors["average"]
    loaded = weights.collect_tensors(load_model(part))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in newest.items())


def test_a_run_is_not_resumed_to_fewer_steps_than_it_has(run_command: Command, train: Train) -> None:
    run = train("part")
    before = contents(run)
    refused(run_command("train", "--resume", run, "--train.steps", "3"), "train.steps", "3", "6")
    assert contents(run) == before


def test_an_interruption_says_how_to_go_on(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = UnitTranslator.forward, []

    def interrupted(self: UnitTranslator, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return forward(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(UnitTranslator, "forward", interrupted)
        refused(run_command("train", *tiny(tmp_path / "run")), "--resume", code=130)
    assert run_command("train", "--resume", tmp_path / "run").code == 0


def test_an_interruption_before_the_first_checkpoint_does_not_promise_a_resume(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: UnitTranslator, *arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(UnitTranslator, "forward", interrupted)
    said = run_command("train", *tiny(tmp_path / "run"))
    assert said.code == 130 and "checkpoints are as they were" not in said.err


@pytest.mark.usefixtures("flushing")
def test_a_full_disk_is_one_line(
    run_command: Command, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(run_command("train", *tiny(tmp_path / "run")), "No space left", code=1)
