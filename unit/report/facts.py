"""What a run's folder says of the run, read without its model, while it trains or afterwards, whole or damaged."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from unit import weights
from unit.config.base import ConfigError
from unit.config.schema import flat, read_sections
from unit.text import one_line

Line = dict[str, Any]
MOST_SAMPLES = 60
"""Sample grids that are shown, evenly over the training."""
MOST_BYTES = 2**28


@dataclass(frozen=True)
class RunFacts:
    """A run.

    `state` is run.json, `config` its keys (`optim.lr`), `metrics` and `validation` the lines of those files, `samples`
    the grids by step, `starts` a line for each time that it was begun or gone on with. What is missing is empty;
    `notes` says what could not be read.
    """

    folder: Path
    state: Line
    config: dict[str, Any]
    metrics: list[Line]
    validation: list[Line]
    samples: dict[int, Path]
    starts: list[Line]
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's name."""
        return one_line(self.folder.resolve().name)

    @property
    def status(self) -> str:
        """finished, running, interrupted, failed, or killed; nothing for a folder that is no run's."""
        status = str(self.state.get("status", ""))
        return "killed" if status == "running" and has_ended(self.state) else status

    @property
    def step(self) -> int:
        """The last step that anything is known of."""
        known = [self.state.get("step", 0), *(line["step"] for line in self.metrics[-1:])]
        saved = [weights.step_of(folder) for folder in weights.list_checkpoints(self.folder)]
        return max([int(step) for step in known if isinstance(step, int)] + saved, default=0)

    @property
    def steps(self) -> int | None:
        """How many steps the training has in all."""
        steps = self.config.get("train.steps")
        return steps if isinstance(steps, int) else None

    @property
    def seconds(self) -> float:
        """How long it trained: the parts between its starts together."""
        total = before = 0.0
        for line in self.metrics:
            seconds = line.get("seconds", before)
            if seconds < before:
                total += before
            before = seconds
        return total + before


def read_run(folder: Path) -> RunFacts:
    """The facts of a folder; raises FileNotFoundError where it holds neither a run nor a model."""
    if not any((folder / name).is_file() for name in ("config.yaml", "config.json")):
        raise FileNotFoundError(f"no run and no model in {folder}: expected a folder with config.yaml or config.json")
    notes: list[str] = []
    state = read_object(folder / "run.json", notes)
    return RunFacts(
        folder=folder,
        state=state,
        config=read_config(folder / "config.yaml", notes),
        metrics=read_lines(folder / "metrics.jsonl", notes),
        validation=read_lines(folder / "validation.jsonl", notes),
        samples=find_samples(folder / "samples"),
        starts=read_lines(folder / "starts.jsonl", notes),
        notes=notes,
    )


def read_object(path: Path, notes: list[str]) -> dict[str, Any]:
    """A JSON file's object; an empty one where there is none, with a note where it can't be read."""
    if not path.exists():
        return {}
    try:
        content = weights.read_json(path)
    except (OSError, ValueError) as error:
        notes.append(one_line(f"{path.name} can't be read: {error}"))
        return {}
    return content if isinstance(content, dict) else {}


def read_config(path: Path, notes: list[str]) -> dict[str, Any]:
    """The config's keys, which are not checked: the method may be unknown here."""
    if not path.exists():
        return {}
    try:
        return flat(read_sections(path))
    except ConfigError as error:
        notes.append(str(error))
        return {}


def read_lines(path: Path, notes: list[str]) -> list[Line]:
    """The lines of a log that are objects with a step, in the order of the steps; the last may be cut short."""
    try:
        if not path.exists():
            return []
        with weights.regular(path).open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_BYTES)
    except OSError as error:
        notes.append(one_line(f"{path.name} can't be read: {error}"))
        return []
    lines = list(parsed(text.splitlines()))
    if len(lines) < len(text.splitlines()):
        notes.append(f"{path.name}: {len(text.splitlines()) - len(lines)} of its lines can't be read")
    return sorted(lines, key=lambda line: int(line["step"]))


def parsed(lines: list[str]) -> Iterator[Line]:
    for text in lines:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield line


def find_samples(folder: Path) -> dict[int, Path]:
    """The sample grids by step; of many, some evenly over them, the first and the last among them."""
    found: dict[int, Path] = {}
    for path in folder.glob("step-*.png"):
        number = path.stem.removeprefix("step-")
        if number.isdecimal() and path.is_file():
            found[int(number)] = path
    steps = sorted(found)
    return {steps[i]: found[steps[i]] for i in spread(len(steps), MOST_SAMPLES)}


def copy_samples(partial: Path, facts: RunFacts) -> list[tuple[int, str]]:
    """The sample grids in the report: (step, file)."""
    if facts.samples:
        (partial / "samples").mkdir()
    copied = []
    for step, path in facts.samples.items():
        try:
            content = weights.regular(path).read_bytes()
        except OSError:
            continue  # a training deletes nothing there, but people do
        (partial / "samples" / path.name).write_bytes(content)
        copied.append((step, f"samples/{path.name}"))
    return copied


def spread(total: int, count: int) -> list[int]:
    """`count` of the numbers below `total` (all, where there are fewer), evenly, the first and the last among them."""
    if total <= count:
        return list(range(total))
    return [round(i * (total - 1) / max(count - 1, 1)) for i in range(count)]


def has_ended(state: Line) -> bool:
    """Whether the process that run.json names is known to have ended: on this machine, and not there any more."""
    process = state.get("process")
    if state.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    return not psutil.pid_exists(process)


def when(stamp: object) -> str:
    """A moment as run.json has it, for people: 27 November 2026, 23:05 UTC."""
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return ""
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".rstrip()


def duration(seconds: float) -> str:
    """12 s, 9.3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
