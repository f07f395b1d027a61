"""Charts by hand: where lines and marks stand, what is drawn of what; and tables of figures with their baselines."""

import math
from typing import Any

import pytest

from unit.report import curves
from unit.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, loss_charts, nice_marks, number
from unit.report.facts import spread
from unit.report.tables import better_of, image_figures, read_tables, tiles


def chart(points: list[tuple[int, float]], title: str = "loss") -> Chart:
    made = curves.chart(title, {"a": points})
    assert made is not None
    return made


def test_a_line_goes_from_corner_to_corner() -> None:
    made = chart([(0, 0.0), (50, 1.0), (100, 2.0)])
    middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP + (HEIGHT - TOP - BOTTOM) / 2)
    assert made.lines[0].points.split() == [
        f"{LEFT},{HEIGHT - BOTTOM}", f"{middle[0]},{middle[1]}", f"{WIDTH - RIGHT},{TOP}",
    ]  # fmt: skip
    assert [(mark.text, mark.at) for mark in made.y_marks][:: len(made.y_marks) - 1] == [
        ("0", HEIGHT - BOTTOM), ("2", TOP),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 3, [0, 1, 2, 3]), (0.2, 0.61, [0.2, 0.4, 0.6, 0.8]), (-1, 1, [-1, 0, 1]), (5, 5, [5]),
        (1000, 7020, [0, 2500, 5000, 7500]),
    ],
)  # fmt: skip
def test_marks_are_round_and_enclose_what_is_drawn(low: float, high: float, marks: list[float]) -> None:
    found = nice_marks(low, high)
    assert found == marks and found[0] <= low and found[-1] >= high


def test_a_chart_over_decades_is_logarithmic() -> None:
    made = chart([(1, 0.01), (2, 100.0)])
    assert made.logarithmic and [mark.text for mark in made.y_marks] == ["0.01", "0.1", "1", "10", "100"]
    assert not chart([(1, 0.0), (2, 100.0)]).logarithmic
    assert not chart([(1, 0.01), (2, 100.0)], "learning rate").logarithmic


def test_domains_share_a_chart_and_what_is_no_term_has_none() -> None:
    lines = [{"step": i, "cycle_a": 1.0, "cycle_b": 2.0, "kl": 3.0, "lr": 0.1, "seconds": 1.0} for i in (1, 2)]
    assert [(one.title, [line.name for line in one.lines]) for one in loss_charts(lines)] == [
        ("cycle", ["a", "b"]), ("kl", ["kl"]), ("learning rate", ["learning rate"]),
    ]  # fmt: skip


def test_one_point_is_a_dot_and_what_is_no_number_is_left_out() -> None:
    made = loss_charts([{"step": 3, "gan": 0.5}, {"step": 4, "gan": math.nan}, {"step": 5, "gan": "x"}])
    assert len(made) == 1 and made[0].lines[0].values == [0.5] and len(made[0].lines[0].dots) == 1
    assert loss_charts([]) == [] and loss_charts([{"step": 1, "gan": None}]) == []


def test_of_many_lines_means_are_drawn() -> None:
    made = chart([(step, float(step % 2)) for step in range(1, 1001)])
    (line,) = made.lines
    assert len(line.steps) == 334 and line.steps[0] == 3 and line.steps[-1] == 1000
    assert line.values[0] == pytest.approx(2 / 3) and line.values[1] == pytest.approx(1 / 3)


def test_validation_has_its_metric_with_the_best_step_and_baselines_beside_the_figures() -> None:
    figures = {"maps": {"model": {"balanced": 0.5}, "constant color": {"balanced": 0.2}}}
    made = curves.validation_charts(
        [
            {"step": 1, "metric": "balanced", "value": 0.5, "figures": figures, "best": True},
            {"step": 3, "metric": "balanced", "value": 0.4, "figures": figures, "best": False},
        ]
    )
    assert [one.title for one in made] == ["validation: balanced", "maps: balanced"]
    assert made[0].best == LEFT and [line.name for line in made[1].lines] == ["model", "constant color"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (123.456, "123.5"),
        (0.00012345, "0.0001234"),
        (2e-10, "2e-10"),
        (-3, "-3"),
        (5e7, "5e+07"),
    ],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("total", "count", "chosen"),
    [(3, 5, [0, 1, 2]), (10, 2, [0, 9]), (9, 3, [0, 4, 8]), (5, 1, [0]), (0, 4, [])],
)
def test_some_of_many_are_spread_evenly(total: int, count: int, chosen: list[int]) -> None:
    assert spread(total, count) == chosen


# Tables


def maps(**more: Any) -> dict[str, Any]:
    rows = {"model": {"max": 0.5408, "balanced": 0.55}, "constant color": {"max": 0.35, "balanced": 0.2}}
    return {"maps": {"figures": rows, "notes": ["a note"]} | more}


def test_a_table_has_the_model_beside_baselines() -> None:
    (table,) = read_tables(maps())
    assert table.columns == ["max", "balanced"] and table.notes == ["a note"] and table.about
    assert [(row.name, row.own, [cell.text for cell in row.cells]) for row in table.rows] == [
        ("model", True, ["0.541", "0.550"]), ("constant color", False, ["0.350", "0.200"]),
    ]  # fmt: skip
    tile = tiles([table])[0]
    assert (tile.figure, tile.cell.text, tile.place) == ("max", "0.541", 0.5408)
    assert [(name, cell.text) for name, cell in tile.baselines] == [("constant color", "0.350")]


def test_intervals_stand_beside_figures() -> None:
    (table,) = read_tables(maps(intervals={"model": {"max": [0.52, 0.5617], "balanced": "x"}}))
    assert [cell.interval for cell in table.rows[0].cells] == ["[0.52, 0.56]", ""]


def test_the_last_iterate_stands_beside_the_average_where_it_differs() -> None:
    rows = {"model": {"max": 0.5}, "constant color": {"max": 0.35, "balanced": 0.2}}
    last = {"maps": {"figures": rows, "intervals": {"model": {"max": [0.4, 0.6]}}}}
    (table,) = read_tables(maps() | {"last_iterate": last})
    assert [row.name for row in table.rows] == ["model", "constant color", "model, last iterate"]
    assert table.rows[2].own and [cell.text for cell in table.rows[2].cells] == ["0.500", ""]
    assert table.rows[2].cells[0].interval == "[0.40, 0.60]"


def test_figures_of_images_are_found_by_name() -> None:
    evaluation = {
        "round_trip": {"figures": {}, "images": {"a2b": {"x.png": {"levels": 3.0, "bad": None}}}},
        "mine": {"images": {"a2b": {"x.png": {"score": 1}, "y.png": {"score": 2}}}},
        "last_iterate": {"mine": {"images": {"a2b": {"z.png": {"score": 2}}}}},
    }
    assert image_figures(evaluation, "a2b") == {
        "x.png": {"round trip: levels": 3.0, "mine: score": 1.0}, "y.png": {"mine: score": 2.0},
    }  # fmt: skip
    assert image_figures(evaluation, "b2a") == {} and "mine: score" not in better_of(evaluation)
