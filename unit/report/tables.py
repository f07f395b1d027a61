"""Figures as tables: what evaluation.json holds, each figure beside its baselines, its interval and the last iterate's.

evaluation.json is an object by metric: {"figures": {row: {column: value}}, "counts": {row: n}, "intervals": {row:
{column: [low, high]}}, "images": {direction: {name: {figure: value}}}, "notes": [line, …], "of": which images, where
they are not the run's own}; below "last_iterate" are the same of the model without its moving average.
"""

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unit.evaluation import METRICS
from unit.evaluation.metric import Metric
from unit.registry import look_up
from unit.report.curves import is_number, items

LAST = "last_iterate"
OWN = ("model", "a2b", "b2a")
"""Rows that are the model's own where others are there to compare it with."""


@dataclass(frozen=True)
class Cell:
    """A figure as text, right for its column, and its 95 % interval."""

    value: float | None
    text: str = ""
    interval: str = ""
    best: bool = False
    """Whether it is the best of its row, in a comparison."""


@dataclass(frozen=True)
class Row:
    """A row of cells; `own` is the model's, in a table that has baselines, too."""

    name: str
    cells: list[Cell]
    own: bool
    count: str = ""
    """How many images it is of, where that is known."""


@dataclass(frozen=True)
class Table:
    """A metric's figures."""

    metric: str
    about: str
    columns: list[str]
    rows: list[Row]
    notes: list[str]

    @property
    def counted(self) -> bool:
        """Whether it is known how many images its rows are of."""
        return any(row.count for row in self.rows)


@dataclass(frozen=True)
class Tile:
    """One figure of the model's, large, with the baselines that it is to be seen beside; `places` are where they and it
    lie between 0 and 1, where all do."""

    metric: str
    figure: str
    cell: Cell
    baselines: list[tuple[str, Cell]]
    place: float | None


def read_tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """A table for each metric that has figures."""
    last = evaluation.get(LAST)
    tables = []
    for metric, content in evaluation.items():
        rows = figures_of(content)
        if metric == LAST or not rows:
            continue
        content_of_last = last.get(metric) if isinstance(last, dict) else None
        intervals = dict(items(content.get("intervals")))
        for name, values in figures_of(content_of_last).items():
            if values != rows.get(name):
                rows[f"{name}, last iterate"] = values
                intervals[f"{name}, last iterate"] = dict(items(dict(items(content_of_last)).get("intervals"))).get(
                    name
                )
        tables.append(table(metric, rows, content | {"intervals": intervals}))
    return tables


def images_of(content: Mapping[str, Any]) -> str:
    """Which images a metric's figures are of; nothing where they are the run's own."""
    return str(content.get("of", ""))


def notes_of(content: Mapping[str, Any]) -> list[str]:
    """The lines beneath a metric's figures."""
    notes = content.get("notes")
    of = [f"of {images_of(content)}"] if images_of(content) else []
    return (list(map(str, notes)) if isinstance(notes, list) else []) + of


def table(metric: str, rows: dict[str, dict[str, float]], content: Mapping[str, Any]) -> Table:
    """The table of some rows of figures; `content` has their intervals, counts and notes."""
    columns = list(dict.fromkeys(name for values in rows.values() for name in values))
    decimals = {name: decimals_for([values[name] for values in rows.values() if name in values]) for name in columns}
    known = {row: dict(items(values)) for row, values in items(content.get("intervals"))}
    counts = dict(items(content.get("counts")))

    def cell(row: str, name: str) -> Cell:
        if name not in rows[row]:
            return Cell(None)
        interval = known.get(row, {}).get(name)
        return Cell(rows[row][name], f"{rows[row][name]:.{decimals[name]}f}", span(interval, decimals[name]))

    owned = not all(name.removesuffix(", last iterate") in OWN for name in rows)
    return Table(
        metric=metric,
        about=about(metric),
        columns=columns,
        rows=[
            Row(
                row,
                [cell(row, name) for name in columns],
                owned and row.removesuffix(", last iterate") in OWN,
                str(counts.get(row.removesuffix(", last iterate"), "")),
            )
            for row in rows
        ],
        notes=notes_of(content),
    )


