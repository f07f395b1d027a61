"""What a metric is, and the table of figures that it gives."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unit.evaluation.sets import EvaluationSet


@dataclass(frozen=True)
class Figures:
    """A table: `rows[row][column]` are numbers, and `decimals` those of them that the screen shows.

    `counts[row]` is how many images a row is of, `intervals[row][column]` the 95 % interval of a number, `notes` lines
    beneath the table. `images[direction][name][column]` are the numbers of single images, where a metric has them; the
    name is that of the source image below its folder, as in `TranslationSet.names`.
    """

    rows: dict[str, dict[str, float]]
    title: str = ""
    notes: list[str] = field(default_factory=list)
    decimals: int = 3
    counts: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    images: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def __str__(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        table = [[self.title, *(["n"] if self.counts else []), *columns]]
        for row in self.rows:
            count = [str(self.counts.get(row, ""))] if self.counts else []
            table.append([row, *count, *(self._cell(row, column) for column in columns)])
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = []
        for name, *cells in table:
            right = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join([name.ljust(widths[0]), *right]).rstrip())
        return "\n".join(lines + self.notes)

    def _cell(self, row: str, column: str) -> str:
        """A number and its interval, such as 0.541 [0.52, 0.56]; nothing where the row has none."""
        if column not in self.rows[row]:
            return ""
        number = f"{self.rows[row][column]:.{self.decimals}f}"
        if column not in self.intervals.get(row, {}):
            return number
        low, high = (f"{end:.{max(self.decimals - 1, 0)}f}" for end in self.intervals[row][column])
        return f"{number} [{low}, {high}]"

    def as_json(self) -> dict[str, Any]:
        """The same for evaluation.json: `figures`, and what there is of the rest. An infinite number, such as the PSNR
        of two equal images, is null there."""
        rest = {"counts": self.counts, "intervals": self.intervals, "images": self.images, "notes": self.notes}
        return {"figures": _finite(self.rows)} | {name: _finite(value) for name, value in rest.items() if value}


def _finite(value: Any) -> Any:
    """The same with lists for tuples and None for numbers that JSON has not."""
    match value:
        case dict():
            return {name: _finite(inside) for name, inside in value.items()}
        case list() | tuple():
            return [_finite(inside) for inside in value]
        case float() if not math.isfinite(value):
            return None
    return value


@dataclass(frozen=True)
class Metric:
    """`measure` gives the figures of a set; `applies` says why it has none of this set, or nothing. `better` says
    which of two values is the better one, where that can be said of all its columns. One that is `by_name` is measured
    where it is asked for, and not among all that apply: it may fetch weights. `folders` says that it has figures of
    two folders without a model, too. `about` is its line in the list of metrics, where that is not the first of its
    file."""

    measure: Callable[[Any], Figures]
    applies: "Callable[[EvaluationSet], str]"
    better: Literal["higher", "lower"] | None = None
    by_name: bool = False
    folders: bool = False
    about: str = ""
