"""How a run ends, and how the next process goes on: signals, orphans, the folder's lock, run.json, --resume auto."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Command, Tiny
from filelock import FileLock
from group import Group, Job, forked
from run_files import assert_same, newest, refused, saved_steps, status_of
from waiting import HANGS, wait_for

from unit import launcher, weights
from unit.config import ConfigError
from unit.training import run_folder, signals
from unit.training.run_folder import LOCK, RunLock
from unit.training.signals import ECHO, StopFlag

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_a_whole_step_with_a_checkpoint(
    number: signal.Signals, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    job = Job(tiny(run, "--train.steps", "100000", "--train.checkpoint_every", "100000"))
    with Group(1, [job], tmp_path / "group") as group:
        group.until(lambda: "step 2/" in group.said(0))
        group.signal(0, number)
        ended = group.ended()
    (step,) = saved_steps(run)
    assert ended.codes == [128 + number]
    assert ended.err == [f"error: stopped by {number.name} after step {step}; --resume {run} goes on from there\n"]
    status = status_of(run)
    assert (status["status"], status["step"], status["signal"]) == ("interrupted", step, number.name)
    # It goes on to the end that an unbroken run has.
    steps = ["--train.steps", str(step + 2)]
    assert run_command("train", "--resume", run, *steps).code == 0
    assert run_command("train", *tiny(tmp_path / "whole", *steps)).code == 0
    assert_same(newest(run), newest(tmp_path / "whole"))
    assert status_of(run)["status"] == "finished"


@pytest.mark.parametrize(
    ("launched", "later", "ended"), [(False, 0.0, True), (True, ECHO - 0.1, False), (True, ECHO + 0.1, True)]
)
def test_a_second_signal_ends_the_process_at_once(
    launched: bool, later: float, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what a launcher hands on is no second one. Real processes end so in test_process_ends.py."""
    clock, ends = [100.0], list[int]()
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(launcher, "PARENT", os.getppid() if launched else None)
    monkeypatch.setattr(os, "_exit", ends.append)
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked() == signal.SIGTERM and ends == []
        clock[0] += later
        os.kill(os.getpid(), signal.SIGINT)
        assert ends == ([128 + signal.SIGINT] if ended else [])


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag() as stop:
        assert signal.getsignal(signal.SIGTERM) == stop.note and not stop.asked()
    assert signal.getsignal(signal.SIGTERM) == before


LAUNCH = "import subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()"
"""What `accelerate launch` with one process does, once it has set its variables; importing Accelerate takes seconds."""
ACCELERATE = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no"]  # fmt: skip


@pytest.mark.parametrize(
    "launch", [["-c", LAUNCH], pytest.param(ACCELERATE, marks=pytest.mark.slow)], ids=["as", "by Accelerate"]
)
def test_a_launched_process_whose_parent_is_gone_stops(launch: list[str], tiny: Tiny, tmp_path: Path) -> None:
    """`accelerate launch` with one process hands no signal on to its child."""
    run = tmp_path / "run"
    options = tiny(run, "--train.steps", "100000", "--train.checkpoint_every", "100000")
    launching = subprocess.Popen(
        [sys.executable, *launch, "train.py", *map(str, options)],
        cwd=ROOT,
        env=os.environ | {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for((run / "metrics.jsonl").is_file, over=lambda: launching.poll() is not None)
    finally:
        launching.kill()
        launching.wait()
    child = status_of(run)["process"]
    wait_for(lambda: status_of(run)["status"] == "interrupted")
    status = status_of(run)
    assert status["process"] == child and status["signal"] == "SIGTERM"
    assert len(saved_steps(run)) == 1


def test_a_process_that_was_not_launched_outlives_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "PARENT", None)  # what it is without the launchers' variables
    stop = StopFlag()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not stop.asked()  # as with nohup


# One process at a time


def test_a_run_that_another_process_writes_is_refused(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run)).code == 0
    monkeypatch.setattr(run_folder, "PATIENCE", 0.2)
    with FileLock(run / LOCK):
        said = run_command("train", "--resume", run, "--train.steps", "6")
    refused(said, f"another process is training in {run}", str(os.getpid()))
    assert run_command("train", "--resume", run, "--train.steps", "6").code == 0


