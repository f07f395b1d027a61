"""What a sweep trains: a YAML file of configs × overrides × seeds, read and checked before anything is trained.

configs: [toymaps]                            # names or paths
overrides:                                    # by label; each config is trained with each (default: as it is)
  shared: {}
  nothing shared: {model.shared_blocks: 0}
common: {train.steps: 3000}                   # overrides of all runs
seeds: [0, 1, 2]
figures:                                      # columns of the table: metric/row/column of `unit evaluate`
  accuracy: maps/model/max                    # (default: all)
baselines: [constant color, another map]      # rows of the same metrics, shown below
equal_time: 3                                 # minutes; what each run had then is evaluated, too
to_the_end: false                             # end there (default: go on to train.steps)
clock: cpu                                    # of all times: wall (default), or cpu for processor time
output: runs/sweeps/mine                      # each run has a folder below
"""

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from unit.config.base import Config, ConfigError, above_0
from unit.config.files import CONFIGS, find, load
from unit.config.schema import flat, read_sections, schema
from unit.evaluation import METRICS
from unit.text import one_line

SWEEPS = CONFIGS / "sweeps"
"""The sweeps that come with unit."""
KEYS = (
    "configs", "overrides", "common", "seeds", "figures", "baselines", "equal_time", "to_the_end", "clock", "output"
)  # fmt: skip
CLOCKS = {"wall": "seconds", "cpu": "cpu_seconds"}
"""The clocks, and their keys in metrics.jsonl."""
FREE = {
    "run.output", "run.tracker", "run.project", "train.log_every", "train.sample_every", "train.checkpoint_every",
    "train.keep",
}  # fmt: skip
"""Keys that may differ between a sweep's file and a run of it that has begun."""

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A line of the table: a config with overrides, whose runs differ in their seeds alone."""

    label: str
    name: str
    """how its runs' folders begin"""
    config: str
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One training."""

    row: Row
    seed: int
    folder: Path
    config: Config

    def __str__(self) -> str:
        return f"{self.row.label}, seed {self.seed}"

    @property
    def arguments(self) -> list[str]:
        """The options of `unit train` that say all of it."""
        keys = {**self.row.overrides, "run.seed": self.seed, "run.output": str(self.folder)}
        return ["--config", self.row.config, *(part for key in keys for part in (f"--{key}", as_option(keys[key])))]


@dataclass
class Result:
    """What is known of a run: at the end and at equal time the step, clocks, parameters and figures; or why nothing."""

    run: Run
    failure: str = ""
    end: dict[str, Any] = field(default_factory=dict)
    equal_time: dict[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, Any]:
        """The later of the two."""
        return self.end or self.equal_time


@dataclass(frozen=True)
class Sweep:
    """A sweep; its runs stand in the order in which they are trained, all rows with one seed before the next seed."""

    name: str
    output: Path
    rows: list[Row]
    runs: list[Run]
    figures: Mapping[str, tuple[str, str, str]]
    """columns of the table: metric, row and column; none: all that there are"""
    baselines: list[str]
    equal_time: float | None
    """in minutes"""
    clock: str
    to_the_end: bool
    """whether runs go on after the equal time"""

    @property
    def metrics(self) -> list[str] | None:
        """Those that the figures need; None for all that apply."""
        return list(dict.fromkeys(metric for metric, _, _ in self.figures.values())) or None

    def evaluation(self, folder: Path) -> list[str]:
        """The options of `unit evaluate` for a run or what it had at equal time."""
        return ["--model", str(folder), *(["--metrics", ",".join(self.metrics)] if self.metrics else [])]

    def commands(self, run: Run) -> str:
        """The command line that trains and evaluates one run by itself."""
        train = ["unit", "train", *run.arguments]
        evaluate = ["unit", "evaluate", *self.evaluation(run.folder)]
        return f"{' '.join(map(quote, train))} && {' '.join(map(quote, evaluate))}"


def sweep_names() -> list[str]:
    """The names of the sweeps that come with unit, sorted."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def find_sweep(name: str) -> Path:
    """The file of that path or name; raises ConfigError with the names that there are."""
    for path in (Path(name), SWEEPS / name, SWEEPS / f"{name}.yaml"):
        if path.is_file():
            return path
    raise ConfigError(f"no sweep {name}; expected a file, or one that comes with unit: {', '.join(sweep_names())}")


def read_sweep(
    name: str, *, common: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None
) -> Sweep:
    """The sweep of a file; `common` are overrides of all runs beside the file's, `changes` replace other keys of it.

    Raises ConfigError, one line, for an unknown key or config, a value that is not allowed, a name that is there twice,
    no seeds, and a run's folder that holds another training.
    """
    path = find_sweep(name)
    given = {**read_sections(path), **(changes or {})}
    try:
        sweep = plan(path.stem, given, common or {})
        for run in sweep.runs:
            check_folder(run)
    except ConfigError as error:
        raise ConfigError(f"{one_line(path)}: {error}") from None
    return sweep


