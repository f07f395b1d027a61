"""Figures as a table and as JSON; a run is evaluated on its own data; evaluation.json keeps what others measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import options, write_mnist

import unit
from unit.evaluation import METRICS, parzen, round_trip
from unit.evaluation.evaluate import Results, find_metric, open_set, run_of, write
from unit.evaluation.metric import Figures
from unit.models.base import ImageTranslator
from unit.models.folder import load_last_iterate
from unit.weights import list_checkpoints


@pytest.fixture(scope="module")
def finished(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator's run of 2 steps with checkpoints at both."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    more = ["--train.steps", "2", "--train.checkpoint_every", "1", "--optim.ema", "0", "--optim.lr", "0.01"]
    assert run_command("train", *tiny(folder, *more)).code == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def digits(run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE's run on digits, of which 10 are held out."""
    folder = tmp_path_factory.mktemp("digits")
    root = write_mnist(folder / "mnist")
    said = run_command("train", *options("vae", "--run.output", folder / "run", data__root=root, data__held_out=10))
    assert said.code == 0, said.err
    return folder / "run"


def written(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return found


# Figures


def test_a_table_has_a_line_for_each_row_and_a_column_for_each_name() -> None:
    figures = Figures({"a": {"x": 1.0, "y": 20.0}, "longer": {"y": 3.25}}, title="of", notes=["mind this"], decimals=1)
    assert str(figures) == "of        x     y\na       1.0  20.0\nlonger        3.2\nmind this"
    assert str(Figures({"error": {"value": 0.0123456}}, decimals=4)) == "        value\nerror  0.0123"


def test_counts_and_intervals_stand_beside_the_numbers() -> None:
    figures = Figures(
        {"a": {"x": 0.5412}, "b": {"x": 12.0, "y": 1.0}}, counts={"a": 200}, intervals={"a": {"x": (0.5187, 0.5601)}}
    )
    assert str(figures).splitlines() == [
        "     n                   x      y",
        "a  200  0.541 [0.52, 0.56]",
        "b                   12.000  1.000",
    ]


def test_json_has_rows_and_what_there_is_beside_them() -> None:
    rows = {"a": {"x": 1.0}}
    assert Figures(rows).as_json() == {"figures": rows}
    full = Figures(
        {"a": {"x": float("inf")}},
        notes=["n"],
        counts={"a": 2},
        intervals={"a": {"x": (1.0, float("inf"))}},
        images={"a2b": {"1.png": {"x": 1.0}, "2.png": {"x": float("inf")}}},
    )
    assert full.as_json() == {
        "figures": {"a": {"x": None}},
        "counts": {"a": 2},
        "intervals": {"a": {"x": [1.0, None]}},
        "images": {"a2b": {"1.png": {"x": 1.0}, "2.png": {"x": None}}},
        "notes": ["n"],
    }


# What is measured


def test_a_run_is_evaluated_on_its_own_data(run: Path) -> None:
    found = unit.evaluate(run)
    assert found.keys() == {"maps", "psnr", "ssim", "classifier", "round_trip", "neighbors", "pairing"}
    assert written(run) == {name: figures.as_json() for name, figures in found.items()}


def test_metrics_are_those_asked_for_in_that_order(run: Path) -> None:
    assert list(unit.evaluate(run, metrics=["round_trip", "pairing"])) == ["round_trip", "pairing"]


def test_data_of_another_place_beats_the_runs(run: Path, toys: Path, tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        (tmp_path / "few" / folder).mkdir(parents=True)
        shutil.copy(toys / folder / "00001.png", tmp_path / "few" / folder)
    one = unit.evaluate(run, metrics=["round_trip"], root=tmp_path / "few")
    assert one != unit.evaluate(run, metrics=["round_trip"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        unit.evaluate(run, root=tmp_path / "nowhere")


def test_evaluation_json_says_which_other_images_figures_are_of(run: Path, toys: Path, tmp_path: Path) -> None:
    shutil.copytree(toys, tmp_path / "copy")
    for given, of in (
        ({"root": tmp_path / "copy"}, f"images in {(tmp_path / 'copy').resolve()}"),
        ({"resize": 16}, "images scaled to 16 pixels"),
        ({"root": toys}, None),
    ):
        unit.evaluate(run, metrics=["round_trip"], **given)
        assert written(run)["round_trip"].get("of") == of
    unit.evaluate(run, metrics=["pairing"], root=tmp_path / "copy")
    assert "of" in written(run)["pairing"] and "of" not in written(run)["round_trip"]


def test_figures_are_the_same_each_time_but_for_another_seed(run: Path) -> None:
    first, again, other = (unit.evaluate(run, metrics=["maps"], seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["maps"].rows["model"] == other["maps"].rows["model"]


def test_a_checkpoint_is_evaluated_into_its_runs_folder(run: Path) -> None:
    first, last = list_checkpoints(run)
    assert run_of(first) == run and run_of(run) == run
    early = unit.evaluate(first, metrics=["round_trip"])
    found = json.loads((run / f"evaluation-{first.name}.json").read_text())
    assert found == {"round_trip": early["round_trip"].as_json()}
    assert not (first / "evaluation.json").exists()
    assert early != unit.evaluate(last, metrics=["round_trip"]) == unit.evaluate(run, metrics=["round_trip"])


def test_a_model_without_its_run_needs_to_know_where_the_data_is(run: Path, toys: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(run / name, model)
    with pytest.raises(ValueError, match=r"--data\.root.*testA and testB"):
        unit.evaluate(model)
    assert unit.evaluate(model, root=toys).keys() == {"maps", "psnr", "ssim", "classifier", "round_trip", "neighbors"}
    assert (model / "evaluation.json").exists()


def test_an_autoencoder_is_evaluated_on_test_or_held_out_images(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parzen, "SAMPLES", 50)
    test, held_out = (unit.evaluate(digits, split=split) for split in ("test", "held_out"))
    assert (
        test.keys() == held_out.keys() == {"bound", "reconstruction", "codes", "recognition", "parzen"}
        and test != held_out
    )
    found = written(digits)
    assert found.pop("last_iterate").keys() == held_out.keys()
    of = {"of": "images of the split held_out"}
    assert found == {name: figures.as_json() | of for name, figures in held_out.items()}


@pytest.mark.parametrize("metrics", [["FID"], ["round_trip", "FID"]])
def test_an_unknown_metric_lists_those_there_are(run: Path, metrics: list[str]) -> None:
    with pytest.raises(ValueError, match=r"metric: expected one of maps, psnr, .*parzen, got FID$"):
        unit.evaluate(run, metrics=metrics)
    assert not (run / "evaluation.json").exists()


def test_a_metric_that_does_not_apply_is_refused_before_anything_is_written(run: Path) -> None:
    with pytest.raises(ValueError, match="metric bound has no figures here"):
        unit.evaluate(run, metrics=["round_trip", "bound"])
    assert not (run / "evaluation.json").exists()


def test_no_metrics_at_all_is_refused(run: Path) -> None:
    with pytest.raises(ValueError, match="no metric applies"):
        unit.evaluate(run, metrics=[])


@pytest.mark.parametrize("name", METRICS)
def test_every_line_of_the_table_names_a_metric(name: str) -> None:
    assert find_metric(name).measure and find_metric(name).applies


# evaluation.json


def test_evaluation_json_keeps_other_metrics_figures(run: Path) -> None:
    unit.evaluate(run, metrics=["round_trip"])
    before = written(run)
    unit.evaluate(run, metrics=["pairing"])
    assert written(run).keys() == {"round_trip", "pairing"} and written(run)["round_trip"] == before["round_trip"]


def test_figures_of_one_metric_replace_its_earlier_ones(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        write(tmp_path, Results({"x": Figures({"a": {"b": value}})}))
    assert written(tmp_path) == {"x": {"figures": {"a": {"b": 2.0}}}}
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\xff"])
def test_a_damaged_evaluation_json_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_bytes(text.encode("latin-1"))
    write(tmp_path, Results({"x": Figures({"a": {"b": 1.0}})}))
    assert written(tmp_path) == {"x": {"figures": {"a": {"b": 1.0}}}}


# The last iterate


@pytest.fixture(scope="module")
def averaged(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a moving average that is far behind its weights."""
    folder = tmp_path_factory.mktemp("runs") / "averaged"
    more = ["--train.steps", "2", "--train.checkpoint_every", "1", "--optim.ema", "0.9", "--optim.lr", "0.01"]
    assert run_command("train", *tiny(folder, *more)).code == 0
    return folder


def test_the_last_iterates_figures_stand_beside_the_averages(averaged: Path, run_command: Command) -> None:
    (averaged / "evaluation.json").unlink(missing_ok=True)
    average = unit.evaluate(averaged, metrics=["round_trip"])["round_trip"]
    model, step = load_last_iterate(averaged) or (None, 0)
    assert isinstance(model, ImageTranslator) and step == 2
    last = round_trip.METRIC.measure(open_set(averaged).with_model(model))
    assert last.rows != average.rows
    found = written(averaged)
    assert found == {"round_trip": average.as_json(), "last_iterate": {"round_trip": last.as_json()}}
    said = run_command("main", "evaluate", "--model", averaged, "--metrics", "pairing,round_trip")
    assert said.code == 0, said.err
    assert (
        said.out.index(str(average))
        < said.out.index("Without the moving average (step 2):")
        < said.out.index(str(last))
    )
    assert written(averaged)["last_iterate"].keys() == {"round_trip", "pairing"}


def test_a_last_iterate_whose_tables_read_the_same_takes_one_line() -> None:
    table, other = (Figures({"a2b": {"levels": value}}, title="round trip") for value in (0.25, 0.5))
    nearly = Figures({"a2b": {"levels": 0.2500001}}, title="round trip")
    assert (
        str(Results({"x": table}, {"x": nearly}, 7))
        == f"{table}\n\nWithout the moving average (step 7) they are the same."
    )
    assert str(Results({"x": table}, {"x": other}, 7)) == f"{table}\n\nWithout the moving average (step 7):\n\n{other}"
    assert str(Results({"x": table})) == str(table)


def test_a_checkpoint_has_a_last_iterate_of_its_own(averaged: Path) -> None:
    first, last = (load_last_iterate(path) for path in list_checkpoints(averaged))
    assert first is not None and last is not None and (first[1], last[1]) == (1, 2)
    pairs = zip(last[0].parameters(), load_last_iterate(averaged)[0].parameters(), strict=True)  # type: ignore[index]
    assert all(torch.equal(x, y) for x, y in pairs)


def test_without_a_moving_average_there_is_no_other(run: Path) -> None:
    unit.evaluate(run, metrics=["round_trip"])
    assert load_last_iterate(run) is None and written(run).keys() == {"round_trip"}


# A run that has not ended


def test_the_figures_of_a_run_that_has_not_ended_say_so(run: Path, run_command: Command) -> None:
    state = json.loads((run / "run.json").read_text())
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("steps: 2", "steps: 9"))
    for path in ("config.json", "model.safetensors"):
        (run / path).unlink()  # they come at the end
    (run / "run.json").write_text(json.dumps(state | {"status": "running", "step": 2}))
    said = run_command("main", "evaluate", "--model", run, "--metrics", "round_trip")
    assert said.code == 0, said.err
    line = f"{run} has not finished (running): these are the figures of step 2 of 9"
    assert said.out.splitlines()[-1] == line == written(run)["unfinished"]
    (run / "run.json").write_text(json.dumps(state))
    unit.evaluate(run, metrics=["pairing"])
    assert "unfinished" not in written(run)
    assert "unfinished" not in json.dumps(unit.evaluate(list_checkpoints(run)[0], metrics=["pairing"])["pairing"].notes)
