"""Which signals stop a training, what a reader does with them, and what becomes of processes whose launcher is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import HANGS, wait_for

from unit import launcher
from unit.training.signals import HANDLED, StopFlag

ROOT = Path(__file__).resolve().parent.parent.parent
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


def run_python(code: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )


def test_a_reader_outlives_a_signal_to_the_group_and_then_ends_by_itself() -> None:
    code = (
        "import time; from unit.training import signals; signals.WORKER_GRACE = 1; signals.prepare_worker(0); "
        "print('ready', flush=True); [time.sleep(0.1) for _ in range(6000)]"
    )
    reader = run_python(code)
    assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    reader.send_signal(signal.SIGINT)
    begun = time.monotonic()
    reader.send_signal(signal.SIGTERM)
    assert reader.wait(HANGS) == 0 and time.monotonic() - begun > 0.9
    reader.stdout.close()


def test_a_process_that_waits_for_its_group_ends_with_its_launcher() -> None:
    """The launcher is killed before the group has formed: here, while the child waits for ever."""
    child = (
        "import os, time\\nfrom unit.training.signals import OrphanWatch\\n"
        "with OrphanWatch():\\n    print(os.getpid(), flush=True)\\n    time.sleep(600)"
    )
    parent = run_python(
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '''{child}''']).wait()",
        ACCELERATE_MIXED_PRECISION="no",
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_running(pid), said=lambda: "the orphan goes on")
    parent.stdout.close()


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