def hold(run: Path, seconds: float, said: Connection) -> None:
    """Keep the run's lock so long, and say so in a file just before the end."""
    lock = RunLock(run)
    lock.take()
    said.send("held")
    time.sleep(seconds)
    (run / "over").touch()


def hold_beside_a_worker(run: Path, said: Connection) -> None:
    lock = RunLock(run)
    lock.take()
    worker = os.fork()
    if worker:
        said.send(worker)
    time.sleep(2 * HANGS)
    os._exit(0)


def test_a_lock_waits_for_an_orphan_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "PATIENCE", HANGS)
    with forked(hold, tmp_path, 0.5) as (orphan, said):
        assert said == "held"
        lock = RunLock(tmp_path)
        lock.take()
        assert lock.lock is not None and lock.lock.is_locked and (tmp_path / "over").exists()
        lock.release()
        orphan.join(HANGS)
    assert orphan.exitcode == 0


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that it is on stays, and says nothing."""
    monkeypatch.setattr(run_folder, "PATIENCE", 0.2)
    lock = RunLock(tmp_path)
    with forked(hold, tmp_path, 2 * HANGS) as (other, said):
        assert said == "held"
        with pytest.raises(ConfigError, match="another process is training in"):
            lock.take()
        other.kill()
        other.join()
    lock.take()
    lock.take()  # once more changes nothing
    lock.release()
    assert lock.lock is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_worker_that_outlives_its_training_keeps_no_lock(tmp_path: Path) -> None:
    """Once it runs at all, for which the lock has patience."""
    with forked(hold_beside_a_worker, tmp_path) as (training, worker):
        training.kill()
        training.join()
        try:
            lock = RunLock(tmp_path)
            lock.take()
            lock.release()
            os.kill(worker, 0)  # it is still there
        finally:
            os.kill(worker, signal.SIGKILL)


def test_a_refused_training_locks_no_folder_into_being(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    refused(run_command("train", *tiny(tmp_path / "run", "--data.root", str(tmp_path / "none"))), "no folder")
    assert not (tmp_path / "run").exists()


# --resume auto


def test_auto_begins_goes_on_and_ends_as_an_unbroken_run(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    again = [*tiny(tmp_path / "run"), "--resume", "auto"]
    assert "from step" not in run_command("train", *again, "--train.steps", "2").out
    said = run_command("train", *again)
    assert said.code == 0 and "from step 2" in said.out.splitlines()[0]
    assert run_command("train", *tiny(tmp_path / "whole")).code == 0
    assert_same(newest(tmp_path / "run"), newest(tmp_path / "whole"))
    assert run_command("train", *again).code == 0  # a finished run is left as it is
    assert_same(newest(tmp_path / "run"), newest(tmp_path / "whole"))


def test_auto_begins_anew_where_no_checkpoint_was_reached(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    again = [*tiny(tmp_path / "run"), "--resume", "auto"]
    assert run_command("train", *again).code == 0
    whole = newest(tmp_path / "run")
    for saved in weights.list_checkpoints(tmp_path / "run"):
        shutil.rmtree(saved)
    said = run_command("train", *again)
    assert said.code == 0 and "from step" not in said.out
    assert_same(newest(tmp_path / "run"), whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_auto_does_not_write_into_a_folder_that_is_no_run(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    said = run_command("train", *tiny(tmp_path / "mine"), "--resume", "auto")
    assert said.code == 2 and "exists and is not empty" in said.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_auto_refuses_another_config(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "run")).code == 0
    said = run_command("train", *tiny(tmp_path / "run"), "--optim.lr", "0.5", "--resume", "auto")
    assert said.code == 2 and "optim.lr" in said.err
