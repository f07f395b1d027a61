"""Translating odd files: what goes wrong with one leaves the others alone, and says which it was."""

from pathlib import Path
from typing import Any

import pytest
from run_files import contents, write_noise
from torch import Tensor

import unit
from unit.inference import folder
from unit.inference.translator import Translator
from unit.models.base import Direction
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig


class Copier(UnitTranslator):
    """Returns what it is given."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return x


def copier() -> Translator:
    return Translator(Copier(UnitTranslatorConfig(model=UnitModelConfig(width=1, blocks=1))))


def test_a_second_translation_into_the_input_folder_finds_all_done(tmp_path: Path) -> None:
    """The first one's output is no input of the second."""
    write_noise(tmp_path / "in" / "x.png")
    unit.translate(copier(), tmp_path / "in", tmp_path / "in" / "out")
    before = contents(tmp_path)
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "in" / "out")
    assert not report.written and len(report.existing) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_overwritten(tmp_path: Path, overwrite: bool) -> None:
    write_noise(tmp_path / "in" / "x.png")
    write_noise(tmp_path / "in" / "x.bmp", (8, 8))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="in"):
        unit.translate(copier(), tmp_path / "in", tmp_path / "in", overwrite=overwrite)
    with pytest.raises(ValueError, match=r"x\.png"):
        unit.translate(copier(), tmp_path / "in" / "x.png", tmp_path / "in" / "x.png", overwrite=overwrite)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("format", ["webp", "jpg"])
def test_an_image_larger_than_its_format_fails_alone(tmp_path: Path, format: Any) -> None:
    """WebP ends at 16,383 pixels a side, JPEG at 65,535."""
    write_noise(tmp_path / "in" / "a.png", (16_400 if format == "webp" else 65_600, 1))
    write_noise(tmp_path / "in" / "b.png")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out", format=format)
    assert [path.name for path in report.written] == [f"b.{format}"]
    (reason,) = report.failed.values()
    assert "a." in reason and "None" not in reason
    assert contents(tmp_path / "out").keys() == {f"b.{format}"}


def test_each_failure_names_its_file(tmp_path: Path) -> None:
    write_noise(tmp_path / "in" / "thin.png", (1, 2000))
    write_noise(tmp_path / "in" / "sound.png")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "out" / "taken.png").mkdir(parents=True)
    write_noise(tmp_path / "in" / "taken.png")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out", resize=400, overwrite=True)
    assert [path.name for path in report.written] == ["sound.png"]
    assert {path.name for path in report.failed} == {"thin.png", "empty.png", "taken.png"}
    for path, reason in report.failed.items():
        assert path.name in reason and len(reason.splitlines()) == 1, reason


def test_an_image_that_vanishes_on_the_way_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        write_noise(tmp_path / "in" / name)
    plan = folder.plan

    def slow_plan(*arguments: Any) -> Any:
        jobs = plan(*arguments)
        (tmp_path / "in" / "a.png").unlink()
        return jobs

    monkeypatch.setattr(folder, "plan", slow_plan)
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.failed] == ["a.png"] and [path.name for path in report.written] == ["b.png"]
