"""A sweep's file: what it trains, the commands that its runs are, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Command

from unit.cli.arguments import parse_config
from unit.config import ConfigError, load, to_yaml
from unit.sweep.plan import Sweep, plan, read_sweep, sweep_names

TWO = {
    "configs": ["toymaps", "toymaps_cut"],
    "overrides": {"as it is": None, "Wide λ": {"model.width": 24, "optim.lr": 1e-5}},
    "common": {"train.steps": 20},
    "seeds": [0, 7],
}


def planned(**changes: Any) -> Sweep:
    return plan("mine", TWO | changes, {})


# What it trains


def test_each_config_is_trained_with_each_overrides_and_seed() -> None:
    sweep = planned()
    assert [row.label for row in sweep.rows] == [
        "toymaps, as it is", "toymaps, Wide λ", "toymaps_cut, as it is", "toymaps_cut, Wide λ",
    ]  # fmt: skip
    assert [run.seed for run in sweep.runs] == [0] * 4 + [7] * 4  # each row has one before one has two
    folders = [run.folder.as_posix() for run in sweep.runs]
    assert folders[1] == "runs/sweeps/mine/toymaps-wide-λ-seed0" and len(set(folders)) == 8
    config = sweep.runs[-1].config
    assert config == load(
        "toymaps_cut",
        {"model.width": 24, "optim.lr": 1e-5, "train.steps": 20, "run.seed": 7, "run.output": folders[-1]},
    )


def test_one_config_needs_no_name_in_the_table_and_one_row_no_overrides() -> None:
    assert [row.label for row in planned(configs=["toymaps"]).rows] == ["as it is", "Wide λ"]
    assert [row.label for row in planned(overrides={}).rows] == ["toymaps", "toymaps_cut"]


def test_an_override_of_a_row_beats_the_common_one() -> None:
    sweep = planned(configs=["toymaps"], overrides={"short": {"train.steps": 3}, "long": None})
    assert [run.config.train.steps for run in sweep.runs[:2]] == [3, 20]


def test_the_command_of_a_run_is_its_config() -> None:
    values = {
        "optim.lr": 1e-5, "data.flip": False, "discriminator.pool": None, "data.a": ["x y", "z"], "data.b": "it's",
        "loss.gan_kind": "hinge", "model.slope": 0,
    }  # fmt: skip
    run = planned(configs=["toymaps"], overrides={"odd": values}).runs[0]
    assert parse_config(run.arguments) == run.config
    assert "--data.b 'it'\"'\"'s'" in planned(configs=["toymaps"], overrides={"odd": values}).commands(run)


def test_the_figures_say_which_metrics_are_measured() -> None:
    sweep = planned(figures={"a": "maps/model/max", "b": "round_trip/a2b2a/levels", "c": "maps/model/balanced"})
    assert sweep.metrics == ["maps", "round_trip"] and planned().metrics is None
    assert sweep.commands(sweep.runs[0]).endswith("toymaps-as-it-is-seed0 --metrics maps,round_trip")


@pytest.mark.parametrize("name", sweep_names())
def test_the_sweeps_that_come_with_unit(name: str, tmp_path: Path) -> None:
    sweep = read_sweep(name, changes={"output": str(tmp_path)})
    assert len(sweep.runs) == len(sweep.rows) * len({run.seed for run in sweep.runs})
    assert sweep.figures and sweep.baselines


def test_the_papers_figure_2_and_the_methods_are_among_them() -> None:
    assert {"toymaps_figure2", "maps64_figure2", "toymaps_methods"} <= {*sweep_names()}


# What is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": [0]}, "unknown key seed; expected configs, overrides"),
        ({"seeds": []}, "seeds: expected a list of at least one, got []"),
        ({"seeds": 3}, "seeds: expected a list"),
        ({"seeds": [0, 0]}, "seeds: expected each once, got 0 2 times"),
        ({"seeds": [True]}, "seeds: expected numbers, got True"),
        ({"configs": None}, "configs: expected a list"),
        ({"configs": ["toymap"]}, "no file toymap"),
        ({"configs": ["toymaps", "toymaps"]}, "configs: expected each once, got toymaps 2 times"),
        ({"configs": ["toymaps", "toymaps.yaml"]}, "2 of them have the name toymaps"),
        ({"overrides": {"A b": None, "a-B": {"model.width": 8}}}, "2 of them have the name toymaps-a-b"),
        ({"overrides": {"x": 3}}, "overrides: x: expected keys such as optim.lr"),
        ({"overrides": ["x"]}, "overrides: expected names and what they stand for"),
        ({"overrides": {"x": {"optim.rate": 1}}}, "unknown key optim.rate; did you mean"),
        ({"overrides": {"x": {"optim.lr": -1}}}, "x: optim.lr: expected a number above 0, got -1"),
        ({"overrides": {"x": {"run.seed": 1}}}, "run.seed: the sweep sets it; expected seeds"),
        ({"common": {"run.output": "there"}}, "run.output: the sweep sets it"),
        ({"overrides": {"x": {}, "y": {"train.log_every": 7}}}, "x and toymaps, y are the same training"),
        ({"figures": {"a": "map/model/max"}}, "figures: a: expected METRIC/ROW/COLUMN with a metric of maps, "),
        ({"figures": {"a": "maps"}}, "figures: a: expected METRIC/ROW/COLUMN"),
        ({"equal_time": 0}, "equal_time: expected a number above 0, got 0"),
        ({"equal_time": "soon"}, "equal_time: expected a number of minutes, got 'soon'"),
        ({"equal_time": None, "to_the_end": False}, "to_the_end: expected equal_time beside false"),
        ({"equal_time": 3, "to_the_end": "no"}, "to_the_end: expected true or false, got 'no'"),
        ({"clock": "sun"}, "clock: expected wall or cpu, got sun"),
        ({"output": 3}, "output: expected a word, got 3"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    changes: dict[str, Any], said: str, run_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    output = {"output": str(tmp_path / "runs")}
    path.write_text(yaml.safe_dump(TWO | output | changes, allow_unicode=True, sort_keys=False), encoding="utf-8")
    answer = run_command("main", "sweep", path)
    assert answer.code == 2 and answer.err.startswith(f"error: {path}: ") and said in answer.err
    assert answer.err.count("\n") == 1 and answer.out == "" and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["toymaps_figure3"], "no sweep toymaps_figure3; expected a file, or one that comes with unit: maps64_figure2"),
        (["toymaps_methods", "--jobs", "0"], "--jobs: expected at least 1, got 0"),
        (["toymaps_methods", "--optim.lr"], "expected --KEY VALUE, got --optim.lr alone"),
        (["toymaps_methods", "--sedes", "3"], "unrecognized argument: --sedes"),
        (["toymaps_methods", "--optim.rate", "3"], "unknown key optim.rate"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(arguments: list[str], said: str, run_command: Command) -> None:
    answer = run_command("main", "sweep", *arguments)
    assert answer.code == 2 and said in answer.err and answer.err.count("\n") == 1 and answer.out == ""


def test_a_changed_file_does_not_mix_with_runs_that_have_begun(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    changes = {"output": str(tmp_path / "runs")}
    file.write_text(yaml.safe_dump(TWO, sort_keys=False), encoding="utf-8")
    run = read_sweep(str(file), changes=changes).runs[0]
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(to_yaml(run.config))
    assert read_sweep(str(file), changes=changes, common={"train.log_every": 3}).runs[0].folder == run.folder
    with pytest.raises(ConfigError, match=r"as it is, seed 0: .*with another config: train.steps \(20 → 30\)"):
        read_sweep(str(file), changes=changes, common={"train.steps": 30})
    with pytest.raises(ConfigError, match=r"data.root \(.*toymaps → .*elsewhere\)"):
        read_sweep(str(file), changes=changes, common={"data.root": "elsewhere"})
    (run.folder / "config.yaml").rename(run.folder / "notes.txt")
    with pytest.raises(ConfigError, match="is no run; expected it empty or absent"):
        read_sweep(str(file), changes=changes)


def test_sweep_list_and_commands(run_command: Command, tmp_path: Path) -> None:
    listed = run_command("main", "sweep", "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == sweep_names()
    said = run_command(
        "main",
        "sweep",
        "toymaps_methods",
        "--commands",
        "--output",
        tmp_path / "out",
        "--train.steps=5",
        "--data.flip",
        "no",
    )
    lines = said.out.splitlines()
    assert said.code == 0 and len(lines) == 18 and not (tmp_path / "out").exists()
    assert lines[0].startswith("unit train --config toymaps --train.steps 5 --data.flip false --run.seed 0 --run.out")
