"""Curves of a training: small charts, one for each loss term, with the two domains' lines in the same one.

A chart is all that a template needs to draw it as SVG: lines as points in a box of WIDTH × HEIGHT, and its axes' marks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 360.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 16.0, 10.0, 24.0
"""The margins around the box that lines are drawn in."""
MOST_POINTS = 400
"""Points of a line; of more lines of the log, means are drawn."""
LOG_ABOVE = 30.0
"""A chart whose largest value is more than this many times its smallest has a logarithmic axis."""
RATE = "learning rate"
NOT_TERMS = ("step", "lr", "images_per_second", "seconds")


@dataclass(frozen=True)
class Mark:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line: the values it goes through, and its points, `x,y x,y …`. A single value is a dot."""

    name: str
    steps: list[int]
    values: list[float]
    points: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Lines of one quantity over the steps."""

    title: str
    lines: list[Line]
    x_marks: list[Mark]
    y_marks: list[Mark]
    logarithmic: bool
    first: int
    last: int
    best: float | None = None
    """Where a mark for the best step stands."""

    @property
    def summary(self) -> str:
        """What the chart shows, for those who can't see it."""
        ends = (
            f"{line.name}: {number(line.values[0])} at step {line.steps[0]}, "
            f"{number(line.values[-1])} at step {line.steps[-1]}"
            for line in self.lines
        )
        return f"{self.title}. " + "; ".join(ends)


Points = list[tuple[int, float]]


def loss_charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """A chart for each term of metrics.jsonl, cycle_a and cycle_b in one; then the learning rate and the speed."""
    names = list(dict.fromkeys(name for line in metrics for name in line))
    groups: dict[str, dict[str, Points]] = {}
    for name in names:
        if name in NOT_TERMS:
            continue
        base, domain = (name[:-2], name[-1]) if name.endswith(("_a", "_b")) else (name, "")
        groups.setdefault(base, {})[domain or name.replace("_", " ")] = column(metrics, name)
    charts = [chart(base.replace("_", " "), lines) for base, lines in groups.items()]
    for name, title in (("lr", RATE), ("images_per_second", "images per second")):
        charts.append(chart(title, {title: column(metrics, name)}))
    return [one for one in charts if one is not None]


def validation_charts(validation: Sequence[dict[str, Any]]) -> list[Chart]:
    """The metric that validation watches, with its best step, and every figure of it, baselines in the same chart."""
    best = max((line["step"] for line in validation if line.get("best") is True), default=None)
    watched = next((str(line["metric"]) for line in validation if "metric" in line), "value")
    charts = [chart(f"validation: {watched}", {watched: column(validation, "value")}, best=best)]
    groups: dict[str, dict[str, Points]] = {}
    for line in validation:
        for metric, rows in items(line.get("figures")):
            for row, columns in items(rows):
                for name, value in items(columns):
                    if is_number(value):
                        lines = groups.setdefault(f"{metric}: {name}".replace("_", " "), {})
                        lines.setdefault(row, []).append((line["step"], float(value)))
    charts += [chart(title, lines, best=best) for title, lines in groups.items()]
    return [one for one in charts if one is not None]


def items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def column(lines: Sequence[dict[str, Any]], name: str) -> Points:
    return [(line["step"], float(line[name])) for line in lines if is_number(line.get(name))]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def chart(title: str, lines: dict[str, Points], *, best: int | None = None) -> Chart | None:
    """The chart of these lines, or None where there is no point in any."""
    drawn = {name: thinned(points) for name, points in lines.items() if points}
    if not drawn:
        return None
    values = [value for points in drawn.values() for _, value in points]
    steps = [step for points in drawn.values() for step, _ in points]
    first, last = min(steps), max(steps)
    logarithmic = title != RATE and min(values) > 0 and max(values) > LOG_ABOVE * min(values)
    marks = log_marks(min(values), max(values)) if logarithmic else nice_marks(min(values), max(values))
    scaled = math.log10 if logarithmic else float
    low = min(scaled(min(values)), scaled(marks[0]))
    high = max(scaled(max(values)), scaled(marks[-1]))

    def x(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        share = (scaled(value) - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    return Chart(
        title=title,
        lines=[
            Line(
                name,
                [step for step, _ in points],
                [value for _, value in points],
                " ".join(f"{x(step)},{y(value)}" for step, value in points),
                [(x(step), y(value)) for step, value in points] if len(points) < 2 else [],
            )
            for name, points in drawn.items()
        ],
        x_marks=[Mark(x(step), short(step)) for step in nice_marks(first, last) if first <= step <= last],
        y_marks=[Mark(y(value), number(value)) for value in marks],
        logarithmic=logarithmic,
        first=first,
        last=last,
        best=None if best is None or not first <= best <= last else x(best),
    )


def thinned(points: Points) -> Points:
    """At most MOST_POINTS points: each is the mean of as many that follow one another, at the step of their last."""
    size = math.ceil(len(points) / MOST_POINTS)
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [(part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts]


def nice_marks(low: float, high: float) -> list[float]:
    """About four round numbers from at most `low` to at least `high`."""
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step * 3 >= (high - low) * 0.999)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(start, end + 1)]


def log_marks(low: float, high: float) -> list[float]:
    """Powers of ten from at most `low` to at least `high`, at most five."""
    start, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = math.ceil((end - start) / 4)
    return [10.0**power for power in range(start, end + every, every)]


def short(step: float) -> str:
    """A step: 500, 20k, 1.5M."""
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if step >= size:
            return f"{step / (1000 if letter == 'k' else size):g}{letter}"
    return f"{step:g}"


def number(value: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"
