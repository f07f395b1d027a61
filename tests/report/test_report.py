"""`unit report`: what the page of a run holds, that its files are all there, and what a partial one says."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from report_pages import Page
from run_files import contents, refused

import unit
from unit.data.decoding import read_image
from unit.data.images import to_float, to_uint8
from unit.report.report import write_report


@pytest.fixture(scope="module")
def reported(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of UNIT's with its report."""
    run = tmp_path_factory.mktemp("reported") / "run"
    assert run_command("train", *tiny(run)).code == 0
    said = run_command("main", "report", run)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == str(run / "report" / "index.html")
    return run


@pytest.fixture
def run(reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, without its report and figures; nor are the model's pictures drawn, which take their time."""
    monkeypatch.setattr("unit.report.report.draw_pictures", lambda *given: [])
    skip = shutil.ignore_patterns("report", "evaluation.json")
    return Path(shutil.copytree(reported, tmp_path / "run", ignore=skip))


# What it holds


def test_all_that_the_page_refers_to_is_beside_it(reported: Path) -> None:
    page = Page(reported / "report" / "index.html")
    assert {"images", "figures", "curves", "samples", "run", "pictures"} <= page.ids()
    there = {name for name in contents(reported / "report") if name != "index.html"}
    assert page.files() == there
    assert not any("://" in name or name.startswith("/") for name in page.files())


def test_the_folder_can_be_moved(reported: Path, tmp_path: Path) -> None:
    for path in contents(reported / "report"):
        if path.endswith((".html", ".js", ".css")):
            text = (reported / "report" / path).read_text(encoding="utf-8")
            assert str(reported / "report") not in text and "http" not in text, path


def test_pictures_are_the_input_its_translation_the_truth_and_the_round_trip(reported: Path, toys: Path) -> None:
    page, translator = Page(reported / "report" / "index.html"), unit.load(reported)
    for direction, source, target in (("a2b", "testA", "testB"), ("b2a", "testB", "testA")):
        cards = page.cards(direction)
        assert [card["name"] for card in cards] == sorted(path.name for path in (toys / source).iterdir())
        for card in cards:
            shown = {label: read_image(page.folder / file, channels=3) for label, file in card["shots"].items()}
            x = read_image(toys / source / card["name"], channels=3)
            y = translator.translate_floats(to_float(x[None]), direction)
            back = translator.translate_floats(y, "b2a" if direction == "a2b" else "a2b")
            expected = {
                "input": x,
                "translation": to_uint8(y)[0],
                "truth": read_image(toys / target / card["name"], channels=3),
                "round trip": to_uint8(back)[0],
            }
            assert list(shown) == list(expected)
            assert all(shown[label].equal(expected[label]) for label in expected)
            far = (x.double() - shown["round trip"].double()).abs().mean()
            assert card["figures"]["round trip: levels"] == pytest.approx(float(far))


def test_images_that_no_metric_scored_have_their_distances(run: Path) -> None:
    page = Page(write_report(run, evaluate=False).page)
    card = page.cards("b2a")[1]
    x, y, truth, back = (read_image(page.folder / file, channels=3).double() for file in card["shots"].values())
    assert card["figures"] == {
        "L1 to the truth": pytest.approx(float((y - truth).abs().mean())),
        "L1 of the round trip": pytest.approx(float((x - back).abs().mean())),
    }


def test_figures_stand_beside_their_baselines(reported: Path) -> None:
    page = Page(reported / "report" / "index.html")
    known = json.loads((reported / "evaluation.json").read_text())
    for row in ("model", "constant color", "another map"):
        assert row in page.text
        assert f"{known['maps']['figures'][row]['balanced']:.3f}" in page.text


def test_curves_config_and_samples_are_the_runs(reported: Path) -> None:
    page = Page(reported / "report" / "index.html")
    curves = {(line["data-name"], line["data-steps"]) for line in page.having("data-steps")}
    assert ("a", "[1, 2, 3, 4]") in curves and ("learning rate", "[1, 2, 3, 4]") in curves
    (start,) = [json.loads(line) for line in (reported / "starts.jsonl").read_text().splitlines()]
    for name in (
        "shared_blocks",
        "sample_every",
        "lr",
        start["command"],
        start["hardware"],
        start["versions"]["torch"],
    ):
        assert name in page.text
    (scrub,) = page.having("data-files")
    assert [step for step, _ in json.loads(scrub["data-files"])] == [2, 4]
    for step, file in json.loads(scrub["data-files"]):
        original = reported / "samples" / f"step-{step:08d}.png"
        assert (page.folder / file).read_bytes() == original.read_bytes()


def test_an_autoencoders_report_has_its_pictures(run_command: Command, tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "mnist")
    run = tmp_path / "run"
    assert run_command("train", *options("vae", "--run.output", run, data__root=root)).code == 0
    said = run_command("main", "report", run)
    assert said.code == 0, said.err
    page = Page(run / "report" / "index.html")
    assert {"pictures", "figures", "curves", "run"} <= page.ids() and "images" not in page.ids()
    assert {"pictures/reconstructions.png", "pictures/samples.png"} <= page.files()
    assert all((page.folder / name).is_file() for name in page.files())


# Names


def test_odd_names_are_text(run: Path, toys: Path, tmp_path: Path) -> None:
    names = ["<b>\"bold\" & 'co'</b>.png", "<script>alert(1)<", "sub/ü.png", b"not utf-8 \xff.png"]
    for folder in ("testA", "testB"):
        for name in names:
            target = os.path.join(os.fsencode(tmp_path / "odd" / folder), os.fsencode(name))
            target += b"" if target.endswith(b".png") else b".png"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(toys / folder / "00000.png", target)
    page = Page(write_report(run, root=tmp_path / "odd", evaluate=False).page)
    assert len(page.cards()) == 4
    assert {card["name"] for card in page.cards()} >= {names[0], "<script>alert(1)<.png", "sub/ü.png"}
    assert [tag for tag, _ in page.elements].count("script") == 1 and "alert(1)" in page.text
    assert all((page.folder / name).is_file() for name in page.files())


# How many


def test_of_many_images_some_are_shown_evenly(run: Path, tmp_path: Path) -> None:
    page = Page(write_report(run, count=2, evaluate=False).page)
    assert [card["name"] for card in page.cards()] == ["00000.png", "00002.png"]
    assert "2 of 3 images" in page.text


def test_large_images_have_thumbnails(run: Path, tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        (tmp_path / "large" / folder).mkdir(parents=True)
        noise = torch.randint(0, 256, (3, 164, 200), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        from unit.data.images import write_image

        write_image(tmp_path / "large" / folder / "x.png", noise)
    page = Page(write_report(run, root=tmp_path / "large", evaluate=False).page)
    small = sorted(name for name in page.files() if name.endswith("-small.jpg"))
    assert len(small) == 8
    assert {tuple(read_image(page.folder / name, channels=3).shape) for name in small} == {(3, 128, 156)}
    full = page.cards()[0]["shots"]["translation"]
    assert read_image(page.folder / full, channels=3).shape == (3, 164, 200)


# Partial reports


def status(run: Path, **changes: object) -> None:
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | changes))


def test_a_run_still_training_has_a_partial_report_that_says_so(run: Path) -> None:
    (run / "model.safetensors").unlink()
    (run / "config.json").unlink()
    status(run, status="running", process=os.getpid(), step=0)
    written = write_report(run)
    page = Page(written.page)
    assert (
        "running since " in page.text
        and "still training, at step 4 of 4" in page.text
        and "This report is partial" in page.text
    )
    assert len(page.cards()) == 3  # of the newest checkpoint
    assert any("no figures yet" in note for note in written.notes) and "no figures yet" in page.text
    assert not (run / "evaluation.json").exists()


def test_a_run_without_a_checkpoint_yet(run: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (run / name).unlink()
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").write_text('{"step": 1, "gan_a": 0.5}\n{"step": 2, "ga')
    status(run, status="running", process=os.getpid())
    page = Page(write_report(run).page)
    assert "images" not in page.ids() and {"curves", "samples", "run"} <= page.ids()
    assert "no images" in page.text and "metrics.jsonl: 1 of its lines can't be read" in page.text


def test_a_killed_run_is_called_killed(run: Path) -> None:
    status(run, status="running", process=2**22 + 1)
    assert "was killed at step 4 of 4" in Page(write_report(run, evaluate=False).page).text


def test_a_failed_run_says_why(run: Path) -> None:
    status(run, status="failed", error="loss gan_a is NaN <at step 3>")
    assert "failed at step 4 of 4: loss gan_a is NaN <at step 3>" in Page(write_report(run, evaluate=False).page).text


def test_data_that_has_gone_is_noted_unless_it_was_asked_for(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    root = next(line.split(": ")[1] for line in text.splitlines() if line.strip().startswith("root:"))
    (run / "config.yaml").write_text(text.replace(root, "/nowhere"))
    written = write_report(run)
    page = Page(written.page)
    assert "images" not in page.ids() and any("/nowhere" in note for note in written.notes)
    before = contents(run)
    with pytest.raises(FileNotFoundError, match="/elsewhere/testA"):
        write_report(run, root="/elsewhere")
    assert contents(run) == before


def test_figures_of_other_images_are_not_put_on_those_shown(run: Path, toys: Path, tmp_path: Path) -> None:
    """They would be found by the same names. Nor are figures of other images written to the run."""
    shutil.copytree(toys, tmp_path / "elsewhere")
    write_report(run, root=tmp_path / "elsewhere", count=1)
    assert not (run / "evaluation.json").exists()
    unit.evaluate(run, metrics=["round_trip"])
    for given in ({"root": tmp_path / "elsewhere"}, {"resize": 16}):
        written = write_report(run, count=1, **given)
        assert [note for note in written.notes if "not of those shown here" in note]
        assert "round trip: levels" not in Page(written.page).cards()[0]["figures"]
    assert "round trip: levels" in Page(write_report(run, root=toys).page).cards()[0]["figures"]
    unit.evaluate(run, metrics=["round_trip"], root=tmp_path / "elsewhere")
    page = Page(write_report(run, count=1).page)
    assert "round trip: levels" not in page.cards()[0]["figures"] and "of images in" in page.text


def test_figures_older_than_the_model_are_called_so(run: Path) -> None:
    unit.evaluate(run, metrics=["round_trip"])
    os.utime(run / "evaluation.json", (0, 0))
    assert any("older than the model" in note for note in write_report(run).notes)


def test_figures_of_images_that_chose_the_best_checkpoint_are_called_so(run: Path) -> None:
    (run / "validation.json").write_text('{"split": "test", "images": {}, "set_aside": {}}')
    assert "validated on test images" in Page(write_report(run, evaluate=False, count=1).page).text


def test_damaged_files_are_noted(run: Path) -> None:
    for name in ("run.json", "evaluation.json", "metrics.jsonl"):
        (run / name).write_text('{"broken')
    written = write_report(run)
    assert any("run.json" in note for note in written.notes)
    assert any("evaluation.json" in note for note in written.notes)


@pytest.mark.parametrize(
    "content", ["[1]", '{"maps": {"figures": [1]}, "x": 3}', '{"maps": {"figures": {"a": {"b": null}}}}']
)
def test_an_evaluation_of_another_shape_is_no_table(run: Path, content: str) -> None:
    (run / "evaluation.json").write_text(content)
    assert "figures" not in Page(write_report(run, count=1).page).ids()


# Where it is written


def test_an_earlier_report_is_replaced_and_what_lies_beside_stays(run: Path) -> None:
    write_report(run, count=3, evaluate=False)
    (run / "report" / "mine.txt").write_text("mine")
    before = contents(run / "report")
    write_report(run, count=1, evaluate=False)
    after = contents(run / "report")
    assert after["mine.txt"] == b"mine" and after.keys() < before.keys()
    assert {name for name in after if name != "mine.txt"} == Page(run / "report" / "index.html").files() | {
        "index.html"
    }


def test_a_folder_of_other_files_is_left_alone(run: Path, run_command: Command, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_text("mine")
    for output in (tmp_path, tmp_path / "images"):
        before = contents(tmp_path)
        refused(run_command("main", "report", run, "--output", output), str(output), "other files")
        assert contents(tmp_path) == before
    (tmp_path / "index.html").write_text("<!doctype html>mine")
    refused(run_command("main", "report", run, "--output", tmp_path), "other files")
    refused(run_command("main", "report", run, "--output", tmp_path / "index.html"), "is a file")


def test_a_report_that_fails_leaves_the_earlier_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(run, count=1, evaluate=False)
    before = contents(run)

    def broken(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unit.report.report.write_page", broken)
    with pytest.raises(KeyboardInterrupt):
        write_report(run, count=3, evaluate=False)
    assert contents(run) == before
    with pytest.raises(KeyboardInterrupt):
        write_report(run, run.parent / "new", evaluate=False)
    assert not contents(run.parent / "new")


def test_a_checkpoint_has_a_report_of_its_own(run: Path) -> None:
    written = write_report(run / "checkpoints" / "step-00000002", evaluate=False)
    assert written.page == run / "report-step-00000002" / "index.html"
    assert "of step-00000002" in Page(written.page).text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["/nowhere"], ["no run and no model in /nowhere"]),
        (["RUN", "--count", "0"], ["count", "at least 1", "0"]),
        (["RUN", "--resize", "0"], ["resize", "at least 1"]),
        (["RUN", "--open", "maybe"], ["--open", "yes", "no"]),
        ([], ["RUN"]),
    ],
)
def test_a_wrong_report_is_one_line(given: list[str], words: list[str], run: Path, run_command: Command) -> None:
    before = contents(run)
    refused(run_command("main", "report", *(str(run) if word == "RUN" else word for word in given)), *words)
    assert contents(run) == before


def test_a_browser_is_opened_when_asked_for(run: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or False)
    assert run_command("main", "report", run, "--count", "1", "--evaluate", "no").code == 0 and opened == []
    said = run_command("main", "report", run, "--count", "1", "--evaluate", "no", "--open")
    assert said.code == 0 and opened == [(run / "report" / "index.html").resolve().as_uri()]
    assert "no browser could be opened" in said.out