def plan(name: str, given: Mapping[str, Any], common: Mapping[str, Any]) -> Sweep:
    """The sweep that a file's content gives; raises ConfigError."""
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]}; expected {', '.join(KEYS)}")
    seeds, common = listed(given, "seeds", int), {**by_name(given, "common"), **common}
    output = Path(text_of(given, "output", f"runs/sweeps/{name}")).expanduser()
    rows = plan_rows(listed(given, "configs", str), by_name(given, "overrides"), common)
    runs = []
    for seed, row in itertools.product(seeds, rows):
        folder = output / f"{row.name}-seed{seed}"
        runs.append(Run(row, seed, folder, config_of(row, seed, folder)))
    check_distinct(runs[: len(rows)])
    minutes, clock = given.get("equal_time"), text_of(given, "clock", "wall")
    if minutes is not None:
        if isinstance(minutes, bool) or not isinstance(minutes, int | float):
            raise ConfigError(f"equal_time: expected a number of minutes, got {minutes!r}")
        above_0("equal_time", minutes)
    to_the_end = given.get("to_the_end", True)
    if not isinstance(to_the_end, bool):
        raise ConfigError(f"to_the_end: expected true or false, got {to_the_end!r}")
    if minutes is None and not to_the_end:
        raise ConfigError("to_the_end: expected equal_time beside false, at which the runs end")
    if clock not in CLOCKS:
        raise ConfigError(f"clock: expected {' or '.join(CLOCKS)}, got {clock}")
    figures = {label: address(label, text) for label, text in by_name(given, "figures").items()}
    baselines = listed(given, "baselines", str) if "baselines" in given else []
    return Sweep(name, output, rows, runs, figures, baselines, minutes, clock, to_the_end)


def plan_rows(configs: list[str], overrides: Mapping[str, Any], common: Mapping[str, Any]) -> list[Row]:
    """A row for each config with each of the labeled overrides; raises ConfigError where two have one name."""
    rows = []
    for config, (label, keys) in itertools.product(configs, (overrides or {"": {}}).items()):
        if not isinstance(keys, dict | None):
            raise ConfigError(f"overrides: {label}: expected keys such as optim.lr: 2e-4, got {keys!r}")
        stem = find(config).stem
        words = [stem] * (len(configs) > 1 or not label) + [label] * bool(label)
        name = "-".join([stem, *re.findall(r"[\w.]+", label.lower())])
        rows.append(Row(", ".join(words), name, config, {**common, **(keys or {})}))
    name, count = Counter(row.name for row in rows).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"configs and overrides: {count} of them have the name {name}; expected another for each")
    return rows


def config_of(row: Row, seed: int, folder: Path) -> Config:
    """The config of a run; raises ConfigError, which names the row."""
    for key in row.overrides:
        if key in ("run.seed", "run.output"):
            raise ConfigError(f"{row.label}: {key}: the sweep sets it; expected seeds or output in its place")
    try:
        return load(row.config, {**row.overrides, "run.seed": seed, "run.output": str(folder)})
    except ConfigError as error:
        raise ConfigError(f"{row.label}: {error}") from None


def check_distinct(runs: list[Run]) -> None:
    """Raise ConfigError where two rows are the same training."""
    seen: list[Run] = []
    for run in runs:
        for other in seen:
            if not changed_keys(other.config, run.config):
                raise ConfigError(f"{other.row.label} and {run.row.label} are the same training; expected one of them")
        seen.append(run)


def check_folder(run: Run) -> None:
    """Raise ConfigError where the run's folder holds something else than this training, begun or finished."""
    saved = run.folder / "config.yaml"
    if saved.is_file():
        changed = changed_keys(load(saved), run.config)
        if changed:
            what = ", ".join(f"{key} ({old} → {new})" for key, (old, new) in changed.items())
            raise ConfigError(
                f"{run}: {run.folder} was begun with another config: {what}; expected another output, or the folder "
                "deleted"
            )
    elif run.folder.exists() and (
        not run.folder.is_dir() or any(path.name != ".lock" for path in run.folder.iterdir())
    ):
        raise ConfigError(f"{run}: {run.folder} is no run; expected it empty or absent")


def changed_keys(saved: Config, given: Config) -> dict[str, tuple[Any, Any]]:
    """The keys in which two configs differ as trainings: {key: (saved, given)}."""
    if saved.method != given.method:
        return {"method": (saved.method, given.method)}
    old, new = (flat(asdict(schema(saved.method).with_paths(config, os.path.abspath))) for config in (saved, given))
    return {key: (old[key], new[key]) for key in old if key not in FREE and old[key] != new[key]}


def address(label: str, text: object) -> tuple[str, str, str]:
    """metric/row/column; raises ConfigError unless the metric is one."""
    parts = str(text).split("/")
    if len(parts) != 3 or parts[0] not in METRICS:
        raise ConfigError(
            f"figures: {label}: expected METRIC/ROW/COLUMN with a metric of {', '.join(METRICS)}, got {text}"
        )
    return parts[0], parts[1], parts[2]


def listed(given: Mapping[str, Any], key: str, kind: type[T]) -> list[T]:
    """A list of the file's; raises ConfigError where it is none, empty, or has one entry twice or of another type."""
    values = given.get(key)
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{key}: expected a list of at least one, got {values!r}")
    for value in values:
        if type(value) is not kind:
            raise ConfigError(f"{key}: expected {'numbers' if kind is int else 'names'}, got {value!r}")
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{key}: expected each once, got {value} {count} times")
    return values


def by_name(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What the file gives by name; raises ConfigError where it is something else."""
    values = given.get(key) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{key}: expected names and what they stand for, got {values!r}")
    return {str(name): value for name, value in values.items()}


def text_of(given: Mapping[str, Any], key: str, default: str) -> str:
    """A word of the file's; raises ConfigError where it is something else."""
    value = given.get(key, default)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key}: expected a word, got {value!r}")
    return value


def as_option(value: Any) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)
