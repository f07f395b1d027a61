"""A sweep's table: each row's mean over its seeds with its 95 % interval, times and parameters, and the baselines."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import unit
from unit.sweep.plan import CLOCKS, Result, Sweep

CONFIDENCE = 0.95


class Mean(NamedTuple):
    """A mean over seeds and its interval, which one seed alone does not have."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        text = digits(self.mean, self.mean)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{digits(self.low, self.mean)}, {digits(self.high, self.mean)}]"


def digits(value: float, like: float) -> str:
    """A number with as many decimals as one of that size has."""
    decimals = 3 if abs(like) < 10 else 2 if abs(like) < 100 else 1
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0, so that none is −0.000


def mean_of(values: Sequence[float]) -> Mean:
    """The mean and its interval under a normal distribution, mean ± t·s/√n, where t is Student's 0.975 quantile for
    n − 1 degrees of freedom and s the standard deviation (over n − 1)."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Mean(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * deviation / math.sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t for which P(|T| ≤ t) is the confidence, T being Student's with so many degrees of freedom, to 1e-12.

    The probability is a finite sum in θ = atan(t/√ν) (Abramowitz & Stegun 26.7.3 and 26.7.4), whose inverse is found by
    bisection.
    """
    low, high = 0.0, math.pi / 2
    while high - low > 1e-15:
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def t_probability(angle: float, freedom: int) -> float:
    """P(|T| ≤ √ν·tan θ)."""
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def summarize(sweep: Sweep, results: Sequence[Result]) -> dict[str, Any]:
    """All that is known of a sweep, as sweep.json has it."""
    columns = columns_of(sweep, results)
    rows = []
    for row in sweep.rows:
        own = [result for result in results if result.run.row is row]
        runs = [describe(sweep, result, columns) for result in own]
        means = {when: average([run[when] for run in runs if run[when]]) for when in ("end", "equal_time")}
        rows.append({"label": row.label, "config": row.config, "overrides": dict(row.overrides), **means, "runs": runs})
    return {
        "sweep": sweep.name,
        "unit": unit.__version__,
        "hardware": hardware(),
        "clock": sweep.clock,
        "equal_time": sweep.equal_time,
        "to_the_end": sweep.to_the_end,
        "columns": {label: "/".join(place) for label, place in columns.items()},
        "rows": rows,
        "baselines": baselines_of(sweep, results, columns),
    }


def columns_of(sweep: Sweep, results: Sequence[Result]) -> Mapping[str, tuple[str, str, str]]:
    """The table's figures by label: the sweep's, or all that any run has."""
    found = {
        f"{metric} {row} {column}": (metric, row, column)
        for result in results
        for metric, rows in result.known.get("figures", {}).items()
        for row, values in rows.items()
        for column in values
    }
    return sweep.figures or found


def describe(sweep: Sweep, result: Result, columns: Mapping[str, tuple[str, str, str]]) -> dict[str, Any]:
    """One run."""

    def at(known: Mapping[str, Any]) -> dict[str, float]:
        if not known:
            return {}
        values = {label: value_at(known["figures"], *place) for label, place in columns.items()}
        given = {label: value for label, value in values.items() if value is not None}
        seconds = known.get(CLOCKS[sweep.clock])
        times = {} if seconds is None else {"minutes": seconds / 60, "seconds a step": seconds / known["step"]}
        return given | times | {"steps": known["step"], "parameters": known["parameters"]}

    return {
        "seed": result.run.seed,
        "folder": str(result.run.folder),
        "command": sweep.commands(result.run),
        "failure": result.failure,
        "absent": result.known.get("absent", {}),
        "end": at(result.end),
        "equal_time": at(result.equal_time),
    }


def value_at(figures: Mapping[str, Any], metric: str, row: str, column: str) -> float | None:
    """A figure of an evaluation, or None."""
    value = figures.get(metric, {}).get(row, {}).get(column)
    return None if value is None else float(value)


