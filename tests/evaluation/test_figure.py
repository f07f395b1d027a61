"""One figure out of a table, by name: which number it is, and which of two is better."""

import pytest

from unit.evaluation import METRICS
from unit.evaluation.figure import FIRST, SHORT, find_figure
from unit.evaluation.metric import Figures

MAPS = Figures(
    {
        "model": {"max": 0.5, "L2": 0.4, "balanced": 0.6},
        "constant color": {"max": 0.3, "L2": 0.3, "balanced": 0.2},
        "another map": {"max": 0.25, "L2": 0.2, "balanced": 0.21},
    }
)
TRIPS = Figures({"a2b2a": {"levels": 10.0}, "b2a2b": {"levels": 20.0}})
BOTH = Figures({"a2b": {"x": 1.0, "y": 5.0}, "b2a": {"x": 2.0, "y": 7.0}, "constant": {"x": 9.0, "y": 9.0}})


@pytest.mark.parametrize(
    ("name", "figures", "value"),
    [
        ("balanced", MAPS, 0.6),
        ("accuracy", MAPS, 0.5),
        ("maps", MAPS, 0.6),
        ("maps/L2", MAPS, 0.4),
        ("maps/constant color", MAPS, 0.3),
        ("maps/constant color/balanced", MAPS, 0.2),
        ("round_trip", TRIPS, 15.0),
        ("round_trip/b2a2b", TRIPS, 20.0),
        ("round_trip/levels", TRIPS, 15.0),
        ("round_trip", BOTH, 1.5),
        ("round_trip/y", BOTH, 6.0),
        ("round_trip/b2a/y", BOTH, 7.0),
    ],
)
def test_a_figure_by_hand(name: str, figures: Figures, value: float) -> None:
    assert find_figure(name).value(figures) == pytest.approx(value)


def test_a_place_that_is_not_there_is_refused_by_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"round_trip has no inches; expected one of .*a2b2a/levels, .*levels"):
        find_figure("round_trip/inches").value(TRIPS)


def test_names_that_mean_nothing_are_refused_by_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"expected balanced, accuracy or one of maps, .* got loveliness"):
        find_figure("loveliness")
    with pytest.raises(ValueError, match="neither more nor less of pairing is better"):
        find_figure("pairing")
    assert {name.partition("/")[0] for name in SHORT.values()} | FIRST.keys() <= METRICS.keys()


def test_more_or_less_is_better() -> None:
    assert find_figure("balanced").improves(0.5, 0.4) and not find_figure("balanced").improves(0.4, 0.4)
    assert find_figure("round_trip").improves(3, 4) and not find_figure("round_trip").improves(4, 4)
