"""A metric of one's own: one file outside the package, and one line that registers it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny

import unit
import unit.evaluation
from unit.data.decoding import read_image

FILE = '''
"""Brightness: how bright images of testA are, and what the model makes of them."""

from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator


def measure(images: TranslationSet) -> Figures:
    rows = {"images": images.source("a2b"), "translations": images.translated("a2b")}
    return Figures(
        {name: {"level": sum(float(x.double().mean()) for x in row) / len(row)} for name, row in rows.items()},
        title="brightness",
        notes=[f"of {len(images.test_a)} images"],
        decimals=1,
    )


def applies(images: EvaluationSet) -> str:
    return needs_translator(images)


METRIC = Metric(measure, applies)
'''


@pytest.fixture(scope="module")
def run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run_command("train", *tiny(folder, "--train.steps", "1", "--optim.ema", "0")).code == 0
    return folder


@pytest.fixture(params=["object", "name"])
def mine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The metric `mine`, registered as what it is or by where it is to be found."""
    package = Path(unit.__file__).parent
    before = {path: path.read_bytes() for path in package.rglob("*.py")}
    (tmp_path / "brightness.py").write_text(FILE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    if request.param == "object":
        unit.evaluation.METRICS["mine"] = importlib.import_module("brightness").METRIC
    else:
        unit.evaluation.METRICS["mine"] = "brightness:METRIC"
    yield
    del unit.evaluation.METRICS["mine"]
    sys.modules.pop("brightness", None)
    assert before == {path: path.read_bytes() for path in package.rglob("*.py")}


def level_of(folder: Path) -> float:
    levels = [read_image(path, channels=3).double().mean() for path in sorted(folder.iterdir())]
    return float(torch.stack(levels).mean())


def test_it_is_measured_and_written_from_python(mine: None, run: Path, toys: Path) -> None:
    figures = unit.evaluate(run, metrics=["mine"])["mine"]
    assert figures.rows["images"]["level"] == pytest.approx(level_of(toys / "testA"))
    assert 0 <= figures.rows["translations"]["level"] <= 255
    written = json.loads((run / "evaluation.json").read_text())
    assert written["mine"] == {"figures": figures.rows, "notes": ["of 3 images"]}


def test_it_is_measured_and_written_from_the_command_line(mine: None, run: Path, run_command: Command) -> None:
    (run / "evaluation.json").unlink(missing_ok=True)
    said = run_command("main", "evaluate", "--model", run, "--metrics", "round_trip,mine")
    assert said.code == 0, said.err
    written = json.loads((run / "evaluation.json").read_text())
    assert written.keys() == {"round_trip", "mine"}
    level = written["mine"]["figures"]["images"]["level"]
    table = said.out.split("\n\n")[1].splitlines()
    assert [line.split() for line in table[:2]] == [["brightness", "level"], ["images", f"{level:.1f}"]]
    assert table[3] == "of 3 images"


def test_it_is_among_all_that_apply_and_in_the_list(mine: None, run: Path, run_command: Command) -> None:
    assert list(unit.evaluate(run)) == [
        "maps",
        "psnr",
        "ssim",
        "classifier",
        "round_trip",
        "neighbors",
        "pairing",
        "mine",
    ]
    said = run_command("main", "evaluate", "--metrics", "list")
    assert said.code == 0 and said.out.splitlines()[-1].startswith("mine")


def test_the_registration_is_undone() -> None:
    assert "mine" not in unit.evaluation.METRICS and "brightness" not in sys.modules
