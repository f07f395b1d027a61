"""A sweep's runs: trained once, resumed, evaluated once; a failed one is named and the others go on."""

import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from waiting import wait_for

from unit.cli.train import train
from unit.config import ConfigError
from unit.sweep import runner
from unit.sweep.plan import Result, Run, Sweep, plan
from unit.sweep.runner import Runner, finished, last_line, read_state
from unit.weights import list_checkpoints, sha256

Planner = Callable[..., Sweep]


@pytest.fixture
def tiny_sweep(toys: Path, tmp_path: Path) -> Planner:
    """`tiny_sweep(overrides, **more)`: a sweep of the smallest trainings, of 4 steps."""

    def planned(overrides: dict[str, Any], **more: Any) -> Sweep:
        common = {
            "data.root": str(toys), "data.size": 16, "model.width": 4, "model.blocks": 2, "discriminator.width": 4,
            "discriminator.layers": 2, "train.steps": 4, "train.batch_size": 2, "train.log_every": 1,
            "train.checkpoint_every": 2, "train.precision": "fp32", "run.tracker": "none",
            "optim.schedule": "constant",
        }  # fmt: skip
        figures = {"trip": "round_trip/a2b2a/levels", "accuracy": "maps/model/max"}
        given = {"configs": ["toymaps"], "overrides": overrides, "common": common, "seeds": [0], "figures": figures}
        return plan("tiny", given | {"output": str(tmp_path / "sweep")} | more, {})

    return planned


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Trainings run in this process; the runs that were trained, in order."""
    trained: list[Run] = []

    def supervise(self: Runner, run: Run, limit: float) -> tuple[int, bool]:
        trained.append(run)
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = train([*run.arguments, "--resume", "auto"])
        self.log_of(run).write_text(said.getvalue())
        return code, False

    monkeypatch.setattr(Runner, "supervise", supervise)
    return trained


def run_all(sweep: Sweep, *, jobs: int = 1) -> list[Result]:
    return Runner(sweep, jobs=jobs, done=lambda results, result: None).run()


def test_a_finished_run_is_neither_trained_nor_evaluated_again(
    tiny_sweep: Planner, in_process: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tiny_sweep({"one": {}, "other": {"loss.cycle": 0}})
    first = run_all(sweep)
    assert [result.failure for result in first] == ["", ""] and len(in_process) == 2
    assert first[0].end["step"] == 4 and 0 < first[0].end["figures"]["round_trip"]["a2b2a"]["levels"] < 255
    assert json.loads((sweep.runs[0].folder / "sweep.json").read_text()) == first[0].end
    monkeypatch.setattr(runner, "open_set", None)  # what would evaluate
    assert [result.end for result in run_all(sweep)] == [result.end for result in first] and len(in_process) == 2


def test_an_unfinished_run_is_resumed(tiny_sweep: Planner, in_process: list[Run], tmp_path: Path) -> None:
    whole = run_all(tiny_sweep({"one": {}}, output=str(tmp_path / "whole")))[0].run
    sweep = tiny_sweep({"one": {}})
    (run,) = sweep.runs
    with redirect_stdout(StringIO()):
        assert train([*run.arguments, "--train.steps", "2"]) == 0  # as far as it came
    assert run_all(sweep)[0].end["step"] == 4
    saved = [sha256(list_checkpoints(each.folder)[-1] / "model.safetensors") for each in (whole, run)]
    assert saved[0] == saved[1]
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(earlier["seconds"] <= later["seconds"] for earlier, later in itertools.pairwise(lines))


def test_a_failed_run_is_named_and_the_others_go_on(tiny_sweep: Planner, in_process: list[Run], tmp_path: Path) -> None:
    sweep = tiny_sweep({"broken": {"data.root": str(tmp_path / "nowhere")}, "whole": {}})
    broken, whole = run_all(sweep)
    assert "nowhere" in broken.failure and "\n" not in broken.failure and broken.end == {}
    assert whole.failure == "" and whole.end["step"] == 4


def test_a_metric_that_does_not_apply_leaves_a_gap_and_a_figure_that_is_none_fails(
    tiny_sweep: Planner, in_process: list[Run]
) -> None:
    (result,) = run_all(tiny_sweep({"one": {}}, figures={"trip": "round_trip/a2b2a/levels", "e": "error/error/share"}))
    assert result.failure == "" and result.end["absent"] == {"error": "a model unit trained so names no class"}
    (result,) = run_all(tiny_sweep({"one": {}}, figures={"trip": "round_trip/a2b/levels"}))
    assert result.failure.startswith("figures: trip: no round_trip/a2b/levels; there are round_trip/a2b2a/levels, ")
    assert len(in_process) == 1


def test_two_sweeps_do_not_write_to_one_folder(tiny_sweep: Planner, in_process: list[Run]) -> None:
    sweep = tiny_sweep({"one": {}})
    sweep.output.mkdir()
    with (
        FileLock(sweep.output / ".lock"),
        pytest.raises(ConfigError, match=r"output: another sweep is writing to .*sweep"),
    ):
        run_all(sweep)
    assert in_process == []


TRAINING = """
import json, os, pathlib, signal, sys, time

options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
run, steps = pathlib.Path(options["--run.output"]), int(options["--train.steps"])
asked = []
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
saved = sorted((run / "checkpoints").glob("step-*"))
step = int(saved[-1].name[5:]) if saved else 0
metrics = run / "metrics.jsonl"
before = json.loads(metrics.read_text().splitlines()[-1])["seconds"] if saved else 0
begun = time.monotonic()
run.mkdir(parents=True, exist_ok=True)
(run / "config.yaml").write_text("{}")


