"""A sweep's table: intervals computed by hand, and what it shows of runs that were made up."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unit.sweep.plan import Result, Sweep, plan
from unit.sweep.table import Mean, markdown, mean_of, summarize, t_quantile, write_tables

QUANTILES = {1: 12.706204736, 2: 4.302652730, 3: 3.182446305, 4: 2.776445105, 9: 2.262157163, 10: 2.228138852}
"""Student's 0.975 quantiles, from printed tables."""


@pytest.mark.parametrize(("freedom", "t"), QUANTILES.items())
def test_the_quantiles_are_the_printed_ones(freedom: int, t: float) -> None:
    assert t_quantile(freedom) == pytest.approx(t, abs=1e-8)


def test_many_degrees_of_freedom_come_to_the_normal_distribution() -> None:
    assert t_quantile(100_000) == pytest.approx(1.959964, abs=1e-4)


def test_the_interval_by_hand() -> None:
    half = QUANTILES[2] * 1.0 / math.sqrt(3)  # s² = ((−1)² + 0 + 1²) / 2
    assert mean_of([1.0, 2.0, 3.0]) == pytest.approx(Mean(2.0, 2.0 - half, 2.0 + half, 3))
    assert mean_of([0.5]) == Mean(0.5, None, None, 1)
    assert str(mean_of([0.5, 0.5])) == "0.500 [0.500, 0.500]" and str(mean_of([31.26])) == "31.26"


def sweep_of(output: Path, **more: Any) -> Sweep:
    given = {
        "configs": ["toymaps"], "overrides": {"full": None, "a|b": {"loss.cycle": 0}}, "seeds": [0, 1],
        "figures": {"accuracy": "maps/model/max", "trip": "round_trip/a2b2a/levels"}, "baselines": ["constant color"],
        "output": str(output),
    }  # fmt: skip
    return plan("made_up", given | more, {})


def known(accuracy: float, trip: float | None, *, step: int = 100) -> dict[str, Any]:
    maps = {"model": {"max": accuracy, "L2": 0.1}, "constant color": {"max": 0.25, "L2": 0.2}}
    figures: dict[str, Any] = {"maps": maps} | ({} if trip is None else {"round_trip": {"a2b2a": {"levels": trip}}})
    return {
        "step": step, "seconds": 50.0, "cpu_seconds": 25.0, "parameters": 12345, "figures": figures,
        "absent": {} if trip is not None else {"round_trip": "the model has one direction"},
    }  # fmt: skip


def results_of(sweep: Sweep) -> list[Result]:
    full_0, other_0, full_1, other_1 = sweep.runs
    return [
        Result(full_0, end=known(0.5, 20.0), equal_time=known(0.3, 30.0, step=40)),
        Result(other_0, end=known(0.4, None)),
        Result(full_1, end=known(0.7, 22.0), equal_time=known(0.3, 30.0, step=60)),
        Result(other_1, failure="loss.gan_a is NaN at step 7"),
    ]


def test_the_table_by_hand(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, equal_time=2)
    text = markdown(summarize(sweep, results_of(sweep)))
    half = QUANTILES[1] * 0.1  # s/√n of 0.5 and 0.7
    end, equal = text.split("After 2 minutes, or at the end where that came before:")
    rows = [[cell.strip() for cell in line.replace("\\|", "/").split("|")[1:-1]] for line in end.splitlines()[:5]]
    assert rows[0] == ["", "accuracy", "trip", "seconds a step", "minutes", "parameters"]
    assert rows[2][1] == f"0.600 [{0.6 - half:.3f}, {0.6 + half:.3f}]" and rows[2][3:] == ["0.5", "0.833", "12,345"]
    assert rows[3] == ["a/b (1 of 2 seeds)", "0.400", "–", "0.5", "0.833", "12,345"]
    assert rows[4] == ["constant color", "0.250", "", "", "", ""]
    assert "| 0.300 [0.300, 0.300] " in equal and "| 50 " in equal and "a\\|b (0 of 2 seeds)" in equal
    assert "a|b, seed 1, has failed: loss.gan_a is NaN at step 7" in text
    assert "a|b has no round_trip: the model has one direction." in text
    assert len({len(line) for line in end.splitlines()[:5]}) == 1  # columns are aligned


def test_runs_that_end_at_equal_time_have_one_table(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, equal_time=2, to_the_end=False)
    results = [Result(run, equal_time=known(0.3, 30.0, step=40)) for run in sweep.runs]
    summary = summarize(sweep, results)
    lines = markdown(summary).splitlines()
    assert lines[0] == "After 2 minutes, or at the end where that came before:" and len(lines) == 9
    cells = [cell.strip() for cell in lines[4].split("|")[1:-1]]
    assert cells[1:] == ["0.300 [0.300, 0.300]", "30.00 [30.00, 30.00]", "40", "1.25", "0.833", "12,345"]
    assert summary["baselines"] == {"constant color": {"accuracy": 0.25}}


def test_the_processor_s_clock(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, clock="cpu")
    summary = summarize(sweep, results_of(sweep))
    assert summary["rows"][0]["end"]["minutes"]["mean"] == pytest.approx(25 / 60)
    assert "of processor time" in markdown(summary) and "After" not in markdown(summary)


def test_without_figures_all_are_shown(tmp_path: Path) -> None:
    sweep = replace(sweep_of(tmp_path), figures={})
    assert list(summarize(sweep, results_of(sweep))["columns"]) == [
        "maps model max", "maps model L2", "maps constant color max", "maps constant color L2",
        "round_trip a2b2a levels",
    ]  # fmt: skip


def test_the_files_have_table_and_commands(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    write_tables(sweep, results_of(sweep))
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(sweep.commands(run) in text for run in sweep.runs)
    summary = json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))
    failures = [run["failure"] for row in summary["rows"] for run in row["runs"]]
    assert failures == ["", "", "", "loss.gan_a is NaN at step 7"]
    assert summary["baselines"] == {"constant color": {"accuracy": 0.25}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.json", "table.md"]
