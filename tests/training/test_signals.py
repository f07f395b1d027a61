"""Which signals stop a training, what a reader does with them, and what becomes of processes whose launcher is gone."""

import importlib
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from group import forked
from waiting import HANGS, wait_for

from unit import launcher
from unit.training import signals
from unit.training.signals import HANDLED, StopFlag

NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU", "SIGINT")
SOFT = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


def test_the_soft_signals_of_terminals_and_schedulers_are_handled() -> None:
    assert set(HANDLED) == set(SOFT)


@pytest.mark.parametrize("number", SOFT)
def test_a_soft_signal_is_taken_note_of_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopFlag() as stop:
        assert stop.asked() == 0
        os.kill(os.getpid(), number)
        assert stop.asked() == number
    assert signal.getsignal(number) == before


def read(said: Connection) -> None:
    """As a loader's process, which stays for a second."""
    signals.WORKER_GRACE = 1
    signals.prepare_worker(0)
    said.send("ready")
    for _ in range(round(20 * HANGS)):
        time.sleep(0.1)


def test_a_reader_outlives_a_signal_to_the_group_and_then_ends_by_itself() -> None:
    with forked(read) as (reader, _):
        os.kill(reader.pid, signal.SIGINT)
        begun = time.monotonic()
        os.kill(reader.pid, signal.SIGTERM)
        reader.join(HANGS)
    assert reader.exitcode == 0 and time.monotonic() - begun > 0.9


def launch_and_wait(said: Connection) -> None:
    """Start a process that waits for ever, as for a group that has not formed yet."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    importlib.reload(launcher)
    with signals.OrphanWatch():
        said.send(os.getpid())
        time.sleep(2 * HANGS)


def test_a_process_that_waits_for_its_group_ends_with_its_launcher() -> None:
    """The launcher is killed before the group has formed."""
    with forked(launch_and_wait) as (parent, pid):
        assert is_running(pid)
        parent.kill()
        parent.join()
        wait_for(lambda: not is_running(pid), said=lambda: "the orphan goes on")


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_who_was_not_launched_has_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "PARENT", None)
    assert not launcher.is_orphan()
    monkeypatch.setattr(launcher, "PARENT", os.getppid())
    assert not launcher.is_orphan()
    monkeypatch.setattr(launcher, "PARENT", -1)
    assert launcher.is_orphan()