def say(status):
    (run / ".partial").write_text(json.dumps({"status": status, "step": step, "process": os.getpid()}))
    (run / ".partial").replace(run / "run.json")


say("running")
while step < steps:
    time.sleep(0 if saved else 0.01)
    step += 1
    if asked or step == steps:
        (run / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
        with metrics.open("a") as file:
            print(json.dumps({"step": step, "seconds": before + time.monotonic() - begun}), file=file)
    if asked:
        say("interrupted")
        sys.exit(128 + signal.SIGTERM)
(run / "model.safetensors").touch()
say("finished")
"""
"""A process that does as a training does, as far as a sweep can see, of 10 ms a step until it has been stopped."""


def test_what_a_run_had_at_equal_time_is_kept_and_it_goes_on(
    tiny_sweep: Planner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runner, "TRAIN", [sys.executable, "-c", TRAINING])
    monkeypatch.setattr(Runner, "figures", lambda self, folder, step: {"figures": {}} | last_line(folder))
    (result,) = run_all(tiny_sweep({"one": {"train.steps": 10_000}}, equal_time=0.01))
    assert result.failure == ""
    step, place = result.equal_time["step"], result.run.folder / "at-0.01-minutes"
    assert 0 < step < 10_000 and result.equal_time["seconds"] >= 0.6
    assert [folder.name for folder in list_checkpoints(place)] == [f"step-{step:08d}"]
    assert (result.end["step"], finished(result.run)) == (10_000, True)
    steps = [folder.name for folder in list_checkpoints(result.run.folder)]
    assert steps == [f"step-{step:08d}", "step-00010000"]  # begun once, stopped once


def test_a_run_may_end_at_equal_time(tiny_sweep: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TRAIN", [sys.executable, "-c", TRAINING])
    monkeypatch.setattr(Runner, "figures", lambda self, folder, step: {"figures": {}} | last_line(folder))
    sweep = tiny_sweep({"one": {"train.steps": 10_000}}, equal_time=0.01, to_the_end=False)
    (result,) = run_all(sweep)
    assert (result.failure, result.end) == ("", {}) and result.equal_time["seconds"] >= 0.6
    assert read_state(result.run.folder)["status"] == "interrupted"  # and was not begun again
    monkeypatch.setattr(Runner, "supervise", None)  # nor is it by the same command
    assert [again.equal_time for again in run_all(sweep)] == [result.equal_time]


def test_a_sweep_stopped_at_equal_time_does_not_train_on(
    tiny_sweep: Planner, in_process: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "clock", lambda self, folder: 61.0)
    monkeypatch.setattr(Runner, "figures", lambda self, folder, step: {"figures": {}, "step": step})
    sweep = tiny_sweep({"one": {}}, equal_time=1, to_the_end=False)
    folder = sweep.runs[0].folder
    (folder / "checkpoints" / "step-00000002").mkdir(parents=True)
    for name in ("config.yaml", "metrics.jsonl"):
        (folder / name).touch()
    (result,) = run_all(sweep)
    assert (result.failure, result.equal_time["step"], in_process) == ("", 2, [])
    later = tiny_sweep({"one": {}}, equal_time=0.5, to_the_end=False)
    assert "was trained for longer than equal_time" in run_all(later)[0].failure and in_process == []


def test_stopping_a_sweep_stops_its_training_after_its_step(
    tiny_sweep: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TRAIN", [sys.executable, "-c", TRAINING])
    sweep = tiny_sweep({"one": {"train.steps": 10_000}, "other": {"loss.cycle": 0}})
    alive = Runner.supervise

    def supervise(self: Runner, run: Run, limit: float) -> tuple[int, bool]:
        def when_it_runs() -> None:
            wait_for(lambda: read_state(run.folder).get("status") == "running")
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=when_it_runs).start()
        return alive(self, run, limit)

    monkeypatch.setattr(Runner, "supervise", supervise)
    asked = Runner(sweep, done=lambda results, result: None)
    assert [result.failure for result in asked.run()] == ["", ""] and asked.signal == signal.SIGTERM
    assert read_state(sweep.runs[0].folder)["status"] == "interrupted" and not sweep.runs[1].folder.exists()


@pytest.mark.slow
def test_the_same_with_a_real_training(tiny_sweep: Planner) -> None:
    steps = {"train.steps": 200, "train.log_every": 100, "train.checkpoint_every": 200, "train.sample_every": 200}
    (result,) = run_all(tiny_sweep({"one": steps}, equal_time=0.01, clock="cpu"))
    assert result.failure == ""
    place, known = result.run.folder / "at-0.01-cpu-minutes", result.equal_time
    assert 0 < known["step"] < 200 and known["cpu_seconds"] > 0.5
    assert list_checkpoints(place)[-1].name == f"step-{known['step']:08d}"
    assert result.end["step"] == 200 and result.end["cpu_seconds"] > known["cpu_seconds"]


def test_a_run_that_ended_before_the_equal_time_has_its_end_there(tiny_sweep: Planner, in_process: list[Run]) -> None:
    sweep = tiny_sweep({"one": {}}, equal_time=60)
    assert [result.equal_time == result.end != {} for result in run_all(sweep)] == [True]
    later = tiny_sweep({"one": {}}, equal_time=1e-5)  # it was trained for longer, and not stopped then
    assert [result.equal_time for result in run_all(later)] == [{}] and len(in_process) == 1


def test_what_a_kill_undid_is_not_on_the_clock(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step-00000002").mkdir(parents=True)
    lines = [{"step": step, "seconds": 10.0 * step} for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 4, "sec')
    assert last_line(tmp_path) == lines[1]
    assert last_line(tmp_path / "elsewhere") == {}
