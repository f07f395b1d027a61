"""The runs of a sweep: each trained by a process of its own, and evaluated.

What is there is used: a finished run is not trained again, one that was broken off goes on from its newest checkpoint,
and figures are measured once. They lie in each run's `sweep.json`.

At equal time (the run's clock, `seconds` or `cpu_seconds` of metrics.jsonl) a run is asked to stop as by SIGTERM, its
checkpoint is copied to `at-3-minutes/` in its folder, and it goes on, to the same bits as without the stop, unless the
sweep ends there.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import torch
from filelock import FileLock, Timeout

from unit import weights
from unit.config.base import ConfigError
from unit.evaluation.evaluate import find_metric, measure_and_write, open_set
from unit.launcher import SWEEP
from unit.sweep.plan import CLOCKS, Result, Run, Sweep
from unit.text import one_line

TRAIN = [sys.executable, "-m", "unit.cli.train"]
POLL = 0.1
"""Seconds from one look at a training to the next."""
RECORD = "sweep.json"
SLACK = 1.05
"""A run that ended within this factor of the equal time has its end there."""


class RunFailed(Exception):  # noqa: N818
    """Why a run has no figures: one line."""


class Runner:
    """Trains and evaluates a sweep's runs, `jobs` at a time; `done` is called after each with all results so far."""

    def __init__(self, sweep: Sweep, *, jobs: int = 1, done: Callable[[list[Result], Result], None]) -> None:
        self.sweep, self.jobs, self.done = sweep, jobs, done
        self.results = [Result(run) for run in sweep.runs]
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.signal = 0
        self.one_at_a_time = threading.Lock()
        """evaluates, and reports"""

    def run(self) -> list[Result]:
        """All runs; raises ConfigError where another sweep writes here. `signal` says whether it was asked to stop."""
        self.sweep.output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.sweep.output / ".lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(f"output: another sweep is writing to {self.sweep.output}") from None
        handled = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.signal(number, self.stop) for number in handled}
        try:
            with ThreadPoolExecutor(self.jobs) as pool:
                list(pool.map(self.attempt, self.results))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            lock.release()
        return self.results

    def stop(self, number: int, frame: object = None) -> None:
        """Ask the trainings to stop after their step; a second time, to end at once."""
        self.signal = number
        for process in [*self.processes]:
            process.send_signal(signal.SIGTERM)

    def attempt(self, result: Result) -> None:
        """Train and evaluate one run; what goes wrong is noted."""
        if self.signal:
            return
        try:
            self.train(result.run)
            if not self.signal:
                with self.one_at_a_time:
                    self.evaluate(result)
        except (RunFailed, ValueError, OSError, RuntimeError, MemoryError) as error:
            result.failure = one_line(error)
        with self.one_at_a_time:
            self.done(self.results, result)

    # Training

    def train(self, run: Run) -> None:
        """Train a run as far as the sweep does, with a stop at equal time; raises RunFailed."""
        limit, stopped = self.limit, False
        while not self.trained(run) and not self.signal:
            if not self.sweep.to_the_end and (spent := self.clock(run.folder)) >= limit:
                if spent > SLACK * limit:
                    raise RunFailed(
                        f"{one_line(run.folder)} was trained for longer than equal_time; expected it deleted"
                    )
                keep(run.folder, self.place(run))  # the sweep was stopped just then
                return
            stops = not stopped and self.clock(run.folder) < limit and not self.place(run).exists()
            code, stopped = self.supervise(run, limit if stops else float("inf"))
            if finished(run) or self.signal:
                return
            if stopped and code == 128 + signal.SIGTERM:
                keep(run.folder, self.place(run))
            elif code or not stopped:
                raise RunFailed(why(self.log_of(run), code))

    def trained(self, run: Run) -> bool:
        """Whether the run is as far as the sweep trains it."""
        return finished(run) or (not self.sweep.to_the_end and self.place(run).exists())

    def supervise(self, run: Run, limit: float) -> tuple[int, bool]:
        """Train in a process of its own until it ends, or until its clock says `limit` seconds: its exit code, and
        whether it was stopped by that."""
        threads = {"OMP_NUM_THREADS": "1"} if self.on_one_thread else {}
        environment = threads | os.environ | {SWEEP: "1"}
        command = [*TRAIN, *run.arguments, "--resume", "auto"]
        with self.log_of(run).open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.processes.add(process)
        if self.signal:
            process.terminate()
        stopped, begun = False, None
        while process.poll() is None:
            time.sleep(POLL)
            if limit == float("inf") or stopped:
                continue
            if begun is None and is_running(run.folder, process.pid):
                begun = self.now(process.pid) - self.clock(run.folder)
            elif begun is not None and self.now(process.pid) - begun >= limit:
                process.terminate()
                stopped = True
        self.processes.discard(process)
        return process.returncode, stopped

    @property
    def on_one_thread(self) -> bool:
        """Whether each training and evaluation takes one thread, unless OMP_NUM_THREADS says how many."""
        return (self.jobs > 1 or self.sweep.clock == "cpu") and "OMP_NUM_THREADS" not in os.environ

    @property
    def limit(self) -> float:
        """The equal time in seconds; infinity where there is none."""
        return float("inf") if self.sweep.equal_time is None else 60 * self.sweep.equal_time

    def now(self, process: int) -> float:
        """The clock on the wall, or a process's."""
        if self.sweep.clock == "wall":
            return time.monotonic()
        try:
            spent = psutil.Process(process).cpu_times()
        except psutil.Error:  # it has just ended
            return 0.0
        return float(spent.user + spent.system)

    def clock(self, folder: Path) -> float:
        """The time that the run in a folder has been trained, up to its newest checkpoint: what came after it is undone
        when the run is resumed."""
        return float(last_line(folder).get(CLOCKS[self.sweep.clock], 0))

    def place(self, run: Run) -> Path:
        """Where what the run had at equal time is kept."""
        return run.folder / f"at-{self.limit / 60:g}-{'cpu-' * (self.sweep.clock == 'cpu')}minutes"

    def log_of(self, run: Run) -> Path:
        """What the run's training says."""
        return self.sweep.output / f"{run.folder.name}.log"

    # Evaluation

    def evaluate(self, result: Result) -> None:
        """Fill in the figures at the end and at equal time."""
        if self.on_one_thread:
            torch.set_num_threads(1)
        run, place = result.run, self.place(result.run)
        if self.sweep.to_the_end:
            result.end = self.figures(run.folder, run.config.train.steps)
        if place.exists():
            result.equal_time = self.figures(place, weights.step_of(weights.list_checkpoints(place)[-1]))
        elif self.sweep.equal_time is not None and self.clock(run.folder) <= SLACK * self.limit:
            result.equal_time = result.end or self.figures(run.folder, run.config.train.steps)
        for label, (metric, row, column) in self.sweep.figures.items():
            rows = result.known.get("figures", {}).get(metric)
            if rows is not None and column not in rows.get(row, {}):
                there = ", ".join(f"{metric}/{name}/{key}" for name, values in rows.items() for key in values)
                raise RunFailed(f"figures: {label}: no {metric}/{row}/{column}; there are {there}")

    def figures(self, folder: Path, step: int) -> dict[str, Any]:
        """What is known of the model in a folder, measured unless it was; `absent` are metrics that don't apply."""
        head = {"step": step, "metrics": self.sweep.metrics}
        path = folder / RECORD
        known = weights.read_json(path) if path.is_file() else {}
        if isinstance(known, dict) and head.items() <= known.items():
            return known
        images = open_set(folder)
        absent: dict[str, str] = {}
        for name in self.sweep.metrics or ():
            reason = find_metric(name).applies(images)
            if reason:
                absent[name] = reason
        chosen = None if self.sweep.metrics is None else [name for name in self.sweep.metrics if name not in absent]
        if chosen == []:
            raise RunFailed("; ".join(f"metric {name} has no figures here: {text}" for name, text in absent.items()))
        results = measure_and_write(folder, images, chosen)
        line = last_line(folder)  # a run of an earlier version has no processor time
        record = head | {
            **{name: line[name] for name in CLOCKS.values() if name in line},
            "parameters": sum(parameter.numel() for parameter in images.model.parameters()),
            "figures": {name: figures.as_json()["figures"] for name, figures in results.figures.items()},
            "last_iterate": {name: figures.as_json()["figures"] for name, figures in results.last_iterate.items()},
            "absent": absent,
        }
        partial = folder / f".{RECORD}.partial"
        partial.write_text(json.dumps(record, indent=1) + "\n")
        partial.replace(path)
        return record


