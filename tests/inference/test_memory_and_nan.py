"""Translations that memory does not suffice for, and those that are no images, fail alone."""

from pathlib import Path

import pytest
import torch
from copier import Copier, copier
from mutated_images import noise
from PIL import Image
from torch import Tensor

import unit
from unit.models.base import Direction


def test_an_image_that_needs_more_memory_than_there_is_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is begun: where a system promises more memory than it has, nothing can be done later."""
    (tmp_path / "in").mkdir()
    noise(size=(64, 64)).save(tmp_path / "in" / "large.png")
    for name in ("a.png", "b.png"):
        noise(size=(16, 16)).save(tmp_path / "in" / name)
    enough = 4 * (4 * 1 + 10) * 16 * 16
    monkeypatch.setattr("unit.inference.translator.free_memory", lambda device: enough)  # for one of the small ones
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in report.written) == ["a.png", "b.png"]
    (reason,) = report.failed.values()
    assert "large.png" in reason and "64 × 64 pixels need about" in reason


@pytest.mark.parametrize(
    "error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError(), torch.OutOfMemoryError("CUDA")]
)
def test_memory_that_ends_on_the_way_fails_image_by_image(tmp_path: Path, error: Exception) -> None:
    class Hungry(Copier):
        def _translate(self, x: Tensor, direction: Direction) -> Tensor:
            if len(x) > 1 or x[0, 0, 0, 0] == 1:  # more than one image, or a white one
                raise error
            return x

    colored(tmp_path / "in", a="black", b="white", c="black")
    report = unit.translate(copier(Hungry), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["a.png", "c.png"]
    assert [path.name for path in report.failed] == ["b.png"]


def test_a_translation_that_is_no_image_fails_alone(tmp_path: Path) -> None:
    class Broken(Copier):
        def _translate(self, x: Tensor, direction: Direction) -> Tensor:
            return (x + 1) / (x + 1).amax(dim=(1, 2, 3), keepdim=True)  # 0/0 of a black image

    colored(tmp_path / "in", a="black", b="white")
    report = unit.translate(copier(Broken), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["b.png"] and [path.name for path in report.failed] == ["a.png"]
    assert "NaN" in str(report)


def colored(folder: Path, **colors: str) -> None:
    """Images of one color each."""
    folder.mkdir()
    for name, color in colors.items():
        Image.new("RGB", (16, 16), color).save(folder / f"{name}.png")
