"""Validation while training: it changes no weight, is made up for after a kill, and keeps the best checkpoint."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from domain_toys import blank
from group import Job, train_in_group
from run_files import Killed, assert_same, newest, refused, saved_steps, status_of
from safetensors.torch import load_file

import unit
from unit import weights
from unit.config import from_sections
from unit.data.batches import DataError
from unit.data.held_out import place
from unit.data.toymaps import write_toymaps
from unit.evaluation.judge import Judge
from unit.evaluation.metric import Figures
from unit.methods import find_method
from unit.training import checkpoint, loop, validation
from unit.training.validation import hold_out

Validated = Callable[..., list[str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs: 10 to train on, 3 to test on and 4 to validate on."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_toymaps(folder, size=24, train=10, test=3, val=4, paired=True)
    return folder


@pytest.fixture(scope="module")
def without_val(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without those to validate on."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    for name in ("trainA", "trainB", "testA", "testB"):
        shutil.copytree(root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def validated(tiny: Tiny, root: Path) -> Validated:
    """`validated(output, *more)`: a training of 6 steps that is validated after 2, 4 and 6, with a checkpoint after 3
    and 6. The model has no average, so that its figures change."""

    def arguments(output: Path, *more: str, every: int = 2, metric: str = "round_trip") -> list[str]:
        keys = {
            "data.root": root, "optim.ema": 0, "optim.lr": 3e-3, "train.steps": 6, "train.checkpoint_every": 3,
            "train.sample_every": 3, "validate.every": every, "validate.metric": metric,
        }  # fmt: skip
        return tiny(output, *(part for key, value in keys.items() for part in (f"--{key}", str(value))), *more)

    return arguments


@pytest.fixture(scope="module")
def whole(validated: Validated, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Such a run, which nothing broke off, and what it said."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    said = run_command("train", *validated(run))
    assert said.code == 0, said.err
    return run, said.out


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]


def planted(values: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the judge give these values, one after another, of which the first is of step 0."""
    following: Iterator[float] = iter(values)

    def judge(self: Judge, model: Any, device: torch.device) -> tuple[float, Figures]:
        value = next(following)
        return value, Figures({"a2b2a": {"levels": value}})

    monkeypatch.setattr(Judge, "__call__", judge)


# What it leaves, and what it does not change


def test_weights_are_the_same_bits_with_validation_and_without(
    validated: Validated, whole: tuple[Path, str], run_command: Command, tmp_path: Path
) -> None:
    """Adam's moments and the counters, too; the finished model byte for byte."""
    off = tmp_path / "off"
    assert run_command("train", *validated(off, every=0)).code == 0
    assert_same(newest(off), newest(whole[0]))
    assert (off / "model.safetensors").read_bytes() == (whole[0] / "model.safetensors").read_bytes()
    assert not (off / "validation.jsonl").exists() and "validation" not in status_of(off)


def test_each_validation_is_a_line_and_best_and_last_are_named(whole: tuple[Path, str]) -> None:
    run, said = whole
    lines = lines_of(run)
    assert [line["step"] for line in lines] == [0, 2, 4, 6]
    assert all(line.keys() == {"step", "metric", "value", "figures", "best"} for line in lines)
    for line in lines:
        trips = line["figures"]["round_trip"]
        assert line["value"] == pytest.approx((trips["a2b2a"]["levels"] + trips["b2a2b"]["levels"]) / 2)
    values = [line["value"] for line in lines[1:]]
    assert [line["best"] for line in lines] == [
        False,
        *(x < min(values[:n], default=999) for n, x in enumerate(values)),
    ]
    best = lines[1 + values.index(min(values))]
    found = {
        name: {key: line[key] for key in ("step", "value")} for name, line in (("best", best), ("last", lines[-1]))
    }
    about = {"metric": "round_trip", "better": "lower", "split": "val", "images": {"a": 4, "b": 4}}
    assert status_of(run)["validation"] == about | found
    out = said.splitlines()
    assert "validation every 2 steps: round_trip (lower is better) of 4 a, 4 b, held out for it" in out
    assert f"best: round_trip {best['value']:.4g} at step {best['step']}: {run}/best" in out
    assert f"last: round_trip {lines[-1]['value']:.4g} at step 6: {run}" in out
    assert [path.stem for path in sorted((run / "samples").iterdir())] == [f"step-{n:08d}" for n in (2, 3, 4, 6)]