def finished(run: Run) -> bool:
    """Whether the run has been trained to its end."""
    state = read_state(run.folder)
    done = state.get("status") == "finished" and state.get("step") == run.config.train.steps
    return done and (run.folder / "model.safetensors").is_file()


def is_running(folder: Path, process: int) -> bool:
    """Whether that process has begun to train there."""
    state = read_state(folder)
    return state.get("status") == "running" and state.get("process") == process


def read_state(folder: Path) -> dict[str, Any]:
    """A run's run.json; empty where there is none."""
    try:
        state = weights.read_json(folder / "run.json")
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def last_line(folder: Path) -> dict[str, Any]:
    """The last line of metrics.jsonl up to the newest checkpoint; empty where there is none."""
    path, saved = folder / "metrics.jsonl", weights.list_checkpoints(folder)
    newest = weights.step_of(saved[-1]) if saved else 0
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    for text in reversed(lines):
        try:
            line = json.loads(text)
        except ValueError:  # it is being written, or a kill cut it short
            continue
        if isinstance(line, dict) and line.get("step", 0) <= newest:
            return line
    return {}


def keep(folder: Path, place: Path) -> None:
    """Copy a run's newest checkpoint, config and clock to `place`, whole or not at all."""
    staging = place.with_name(f"{place.name}-unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    newest = weights.list_checkpoints(folder)[-1]
    shutil.copytree(newest, staging / "checkpoints" / newest.name)
    shutil.copy2(folder / "config.yaml", staging)
    shutil.copy2(folder / "metrics.jsonl", staging)
    staging.rename(place)


def why(log: Path, code: int) -> str:
    """Why a training ended with that exit code: its last line of an error, or where to look."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
    return f"{lines[-1].removeprefix('error: ')}" if lines else f"ended with {code}; see {one_line(log)}"
