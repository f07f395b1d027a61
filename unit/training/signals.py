"""Being asked to stop: by SIGTERM or SIGINT, or by the launcher's end.

A handler sets a flag and nothing else, so that the step under way is taken whole; a second signal ends the process at
once. Below a launcher, what comes within a second of the first is its echo: where every process of a job is signalled,
`torchrun` hands on to its children what they have had already. `accelerate launch` with one process hands no signal on
to its child, which would train on as an orphan: a launched process whose parent is gone takes that for SIGTERM.
"""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

HANDLED = (signal.SIGTERM, signal.SIGINT)
LAUNCHED = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")
"""Environment variables that `accelerate launch` and `torchrun` set."""
ECHO = 1.0
"""Seconds in which a launched process counts signals as one."""


class StopFlag:
    """Within this context, `asked()` says whether the process is to stop after the current step."""

    def __init__(self) -> None:
        self.parent = os.getppid() if any(name in os.environ for name in LAUNCHED) else None
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
        elif self.parent is None or time.monotonic() > self.since + ECHO:
            os._exit(128 + number)

    def asked(self) -> int:
        """The signal's number, or 0."""
        if not self.number and self.parent is not None and os.getppid() != self.parent:
            self.number = signal.SIGTERM
        return int(self.number)


def ignore_signals(worker: int) -> None:
    """For a loader's process, which a signal to the whole group also reaches: its parent says when it ends."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
