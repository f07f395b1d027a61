"""Runs side by side: their figures in one table a metric, and what differs in their configs."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unit.report.captions import state_line
from unit.report.facts import RunFacts, duration
from unit.report.tables import (
    LAST,
    OWN,
    Cell,
    Row,
    Table,
    about,
    better_of_metric,
    decimals_for,
    figures_of,
    notes_of,
    span,
)
from unit.text import one_line

MISSING = "–"
UNTOLD = ("run.output", "run.project", "run.tracker")
"""Keys whose difference tells nothing of a training."""


def label_runs(folders: Sequence[Path]) -> list[str]:
    """A short name of each, unlike the others': the folder's, or as much of its path as it takes."""
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    for length in range(1, max(map(len, paths)) + 1):
        labels = [one_line("/".join(path[-length:])) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    raise ValueError("compare: a run is given twice; expected different runs")


def compare_figures(evaluations: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """A table for each metric that any run has figures of: a row a figure, a column a run. The best of a row is marked
    where the metric says which end is better and the runs differ."""
    metrics = dict.fromkeys(name for found in evaluations.values() for name in found if name != LAST)
    tables = []
    for metric in metrics:
        contents = {label: found.get(metric) for label, found in evaluations.items()}
        rows = {label: figures_of(content) for label, content in contents.items()}
        names = dict.fromkeys((row, name) for found in rows.values() for row, of in found.items() for name in of)
        if not names:
            continue
        columns = list(dict.fromkeys(name for _, name in names))
        names = dict.fromkeys(sorted(names, key=lambda pair: columns.index(pair[1])))  # a figure's baselines beneath it
        several = len(columns) > 1
        made = [
            compared_row(f"{name}, {row}" if several else row, metric, row, name, rows, contents) for row, name in names
        ]
        notes = dict.fromkeys(
            f"{label}: {note}"
            for label, content in contents.items()
            for note in (notes_of(content) if isinstance(content, dict) else [])
        )
        tables.append(Table(metric, about(metric), list(evaluations), made, list(notes)))
    return tables


def compared_row(
    title: str,
    metric: str,
    row: str,
    name: str,
    rows: Mapping[str, Mapping[str, Mapping[str, float]]],
    contents: Mapping[str, Any],
) -> Row:
    """One figure of all runs."""
    values = {label: found.get(row, {}).get(name) for label, found in rows.items()}
    known = [value for value in values.values() if value is not None]
    decimals = decimals_for(known)
    better = better_of_metric(metric)
    best = None if len(set(known)) < 2 or not better else max(known) if better == "higher" else min(known)

    def cell(label: str) -> Cell:
        value = values[label]
        if value is None:
            return Cell(None, MISSING)
        interval = ((contents[label].get("intervals") or {}).get(row) or {}).get(name)
        return Cell(value, f"{value:.{decimals}f}", span(interval, decimals), best=value == best)

    compared = any(other not in OWN for found in rows.values() for other in found)
    return Row(title, [cell(label) for label in values], own=compared and row in OWN)


def compare_configs(runs: Mapping[str, RunFacts]) -> list[tuple[str, list[str]]]:
    """The keys in which the runs' configs differ, and each run's value; last those that not all of the runs have."""
    keys = dict.fromkeys(key for facts in runs.values() for key in facts.config)
    found = []
    for key in keys:
        values = [facts.config.get(key, MISSING) for facts in runs.values()]
        if key not in UNTOLD and any(unlike(value, values[0]) for value in values):
            found.append((key, [as_text(value) for value in values]))
    return sorted(found, key=lambda pair: MISSING in pair[1])


def unlike(one: object, other: object) -> bool:
    """Whether two values differ; 1 and 1.0 do not, 1 and true do."""
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def as_text(value: object) -> str:
    """A value as YAML has it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return one_line(value)


def compare_facts(runs: Mapping[str, RunFacts]) -> list[tuple[str, list[str]]]:
    """How each run stands, and how long it took."""
    return [
        ("state", [state_line(facts) for facts in runs.values()]),
        ("training time", [duration(facts.seconds) if facts.seconds else MISSING for facts in runs.values()]),
    ]


def as_screen(
    labels: Sequence[str],
    tables: Sequence[Table],
    facts: Sequence[tuple[str, list[str]]],
    configs: Sequence[tuple[str, list[str]]],
) -> str:
    """The same as lines for a terminal; the best of a row has a star."""
    figures = [
        [f"{table.metric}: {row.name}", *(f"{cell.text}{'*' if cell.best else ' '}" for cell in row.cells)]
        for table in tables
        for row in table.rows
    ]
    parts = [aligned([["", *labels], *([name, *values] for name, values in facts), *figures], right=True)]
    if any(cell.best for table in tables for row in table.rows for cell in row.cells):
        parts.append("* the best of the row")
    shared = [[key, *values] for key, values in configs if MISSING not in values]
    if shared:
        parts += ["", aligned([["differing keys", *labels], *shared], right=False)]
    if len(shared) < len(configs):
        parts.append(f"and {len(configs) - len(shared)} keys that not all of these methods have, which the page lists")
    return "\n".join(parts)


def aligned(rows: Sequence[Sequence[str]], *, right: bool) -> str:
    """Rows of cells as columns; the first is aligned to the left."""
    widths = [max(map(len, column)) for column in itertools.zip_longest(*rows, fillvalue="")]
    lines = []
    for first, *others in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(others, widths[1:], strict=True)
        ]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
