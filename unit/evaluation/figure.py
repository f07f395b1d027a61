"""One figure out of a metric's table, by name: what says which of two models is the better one."""

from dataclasses import dataclass
from typing import Literal

from unit.evaluation import METRICS
from unit.evaluation.evaluate import find_metric
from unit.evaluation.metric import Figures
from unit.models.base import REVERSED

SHORT = {"balanced": "maps/model/balanced", "accuracy": "maps/model/max"}
"""Figures that have a name of their own."""
FIRST = {
    "maps": "model/balanced",
    "classifier": "translations",
    "bound": "-ELBO",
    "recognition": "reconstructions/recognized",
}
"""What stands for a metric whose first row or column does not."""
DIRECTIONS = {name for direction in REVERSED for name in (direction, f"{direction}2{direction[0]}")}
"""Rows of which the mean is taken: a2b, a2b2a and so on."""


@dataclass(frozen=True)
class Figure:
    """A figure: the name that it was asked for by, its metric, the row and column in its table (what is missing is
    found in the table), and which of two values is the better one."""

    name: str
    metric: str
    place: str
    better: Literal["higher", "lower"]

    def value(self, figures: Figures) -> float:
        """The number in a table of its metric.

        Where no row is named it is the mean over the directions, or of the first row where there are none; where no
        column is, of the first. Raises ValueError where the table has no such place.
        """
        rows = figures.rows
        directed = [row for row in rows if row in DIRECTIONS] or list(rows)[:1]
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        places = {f"{row}/{column}": [rows[row][column]] for row in rows for column in rows[row]}
        places |= {column: [rows[row][column] for row in directed if column in rows[row]] for column in columns}
        places |= {row: list(values.values())[:1] for row, values in rows.items()}
        found = places.get(self.place or columns[0], [])
        if not found:
            raise ValueError(f"{self.metric} has no {self.place}; expected one of {', '.join(places)}")
        return sum(found) / len(found)

    def improves(self, value: float, best: float) -> bool:
        """Whether a value is better than the best so far."""
        return value > best if self.better == "higher" else value < best


def find_figure(name: str) -> Figure:
    """The figure of that name: one of SHORT, or METRIC, METRIC/ROW, METRIC/COLUMN or METRIC/ROW/COLUMN.

    Raises ValueError for an unknown one, and for a metric of which neither more nor less is better.
    """
    metric, _, place = SHORT.get(name, name).partition("/")
    if metric not in METRICS:
        raise ValueError(f"expected {', '.join(SHORT)} or one of {', '.join(METRICS)}, got {name}")
    better = find_metric(metric).better
    if better is None:
        raise ValueError(f"neither more nor less of {metric} is better; expected another figure")
    return Figure(name, metric, place or FIRST.get(metric, ""), better)
