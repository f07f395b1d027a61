"""What a metric is, and the table of figures that it gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unit.evaluation.sets import EvaluationSet


@dataclass(frozen=True)
class Figures:
    """A table: `rows[row][column]` are numbers; `notes` are lines beneath it. `decimals` are those on the screen."""

    rows: dict[str, dict[str, float]]
    title: str = ""
    notes: list[str] = field(default_factory=list)
    decimals: int = 3

    def __str__(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        head = max([len(name) for name in self.rows] + [len(self.title)])
        cells = {
            row: [f"{values[name]:.{self.decimals}f}" if name in values else "" for name in columns]
            for row, values in self.rows.items()
        }
        widths = [max(len(name), *(len(line[i]) for line in cells.values())) for i, name in enumerate(columns)]
        lines = [[self.title.ljust(head), *(name.rjust(w) for name, w in zip(columns, widths, strict=True))]]
        lines += [
            [row.ljust(head), *(c.rjust(w) for c, w in zip(line, widths, strict=True))] for row, line in cells.items()
        ]
        return "\n".join(["  ".join(line).rstrip() for line in lines] + self.notes)

    def as_json(self) -> dict[str, Any]:
        """The same for evaluation.json."""
        return {"figures": self.rows} | ({"notes": self.notes} if self.notes else {})


@dataclass(frozen=True)
class Metric:
    """`measure` gives the figures of a set; `applies` says why it has none of this set, or nothing."""

    measure: Callable[[Any], Figures]
    applies: "Callable[[EvaluationSet], str]"