def average(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Each figure's mean and interval over the runs that have it."""
    labels = list(dict.fromkeys(label for run in runs for label in run))
    return {label: mean_of([run[label] for run in runs if label in run])._asdict() for label in labels}


def baselines_of(
    sweep: Sweep, results: Sequence[Result], columns: Mapping[str, tuple[str, str, str]]
) -> dict[str, dict[str, float]]:
    """The baselines' figures in the columns that have them, averaged over the runs, whose test images are the same."""
    found: dict[str, dict[str, float]] = {}
    for name in sweep.baselines:
        for label, (metric, _, column) in columns.items():
            values = [value_at(result.known.get("figures", {}), metric, name, column) for result in results]
            given = [value for value in values if value is not None]
            if given:
                found.setdefault(name, {})[label] = math.fsum(given) / len(given)
    return found


def hardware() -> str:
    """What the sweep runs on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores"


def markdown(summary: Mapping[str, Any]) -> str:
    """The tables, at the end and at equal time, and the lines beneath them; columns are aligned, for the screen."""
    times = ["seconds a step", "minutes", "parameters"]
    minutes, clock = summary["equal_time"], " of processor time" * (summary["clock"] == "cpu")
    parts = []
    if summary["to_the_end"]:
        parts += [*table(summary, "end", [*summary["columns"], *times]), ""]
    if minutes is not None:
        parts += [f"After {minutes:g} minutes{clock}, or at the end where that came before:", ""]
        more = ["minutes"] if summary["to_the_end"] else times
        parts += [*table(summary, "equal_time", [*summary["columns"], "steps", *more]), ""]
    seeds = max(len(row["runs"]) for row in summary["rows"])
    what = "Mean and 95 % interval (Student's t)" if seeds > 1 else "One seed, so no intervals"
    parts += [f"{what}; seeds a row: {seeds}; minutes and seconds{clock}; {summary['hardware']}."]
    for row in summary["rows"]:
        for run in row["runs"]:
            if run["failure"]:
                parts.append(f"{row['label']}, seed {run['seed']}, has failed: {run['failure']}")
        reasons = {(metric, reason): None for run in row["runs"] for metric, reason in run["absent"].items()}
        parts += [f"{row['label']} has no {metric}: {reason}." for metric, reason in reasons]
    return "\n".join(parts)


def table(summary: Mapping[str, Any], when: str, columns: Sequence[str]) -> list[str]:
    """The lines of one table."""
    lines = [["", *columns]]
    for row in summary["rows"]:
        means = row[when]
        cells = [cell(name, Mean(**means[name])) if name in means else "–" for name in columns]
        ended = max((mean["seeds"] for mean in means.values()), default=0)
        count = len(row["runs"])
        lines.append([row["label"] + f" ({ended} of {count} seeds)" * (ended < count), *cells])
    for name, values in summary["baselines"].items():
        lines.append(
            [name, *(digits(values[column], values[column]) if column in values else "" for column in columns)]
        )
    lines = [[text.replace("|", "\\|") for text in line] for line in lines]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return [rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]


def cell(column: str, value: Mean) -> str:
    """A figure as it is shown; of times and counts the mean alone."""
    if column in ("parameters", "steps"):
        return f"{value.mean:,.0f}"
    if column in ("minutes", "seconds a step"):
        return f"{value.mean:.3g}"
    return str(value)


def write_tables(sweep: Sweep, results: Sequence[Result]) -> dict[str, Any]:
    """Write sweep.json and table.md, which has the commands, too; returns what is in the former."""
    summary = summarize(sweep, results)
    commands = "\n".join(run["command"] for row in summary["rows"] for run in row["runs"])
    text = f"{markdown(summary)}\n\nEach run by itself:\n\n```\n{commands}\n```\n"
    for name, content in (("sweep.json", json.dumps(summary, indent=1) + "\n"), ("table.md", text)):
        partial = sweep.output / f".{name}.partial"
        partial.write_text(content, encoding="utf-8")
        partial.replace(sweep.output / name)
    return summary
