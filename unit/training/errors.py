"""How a training ends before its time."""

from pathlib import Path
from shlex import quote
from signal import Signals


class RunError(RuntimeError):
    """A training that failed: one line."""


class Interrupted(Exception):  # noqa: N818
    """The training was asked to stop, and stopped after a whole step with a checkpoint."""

    def __init__(self, run: Path, step: int, signal: int) -> None:
        super().__init__(
            f"stopped by {Signals(signal).name} after step {step}; --resume {quote(str(run))} goes on from there"
        )
        self.run, self.step, self.signal = run, step, signal
