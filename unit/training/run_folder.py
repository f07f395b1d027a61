"""A run's folder: config.yaml, run.json, starts.jsonl, metrics.jsonl, samples/, checkpoints/; at the end the finished
model."""

import json
import math
import os
import socket
from datetime import datetime, timezone
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from filelock import FileLock, Timeout

from unit.config.base import Config, ConfigError
from unit.config.files import differences, load, to_yaml
from unit.config.schema import schema
from unit.text import one_line
from unit.training import checkpoint
from unit.training.errors import RunError
from unit.weights import VALIDATIONS, is_step_folder, list_checkpoints, regular, resolve

Status = Literal["running", "finished", "interrupted", "failed"]

PATIENCE = 20.0
"""Seconds to wait for another process that writes to the same run: an orphan ends after its step."""
LOCK = ".lock"


class RunLock:
    """The right to write to a run's folder, which one process at a time has.

    It is a lock on a file in the folder, which the system releases when the process ends, however it does.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.lock: FileLock | None = None
        self.identity: tuple[int, int] | None = None

    def take(self) -> None:
        """Take it; raises ConfigError where another process keeps it."""
        if self.lock is not None:
            return
        lock = FileLock(self.run / LOCK, thread_local=False)
        try:
            lock.acquire(timeout=PATIENCE, poll_interval=0.1)
        except Timeout:
            raise ConfigError(f"run.output: another process is training in {self.run}{holder(self.run)}") from None
        except NotImplementedError:
            print(f"{one_line(self.run)}: its file system has no locks; nothing keeps another training out", flush=True)
        self.lock, self.identity = lock, identify(self.run)

    def check(self) -> None:
        """Raise RunError where the folder is not the one that was locked: deleted, and maybe begun anew by another."""
        if self.identity is not None and identify(self.run) != self.identity:
            raise RunError(
                f"{self.run} is not the folder any more that this training began in; nothing more is written"
            )

    def release(self) -> None:
        """Let go of it."""
        if self.lock is not None:
            self.lock.release()
            self.lock = self.identity = None


def identify(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another of its name, or None where it is gone."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def holder(run: Path) -> str:
    """Which process run.json names."""
    try:
        state = json.loads((run / "run.json").read_text())
        return f" (process {state['process']} on {state['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write_status(run: Path, status: Status, *, step: int, **more: Any) -> None:
    """Say in run.json how the run is doing or how it ended; a killed run's stays as it was."""
    state = {
        "status": status,
        "step": step,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "process": os.getpid(),
        "host": socket.gethostname(),
    } | more
    partial = run / ".run.json.partial"
    partial.write_text(json.dumps(state, indent=1) + "\n")
    partial.replace(run / "run.json")


def check_run(run: Path, config: Config, resume: Path | None, *, auto: bool = False) -> Path | None:
    """The checkpoint to go on from, if any; raises ConfigError where that or the run's folder is not as it must be.

    `resume` is a run, of which the newest checkpoint is taken, or one checkpoint. With `auto`, a run that was broken
    off before its first checkpoint begins anew.
    """
    resume = None if resume is None else resolve(resume)
    source = None if resume is None else run_of(resume)
    if source is None or source != run:
        if run.exists() and (not run.is_dir() or any(path.name != LOCK for path in run.iterdir())):
            raise ConfigError(
                f"run.output: {run} exists and is not empty; --resume {quote(str(run))} goes on with the run in it, "
                "or give another --run.output"
            )
        parent = next(path for path in run.absolute().parents if path.exists())
        if not os.access(parent, os.W_OK) or not parent.is_dir():
            raise ConfigError(f"run.output: {run} can't be written, for {parent} is not a folder you may write in")
    try:
        str(run).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"run.output: expected a name in UTF-8, got {one_line(run)}") from None
    if resume is None or source is None:
        return None
    if not (source / "config.yaml").is_file():
        raise ConfigError(f"--resume: no run in {source}, which has no config.yaml")
    changed = differences(load(source / "config.yaml"), config)
    if changed:
        what = ", ".join(f"{key} ({old} → {new})" for key, (old, new) in changed.items())
        raise ConfigError(f"--resume: the config differs from that of {source}: {what}")
    saved = list_checkpoints(source)
    if not saved and auto:
        return None
    if not saved:
        raise ConfigError(f"--resume: {source} has no checkpoint yet; delete it and start anew")
    if source == run and not os.access(source, os.W_OK):
        raise ConfigError(f"--resume: {source} can't be written")
    if resume == source:
        return saved[-1]
    if resume not in saved:
        names = ", ".join(path.name for path in saved)
        raise ConfigError(f"--resume: {source} has no checkpoint {resume.name}; it has {names}")
    if source == run and resume != saved[-1]:
        raise ConfigError(
            f"--resume: {run} has a later checkpoint, {saved[-1].name}, which going on from {resume.name} would "
            "overwrite; give another --run.output"
        )
    return resume


def run_of(resume: Path) -> Path:
    """The run that `--resume` names, or whose checkpoint it names."""
    folder = resolve(resume)
    return folder.parent.parent if is_step_folder(folder) else folder


def claim(run: Path, config: Config, lock: RunLock, newest: Path | None, *, resume: Path | None, auto: bool) -> None:
    """Lock the folder, which another training may have begun, or finished, since `check_run` found it to be as it must:
    raises ConfigError then."""
    run.mkdir(parents=True, exist_ok=True)
    lock.take()
    if check_run(run, config, resume, auto=auto) != newest:
        raise ConfigError(f"run.output: another training wrote to {run} in the meantime; --resume {quote(str(run))}")


def begin(run: Path, config: Config, step: int) -> None:
    """Write the resolved config; of an earlier part of the run keep the logs up to `step`, and delete what a kill left
    half-written, and checkpoints that it left no time to delete."""
    for leftover in [*run.glob(".*.partial"), *(run / "samples").glob(".*.partial")]:
        leftover.unlink()
    partial = run / ".config.yaml.partial"
    absolute = schema(config.method).with_paths(config, os.path.abspath)  # a resume may stand in another folder
    partial.write_text(to_yaml(absolute))
    partial.replace(run / "config.yaml")
    for name in ("metrics.jsonl", VALIDATIONS):
        keep_lines(run / name, step)
    checkpoint.prune(run, config.train.keep)  # after the best one is known again


def keep_lines(path: Path, step: int) -> None:
    """Of a file with a line a step keep those up to `step`."""
    if path.exists():
        text = regular(path).read_text(errors="replace")
        lines = [line for line in text.splitlines() if step_of(line) <= step]
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text("".join(f"{line}\n" for line in lines))
        partial.replace(path)


def step_of(line: str) -> float:
    """The step of a line of such a file; infinity where a kill cut the line short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf
