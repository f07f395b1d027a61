"""Trackers: a resumed run has each step once; sample grids are handed over; W&B gets project, name and config."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def events(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    return found


def test_tensorboard_has_each_step_once_after_a_kill_and_a_resume(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unit.training import loop

    run, real = tmp_path / "run", loop.agree_on_signal
    steps = iter(range(1, 100))

    def killed(signal: int, accelerator: Any) -> int:
        if next(steps) == 4:  # step 4 was logged, the newest checkpoint is of step 3
            raise KeyboardInterrupt
        return real(signal, accelerator)

    arguments = tiny(run, "--run.tracker", "tensorboard", "--train.steps", "6", "--train.checkpoint_every", "3")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "agree_on_signal", killed)
        original = loop.Log.write
        patch.setattr(loop.Log, "advance", lambda self: None)
        patch.setattr(loop.Log, "write", original)
        assert run_command("train", *arguments).code == 130
    assert run_command("train", "--resume", run).code == 0
    assert [scalar.step for scalar in events(run).Scalars("cycle_a")] == [1, 2, 3, 4, 5, 6]


def test_tensorboard_shows_the_sample_grids_and_validations(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    validated = ("--validate.every", "3", "--validate.metric", "round_trip", "--validate.share", "0.5")
    assert run_command("train", *tiny(run, "--run.tracker", "tensorboard", *validated)).code == 0
    found = events(run)
    assert [image.step for image in found.Images("samples")] == [2, 3, 4]
    assert [scalar.step for scalar in found.Scalars("validation/round_trip")] == [0, 3, 4]


class FakeRun:
    """Stands in for a W&B run: it takes note of what it is given."""

    def __init__(self, **given: Any) -> None:
        self.given, self.logged, self.config = given, [], {}

    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        pass


def test_wandb_gets_project_name_config_and_pictures(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    from unit.training import distributed

    runs: list[FakeRun] = []
    fake = types.ModuleType("wandb")
    fake.init = lambda **given: runs.append(FakeRun(**given)) or runs[-1]  # type: ignore[attr-defined]
    fake.config = types.SimpleNamespace(update=lambda values, **more: runs[-1].config.update(values))  # type: ignore[attr-defined]
    fake.Image = lambda image: image.shape  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("accelerate.accelerator.filter_trackers", lambda *given: ["wandb"])
    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: fake)
    run = tmp_path / "a name"
    assert run_command("train", *tiny(run, "--run.tracker", "wandb", "--run.project", "mine")).code == 0
    (tracked,) = runs
    assert (tracked.given["project"], tracked.given["name"]) == ("mine", "a name")
    assert tracked.config["optim.lr"] == 1e-4 and tracked.config["data.size"] == 16
    pictures = {step: values["samples"] for step, values in tracked.logged if "samples" in values}
    assert pictures.keys() == {2, 4} and all(shape[2] == 3 for (shape,) in pictures.values())
