"""Being asked to stop: by a signal, or by the launcher's end.

A handler sets a flag and nothing else, so that the step under way is taken whole; a second signal ends the process at
once. Below a launcher, what comes within a second of the first is its echo: where every process of a job is signaled,
`torchrun` hands on to its children what they have had already. `accelerate launch` with one process hands no signal on
to its child, which would train on as an orphan: a launched process whose parent is gone takes that for SIGTERM.
"""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from unit import launcher

HANDLED = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGXCPU")  # a closed terminal's, and schedulers' warnings
    if hasattr(signal, name)
)
ECHO = 1.0
"""Seconds in which a launched process counts signals as one."""
WORKER_GRACE = 3.0
"""Seconds in which a loader's process ends after SIGTERM."""


class StopFlag:
    """Within this context, `asked()` says whether the process is to stop after the current step."""

    def __init__(self) -> None:
        self.number = 0
        self.since = 0.0
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopFlag":
        in_main = threading.current_thread() is threading.main_thread()  # elsewhere Python allows no handlers
        for number in HANDLED if in_main else ():
            self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self.since = number, time.monotonic()
        elif launcher.PARENT is None or time.monotonic() > self.since + ECHO:
            os._exit(128 + number)

    def asked(self) -> int:
        """The signal's number, or 0."""
        if not self.number and launcher.is_orphan():
            self.number = signal.SIGTERM
        return int(self.number)


class OrphanWatch:
    """Within this context, which waits for the other processes, the process ends if its launcher does."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __enter__(self) -> "OrphanWatch":
        if launcher.PARENT is not None:
            threading.Thread(target=self.watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()

    def watch(self) -> None:
        while not self.over.wait(0.5):
            if launcher.is_orphan():
                os._exit(128 + signal.SIGTERM)


def prepare_worker(worker: int) -> None:
    """For a loader's process: a signal to the whole group reaches it too, and its parent, which ends its step first,
    says when it ends. After SIGTERM it ends by itself in a moment, in case the parent waits for it."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_soon)


def end_soon(number: int, frame: FrameType | None) -> None:
    timer = threading.Timer(WORKER_GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()
