"""Where a training is, moment by moment, as another process can see it even after the training was killed.

A profiler follows the calls of a few functions of the loop, which know nothing of it, and keeps in a small file in
shared memory the stage that the training is in and how many events (a stage begun or ended) it has had.
"""

import inspect
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import save_file

from unit import weights
from unit.models.folder import save_model
from unit.training import checkpoint
from unit.training.distributed import start_accelerator
from unit.training.log import Log
from unit.training.loop import write_samples
from unit.training.optim import MovingAverage
from unit.training.state import TrainingState
from unit.training.step import iterate_micro_batches, training_step

LAYOUT = struct.Struct("<qq32s")


class Progress(NamedTuple):
    """How many events there were so far, how many of them inside a save, and the stage."""

    number: int
    in_saves: int
    stage: str

    @property
    def in_save(self) -> bool:
        return self.stage.startswith(SAVING)


class SharedProgress:
    """A training's progress in a file that several processes map."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(LAYOUT.pack(0, 0, b"starting"))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), LAYOUT.size)

    def write(self, progress: Progress) -> None:
        LAYOUT.pack_into(self.memory, 0, progress.number, progress.in_saves, progress.stage.encode())

    def read(self) -> Progress:
        number, in_saves, stage = LAYOUT.unpack_from(self.memory)
        return Progress(number, in_saves, stage.rstrip(b"\0").decode())


SAVING = "save: "
Kind = Literal["event", "save"]


def find_code(function: Callable[..., Any]) -> CodeType:
    code: CodeType = inspect.unwrap(function).__code__
    return code


STAGES: dict[CodeType, str] = {
    find_code(start_accelerator): "starting",
    find_code(TrainingState.restore): "restoring",
    find_code(iterate_micro_batches): "batch",
    find_code(training_step): "forward",
    find_code(torch.Tensor.backward): "backward",
    find_code(torch.optim.Adam.step): "optimizer",
    find_code(MovingAverage.update_parameters): "average",
    find_code(Log.write): "log",
    find_code(write_samples): "samples",
    find_code(TrainingState.save): f"{SAVING}snapshot",
    find_code(save_model): f"{SAVING}finished model",
}
INSIDE_A_SAVE: dict[CodeType, str] = {
    find_code(checkpoint.save): f"{SAVING}staging",
    find_code(save_file): f"{SAVING}tensors",
    find_code(weights.sha256): f"{SAVING}checksums",
    find_code(weights.seal): f"{SAVING}manifest",
    find_code(weights.flush): f"{SAVING}fsync",
    find_code(Path.rename): f"{SAVING}rename",
    find_code(checkpoint.prune): f"{SAVING}prune",
}
NUMBERED = ("forward", "backward", "optimizer")
"""Stages of one optimizer step; a training step has one or several of these."""


class Watcher:
    """A profiler that keeps the progress; with `end` it kills its own process at that event inside a save."""

    def __init__(self, shared: SharedProgress, *, end: int | None = None) -> None:
        self.shared, self.end = shared, end
        self.progress = shared.read()
        self.stack: list[str] = []
        self.phase = 1

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            stage = STAGES.get(frame.f_code)
            if stage is None and self.progress.in_save:
                stage = INSIDE_A_SAVE.get(frame.f_code)
            if stage is not None:
                if stage == "batch":
                    self.phase = 1
                self.stack.append(stage)
                self.move()
        elif event == "return" and self.stack:
            stage = STAGES.get(frame.f_code) or INSIDE_A_SAVE.get(frame.f_code)
            if stage == self.stack[-1]:
                self.stack.pop()
                self.phase += stage == "optimizer"
                self.move()

    def move(self) -> None:
        stage = self.stack[-1] if self.stack else "loop"
        if stage in NUMBERED:
            stage = f"{stage} {self.phase}"
        number, in_saves, _ = self.progress
        self.progress = Progress(number + 1, in_saves + stage.startswith(SAVING), stage)
        self.shared.write(self.progress)
        if self.progress.in_save and self.progress.in_saves == self.end:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(path: Path, *, end: int | None = None) -> None:
    """From now on keep the progress of this process there."""
    sys.setprofile(Watcher(SharedProgress(path), end=end))