def test_the_figure_is_that_of_the_saved_model_on_these_images(
    validated: Validated, root: Path, run_command: Command, tmp_path: Path
) -> None:
    """With a moving average, of it; a copy of the folders as testA and testB gives `evaluate` the same."""
    for split in "AB":
        shutil.copytree(root / f"val{split}", tmp_path / "data" / f"test{split}")
    run = tmp_path / "run"
    assert run_command("train", *validated(run, "--optim.ema", "0.5", metric="maps/L2")).code == 0
    figures = unit.evaluate(run, metrics=["maps"], root=tmp_path / "data")["maps"]
    assert lines_of(run)[-1]["figures"]["maps"] == figures.rows
    assert lines_of(run)[-1]["value"] == figures.rows["model"]["L2"]


# Which images


def test_without_others_a_part_of_the_training_images_is_set_aside_by_name(
    validated: Validated, without_val: Path, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    more = ("--data.root", str(without_val), "--validate.share", "0.3", "--validate.pairs", "names")
    said = run_command("train", *validated(run, *more, metric="balanced"))
    assert said.code == 0, said.err
    chosen = [f"{n:05d}.png" for n in range(10) if place(f"{n:05d}.png") < 0.3]
    record = json.loads((run / "validation.json").read_text())
    assert record == {"split": "train", "images": dict.fromkeys("ab", chosen), "set_aside": dict.fromkeys("ab", chosen)}
    left = 10 - len(chosen)
    assert f"{left} images in a, {left} in b" in said.out
    assert f"of {len(chosen)} a, {len(chosen)} b, set aside of the training images" in said.out
    pairs = unit.evaluate(run, metrics=["pairing"])["pairing"].rows["training"]
    assert pairs["drawn"] == 10 * left and pairs["by chance"] == pytest.approx(10)


def test_images_that_were_set_aside_stay_so_when_the_run_goes_on(
    validated: Validated, without_val: Path, run_command: Command, tmp_path: Path
) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    more = ("--data.root", str(without_val), "--validate.share", "0.3")
    assert run_command("train", *validated(run, *more)).code == 0
    assert run_command("train", *validated(plain, "--data.root", str(without_val), every=0)).code == 0
    off = run_command("train", "--resume", run, "--validate.every", "0", "--train.steps", "8")
    refused(off, "validate.every", "set images aside", "would train on them")
    on = ("--validate.every", "2", "--validate.metric", "round_trip", "--train.steps", "8")
    refused(
        run_command("train", "--resume", plain, *on), "validate.every", "was trained on all", "would set some aside"
    )
    assert run_command("train", "--resume", run, "--train.steps", "8", "--validate.every", "4").code == 0
    assert [line["step"] for line in lines_of(run)] == [0, 2, 4, 6, 8]


def test_whoever_validates_on_test_images_is_told_so_wherever_figures_are(
    validated: Validated, run_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    said = run_command("train", *validated(run, "--validate.split", "test"))
    assert said.code == 0 and "of 3 a, 3 b, TEST images" in said.out and "chosen on the test images" in said.out
    assert status_of(run)["validation"]["split"] == "test"
    told = run_command("evaluate", "--model", run, "--metrics", "round_trip")
    assert told.code == 0 and "validated on test images" in told.out
    assert "validated on test images" in json.loads((run / "evaluation.json").read_text())["chosen"]


@pytest.mark.parametrize(
    ("method", "name", "pairs", "paired"),
    [
        ("unit", "mine", "auto", False),
        ("unit", "mine", "names", True),
        ("unit", "maps", "auto", True),
        ("unit", "maps", "none", False),
        ("pix2pix", "mine", "auto", True),
    ],
)
def test_training_images_are_pairs_where_that_is_known(
    method: str, name: str, pairs: str, paired: bool, without_val: Path, tmp_path: Path
) -> None:
    """By the method, the data set's name, or the user's word: names alone are the same of unpaired images too."""
    (tmp_path / name).symlink_to(without_val, target_is_directory=True)
    settings = {"every": 1, "metric": "psnr", "share": 0.3, "pairs": pairs}
    data = {"root": str(tmp_path / name), "size": 16}
    sections: dict[str, Any] = {"method": method, "data": data, "validate": settings}
    sections |= {"model": {"downsamplings": 3, "dropped_layers": 1}} if method == "pix2pix" else {}
    held = hold_out(from_sections(sections, "here"), find_method(method), None)
    assert held is not None and held.source == "train" and (not held.unpaired) is paired


def test_of_images_that_are_given_a_part_is_set_aside(root: Path) -> None:
    """Those of data.root are another's."""
    given = {key: blank(40) for key in "ab"}
    data = {"root": str(root), "size": 16}
    sections: dict[str, Any] = {"data": data, "validate": {"every": 1, "metric": "round_trip"}}
    held = hold_out(from_sections(sections, "here"), find_method("unit"), given)
    assert held is not None and held.source == "train" and held.images["a"].names == held.images["b"].names
    assert set(held.set_aside["a"]) == set(given["a"].names) - set(held.training["a"].names)
    sections["validate"]["split"] = "val"
    with pytest.raises(DataError, match="no val images"):
        hold_out(from_sections(sections, "here"), find_method("unit"), given)


# Refused before the first step


@pytest.mark.parametrize(
    ("metric", "more", "words"),
    [
        ("loveliness", [], ["validate.metric", "balanced, accuracy", "got loveliness"]),
        ("round_trip/inches", [], ["round_trip has no inches", "a2b2a/levels"]),
        ("pairing", [], ["neither more nor less of pairing is better"]),
        ("error", [], ["metric error has no figures here"]),
        ("", [], ["validate.metric", "expected a figure such as balanced"]),
        ("balanced", ["--validate.split", "train", "--validate.share", "0.3"], ["validate.pairs", "valA and valB"]),
        ("balanced", ["--validate.pairs", "none"], ["validate.pairs is none"]),
        ("round_trip", ["--validate.split", "train", "--validate.share", "1e-6"], ["validate.share", "sets none"]),
    ],
)
def test_a_figure_that_cannot_be_had_is_refused_before_anything_is_written(
    metric: str, more: list[str], words: list[str], validated: Validated, run_command: Command, tmp_path: Path
) -> None:
    refused(run_command("train", *validated(tmp_path / "run", *more, metric=metric or "null")), *words)
    assert not (tmp_path / "run").exists()


def test_images_to_validate_on_that_are_not_there_are_refused(
    validated: Validated, without_val: Path, run_command: Command, tmp_path: Path
) -> None:
    more = ("--data.root", str(without_val), "--validate.split", "val")
    refused(run_command("train", *validated(tmp_path / "run", *more)), "validate.split", "no val images")


# The best


def test_the_best_checkpoint_survives_pruning_and_is_a_model(
    validated: Validated, root: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        planted([0.1, 5.0, 4.0, 6.0, 4.0, 7.0, 8.0], patch)  # 4.0 first at step 2
        assert run_command("train", *validated(run, "--train.checkpoint_every", "1", every=1)).code == 0
    assert saved_steps(run) == [2, 5, 6]
    assert status_of(run)["validation"]["best"] == {"step": 2, "value": 4.0}
    assert [line["best"] for line in lines_of(run)] == [False, True, True, False, False, False, False]
    theirs = load_file(run / "checkpoints" / "step-00000002" / "model.safetensors")
    model = unit.load(run / "best").model
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in weights.collect_tensors(model).items())
    translate = ("--input", root / "testA", "--output", tmp_path / "out")
    assert run_command("translate", "--model", run / "best", *translate).code == 0
    assert run_command("translate", "--model", run / "checkpoints" / "step-00000005", *translate).code == 0
    assert run_command("evaluate", "--model", run / "best", "--metrics", "round_trip").code == 0
    assert (run / "evaluation-step-00000002.json").is_file()
    again = run_command("train", *validated(tmp_path / "next", "--init", str(run / "best"), every=0))
    assert again.code == 0 and "begun anew" not in again.out
    on = run_command("train", "--resume", run / "best", "--run.output", tmp_path / "other", "--validate.every", "3")
    assert on.code == 0 and "from step 2" in on.out.splitlines()[1], on


def test_a_best_that_is_not_there_is_one_line(
    validated: Validated, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *validated(run, every=0)).code == 0
    with pytest.raises(FileNotFoundError, match=r"has no best: nothing was validated while it trained"):
        unit.load(run / "best")
    planted([1.0, float("nan"), float("nan"), float("nan")], monkeypatch)
    said = run_command("train", *validated(tmp_path / "nan"))
    assert said.code == 0 and "last: round_trip not a number at step 6" in said.out
    with pytest.raises(FileNotFoundError, match="has no best"):
        unit.load(tmp_path / "nan" / "best")
    odd = ['{"step": 4, "best": true}', "[" * 100_000, '{"step": Infinity, "best": true}', "7", '{"step": 5, "be']
    (run / "validation.jsonl").write_text("\n".join(odd))
    with pytest.raises(FileNotFoundError, match="its best checkpoint, step-00000004, is not there"):
        unit.load(run / "best")


# Killed, stopped, resumed

MOMENTS = {
    "before its line": (validation.Validation, "write", 3),
    "after its line, before its checkpoint": (checkpoint, "save", 1),
    "after its checkpoint, before pruning": (checkpoint, "prune", 2),
    "in the first validation": (Judge, "__call__", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_it_names_the_same_best_and_has_each_step_once(
    moment: str,
    validated: Validated,
    whole: tuple[Path, str],
    run_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    owner, name, calls = MOMENTS[moment]
    with monkeypatch.context() as patch:
        real, count = getattr(owner, name), [0]

        def die(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] == calls:
                raise Killed
            return real(*arguments, **named)

        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            run_command("train", *validated(run))
    assert run_command("train", *validated(run), "--resume", "auto").code == 0
    assert lines_of(run) == lines_of(whole[0])
    assert saved_steps(run) == saved_steps(whole[0])
    assert_same(newest(run), newest(whole[0]))


def test_a_validation_that_an_interruption_left_out_is_made_up_for(
    validated: Validated,
    whole: tuple[Path, str],
    run_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks a training to stop does not wait for a validation."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        asked = iter([0, 0, 0, 15])
        patch.setattr(loop, "agree_on_signal", lambda signal, accelerator: next(asked))
        assert run_command("train", *validated(run)).code == 143
    assert [line["step"] for line in lines_of(run)] == [0, 2] and saved_steps(run)[-1] == 4
    assert status_of(run)["validation"]["last"]["step"] == 2
    assert run_command("train", "--resume", run).code == 0
    assert lines_of(run) == lines_of(whole[0])


# Autoencoders, several processes


@pytest.mark.parametrize(
    ("method", "metric", "more", "line"),
    [
        ("vae", "bound", {"validate__share": 0.3}, "bound (lower is better) of"),
        ("m2", "error", {"data__held_out": 20}, "error (lower is better) of 20 images, held out for it"),
        ("vae", "reconstruction", {"validate__split": "test", "validate__images": 7}, "of 7 images, TEST images"),
    ],
)
def test_autoencoders_are_validated_by_figures_of_theirs(
    method: str, metric: str, more: dict[str, Any], line: str, run_command: Command, tmp_path: Path
) -> None:
    mnist = write_mnist(tmp_path / "mnist")
    keys = {
        "validate__every": 2,
        "validate__metric": metric,
        "data__root": mnist,
        "run__output": tmp_path / "run",
    } | more
    said = run_command("train", *options(method, **keys))
    assert said.code == 0, said.err
    assert line in said.out
    assert [entry["step"] for entry in lines_of(tmp_path / "run")] == [0, 2, 4]
    assert unit.evaluation.evaluate.load_model(tmp_path / "run" / "best")


def test_of_several_processes_the_main_one_validates_and_the_others_wait(validated: Validated, tmp_path: Path) -> None:
    jobs = [Job(validated(tmp_path / "off", every=0)), Job(validated(tmp_path / "on"))]
    train_in_group(2, jobs, tmp_path / "group")
    assert_same(newest(tmp_path / "off"), newest(tmp_path / "on"))
    assert [line["step"] for line in lines_of(tmp_path / "on")] == [0, 2, 4, 6]
