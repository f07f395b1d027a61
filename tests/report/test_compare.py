"""`unit compare`: figures in one table, images side by side, what differs in the configs; on screen and as a page."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from report_pages import Page
from run_files import contents, refused

import unit
from unit.data.decoding import read_image
from unit.report.comparison import compare_configs, compare_figures, label_runs
from unit.report.facts import RunFacts
from unit.report.report import compare


@pytest.fixture(scope="module")
def trained(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, one and other, that were trained with different learning rates."""
    folder = tmp_path_factory.mktemp("compared")
    assert run_command("train", *tiny(folder / "one")).code == 0
    assert run_command("train", *tiny(folder / "other", "--optim.lr", "3e-4")).code == 0
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def test_two_runs_side_by_side(runs: Path, toys: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unit.report.report.draw_pictures", lambda *given, **more: [])
    for name, score in (("one", 0.5), ("other", 0.7)):
        rows = {"model": {"max": score}, "constant color": {"max": 0.2}}
        images = {"a2b": {f"0000{i}.png": {"max": score + i} for i in range(3)}}
        (runs / name / "evaluation.json").write_text(json.dumps({"maps": {"figures": rows, "images": images}}))
    said = run_command("main", "compare", runs / "one", runs / "other")
    assert said.code == 0, said.err
    lines = {line.split("  ")[0]: line.split()[-2:] for line in said.out.splitlines() if "  " in line}
    assert lines["maps: model"] == ["0.500", "0.700*"] and lines["maps: constant color"] == ["0.200", "0.200"]
    assert lines["optim.lr"][1] == "0.0003"
    assert said.out.splitlines()[-1] == str(runs / "comparison" / "index.html")

    page = Page(runs / "comparison" / "index.html")
    assert page.files() == {name for name in contents(page.folder) if name != "index.html"}
    for card in page.cards("b2a"):
        assert list(card["shots"]) == ["input", "one", "other", "truth"]
        x = read_image(toys / "testB" / card["name"], channels=3)
        for name in ("one", "other"):
            shown = read_image(page.folder / card["shots"][name], channels=3)
            assert shown.equal(unit.load(runs / name)(x, "b2a"))
    assert page.cards("a2b")[1]["figures"] == {"one, maps: max": 1.5, "other, maps: max": 1.7}
    assert "optim.lr" not in page.text.split("What differs")[0] and "0.0003" in page.text


def test_figures_of_other_images_are_not_set_beside_those_shown(runs: Path, toys: Path, tmp_path: Path) -> None:
    images = {"a2b": {f"0000{i}.png": {"max": 0.5} for i in range(3)}}
    for name in ("one", "other"):
        (runs / name / "evaluation.json").write_text(json.dumps({"maps": {"images": images}}))
    text = (runs / "other" / "config.yaml").read_text()
    shutil.copytree(toys, tmp_path / "elsewhere")
    (runs / "other" / "config.yaml").write_text(text.replace(f"root: {toys}", f"root: {tmp_path / 'elsewhere'}"))
    written = compare([runs / "one", runs / "other"], count=1, evaluate=False)
    assert [note.split(" are of")[0] for note in written.notes if "not of those shown" in note] == [
        "other: the figures"
    ]
    assert all(set(card["figures"]) == {"one, maps: max"} for card in Page(written.page).cards())


def test_a_run_that_still_trains_is_compared_too(runs: Path) -> None:
    shutil.rmtree(runs / "other" / "checkpoints")
    (runs / "other" / "model.safetensors").unlink()
    (runs / "other" / "config.json").unlink()
    written = compare([runs / "one", runs / "other"], evaluate=False)
    assert any(note.startswith("other: no images") for note in written.notes)
    assert "other: no figures yet" in Page(written.page).text


def test_autoencoders_have_their_pictures_side_by_side(run_command: Command, tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "mnist")
    for name, seed in (("one", "0"), ("other", "1")):
        given = options("vae", "--run.output", tmp_path / name, "--run.seed", seed, data__root=root)
        assert run_command("train", *given).code == 0
    page = Page(compare([tmp_path / "one", tmp_path / "other"], evaluate=False).page)
    assert "images" not in page.ids() and "pictures" in page.ids()
    assert {"pictures/0/samples.png", "pictures/1/samples.png"} <= page.files()
    assert all((page.folder / name).is_file() for name in page.files()) and "seed" in page.text


def test_labels_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    assert label_runs([tmp_path / "a" / "run", tmp_path / "b"]) == ["run", "b"]
    assert label_runs([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    with pytest.raises(ValueError, match="given twice"):
        label_runs([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def facts(**config: Any) -> RunFacts:
    return RunFacts(Path("run"), {}, {key.replace("__", "."): value for key, value in config.items()}, [], [], {}, [])


def test_only_keys_that_differ_are_listed_and_last_those_that_one_lacks() -> None:
    one = facts(loss__l1=1, loss__gan=1, optim__lr=0.1, run__output="a", run__seed=True)
    other = facts(loss__gan=1.0, optim__lr=0.2, run__output="b", run__seed=1)
    assert compare_configs({"one": one, "other": other}) == [
        ("optim.lr", ["0.1", "0.2"]), ("run.seed", ["true", "1"]), ("loss.l1", ["1", "–"]),
    ]  # fmt: skip


def test_the_best_of_a_row_is_the_one_that_its_metric_prefers() -> None:
    def found(maps: float, back: float) -> dict[str, Any]:
        return {"maps": {"figures": {"model": {"max": maps}}}, "round_trip": {"figures": {"a2b2a": {"levels": back}}}}

    tables = compare_figures({"x": found(0.5, 3.0), "y": found(0.7, 4.0), "z": found(0.7, 4.0)})
    marks = {table.metric: [cell.best for cell in table.rows[0].cells] for table in tables}
    assert marks == {"maps": [False, True, True], "round_trip": [True, False, False]}
    same = compare_figures({"x": found(0.5, 3.0), "y": found(0.5, 3.0)})
    assert not any(cell.best for table in same for cell in table.rows[0].cells)
    assert compare_figures({"x": {}, "y": {}}) == []


def test_what_a_run_lacks_is_a_dash() -> None:
    (table,) = compare_figures({"x": {"mine": {"figures": {"row": {"value": 2.5}}}}, "y": {}})
    assert [cell.text for cell in table.rows[0].cells] == ["2.50", "–"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["ONE"], ["compare", "two runs or more", "got 1"]),
        (["ONE", "ONE"], ["given twice"]),
        (["ONE", "/nowhere"], ["no run and no model in /nowhere"]),
        (["ONE", "OTHER", "--count", "0"], ["count"]),
        (["ONE", "OTHER", "--output", "ONE"], ["other files"]),
        (["ONE", "OTHER", "--data.root", "/nowhere"], ["/nowhere/testA"]),
        ([], ["RUN"]),
    ],
)
def test_a_wrong_comparison_is_one_line(given: list[str], words: list[str], runs: Path, run_command: Command) -> None:
    before = contents(runs)
    folders = {"ONE": str(runs / "one"), "OTHER": str(runs / "other")}
    refused(run_command("main", "compare", *(folders.get(word, word) for word in given)), *words)
    assert contents(runs) == before