def tiles(tables: list[Table]) -> list[Tile]:
    """The model's figures that have baselines in the same column."""
    found = []
    for one in tables:
        own = next((row for row in one.rows if row.name == "model"), None)
        others = [row for row in one.rows if not row.own]
        if own is None or not others:
            continue
        for number, column in enumerate(one.columns):
            cell = own.cells[number]
            baselines = [(row.name, row.cells[number]) for row in others if row.cells[number].value is not None]
            if cell.value is not None and baselines:
                values = [cell.value, *(other.value or 0.0 for _, other in baselines)]
                place = cell.value if all(0 <= value <= 1 for value in values) else None
                found.append(Tile(one.metric, column, cell, baselines, place))
    return found


def figures_of(content: object) -> dict[str, dict[str, float]]:
    """The rows of a metric's figures that are numbers."""
    rows = dict(items(content)).get("figures")
    numbers = {row: {name: float(v) for name, v in items(values) if is_number(v)} for row, values in items(rows)}
    return {row: values for row, values in numbers.items() if values}


def span(interval: object, decimals: int) -> str:
    """[0.52, 0.56], or nothing where there is none; of a figure with three decimals or more one less."""
    if not isinstance(interval, list | tuple) or len(interval) != 2 or not all(map(is_number, interval)):
        return ""
    decimals -= decimals > 2
    return f"[{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]"


def decimals_for(values: list[float]) -> int:
    """Decimals that show the largest of a column's figures to three digits, and the smallest to two: 1 to 5; none where
    all are whole numbers, as counts are; 0 and 1 may be shares."""
    sizes = [abs(value) for value in values if value]
    if all(value == int(value) for value in values) and max(sizes, default=0.0) >= 2:
        return 0
    largest, smallest = max(sizes, default=1.0), min(sizes, default=1.0)
    return min(max(2 - math.floor(math.log10(largest)), 1 - math.floor(math.log10(smallest)), 1), 5)


def about(metric: str) -> str:
    """What a metric is: the first line of its file, which says so."""
    entry = METRICS.get(metric)
    if not isinstance(entry, str):
        return ""
    text = importlib.import_module(entry.partition(":")[0]).__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""


def all_image_figures(evaluations: Mapping[str, Mapping[str, Any]], direction: str) -> dict[str, dict[str, float]]:
    """The figures of each image of a direction by its name, of several runs under their labels."""
    found: dict[str, dict[str, float]] = {}
    for run, evaluation in evaluations.items():
        for name, figures in image_figures(evaluation, direction).items():
            found.setdefault(name, {}).update({of_run(run, figure): v for figure, v in figures.items()})
    return found


def all_better(evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Whether higher or lower is better, by the same labels."""
    return {
        of_run(run, figure): better
        for run, evaluation in evaluations.items()
        for figure, better in better_of(evaluation).items()
    }


def of_run(run: str, figure: str) -> str:
    """A figure's label among those of several runs; of a run without a label it is the figure's own."""
    return f"{run}, {figure}" if run else figure


def image_figures(evaluation: Mapping[str, Any], direction: str) -> dict[str, dict[str, float]]:
    """The figures of each image of a direction, by its name: {name: {figure: value}}."""
    found: dict[str, dict[str, float]] = {}
    for metric, content in evaluation.items():
        of_images = dict(items(dict(items(content)).get("images"))).get(direction) if metric != LAST else None
        for name, figures in items(of_images):
            found.setdefault(name, {}).update(
                {label(metric, figure): float(value) for figure, value in items(figures) if is_number(value)}
            )
    return found


def label(metric: str, figure: str) -> str:
    """A figure's name beside those of other metrics."""
    metric = metric.replace("_", " ")
    return figure if figure.startswith(metric) else f"{metric}: {figure}"


def better_of(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Whether higher or lower is better, by the label of each figure of an image, where the metric says so."""
    found: dict[str, str] = {}
    for metric, content in evaluation.items():
        better = better_of_metric(metric)
        for _, images in items(dict(items(content)).get("images")) if better else []:
            for _, figures in items(images):
                found |= {label(metric, figure): better for figure, _ in items(figures)}
    return found


def better_of_metric(metric: str) -> str:
    """higher or lower; nothing of a metric that says neither, or that is not known."""
    known: Metric | None = look_up(METRICS, metric, what="metric") if metric in METRICS else None
    return known.better or "" if known is not None else ""
