"""Mutated images, odd names and links are translated or named, and nothing else is touched."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from bounds import GIB, no_longer_than, peak, snapshot, some_and_all
from conftest import Command
from copier import copier
from mutated_images import noise
from planted_images import counts, nest, plant_images, unnest

import unit
from unit.data import decoding
from unit.data.decoding import read_image


@some_and_all(1, 16)
def test_each_image_is_translated_or_named_and_nothing_else_is_touched(
    run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    made = plant_images(tmp_path / "in", seed=each, each=each, mark=tmp_path / "mark")
    assert each == 1 or len(made.verdicts) >= 1000
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "beside")
    monkeypatch.setattr("unit.inference.folder.load", lambda model, device: copier())
    before, memory, begun = snapshot(tmp_path), peak(), time.monotonic()
    with no_longer_than(120):
        said = run_command("translate", "--model", "any", "--input", tmp_path / "in", "--output", tmp_path / "out")
    seconds = time.monotonic() - begun
    assert snapshot(tmp_path, but=tmp_path / "out") == before
    assert said.code == 1 and said.err.count("Traceback") == 0

    def target(path: Path) -> Path:
        return (tmp_path / "out" / path.relative_to(tmp_path / "in")).with_suffix(".png")

    used = {path for path in made.verdicts if target(path).exists()}
    head, failed, *lines = said.out.splitlines()
    lines = [line for line in lines if line.startswith("  ")]  # others are on frames, profiles and the like
    assert head == f"{len(used)} images translated" and failed == f"{len(lines)} failed:"
    assert len(used) + len(lines) == len(made.verdicts)
    named = {path: sum(f"{str(path)!r}" in line for line in lines) for path in made.verdicts}
    for path, verdict in made.verdicts.items():
        assert (path in used) == (named[path] == 0) and named[path] <= 1, (path, named[path])
        assert verdict == "either" or (path in used) == (verdict == "good"), (made.kinds[path], path)
    assert all(line.startswith("  ") and line.isprintable() for line in lines)
    for path in sorted(used):
        assert torch.equal(read_image(target(path), channels=3), read_image(path, channels=3)), path
    written = {path for path in (tmp_path / "out").rglob("*") if not path.is_dir()}
    assert written == {target(path) for path in used}
    assert not (tmp_path / "mark").exists()
    assert peak() - memory < GIB / 2
    print(f"translate: {counts(made, used)}\n{seconds:.1f} s, {peak() / 1e9:.2f} GB at most")


def test_a_file_without_permission_is_named_also_to_root(
    run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed.png", "open.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        noise().save(tmp_path / "in" / name)

    def guarded(path: Any, *arguments: Any) -> Any:
        if str(path).endswith("closed.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *arguments)

    monkeypatch.setattr(decoding, "open", guarded, raising=False)
    monkeypatch.setattr("unit.inference.folder.load", lambda model, device: copier())
    said = run_command("translate", "--model", "any", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert said.code == 1 and "1 images translated" in said.out
    assert f"  cannot read image {str(tmp_path / 'in' / 'closed.png')!r}: Permission denied" in said.out.splitlines()


def test_a_link_to_itself_stops_no_translation(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    os.symlink("loop.png", tmp_path / "in" / "loop.png")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["x.png"] and [path.name for path in report.failed] == ["loop.png"]
    os.symlink("round", tmp_path / "round")
    report = unit.translate(copier(), tmp_path / "in" / "x.png", tmp_path / "round")  # into a link to itself
    assert not report.written and len(report.failed) == 1


def test_a_dangling_link_in_the_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    noise().save(tmp_path / "in" / "x.png")
    os.symlink(tmp_path / "elsewhere.png", tmp_path / "out" / "x.png")
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out")
    assert not report.written and report.existing == [tmp_path / "out" / "x.png"]
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out", overwrite=True)
    assert len(report.written) == 1 and not (tmp_path / "elsewhere.png").exists()


def test_a_name_too_long_for_the_output_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    long = "x" * 251
    for name in (f"{long}.png", "short.png"):
        noise().save(tmp_path / "in" / name)
    report = unit.translate(copier(), tmp_path / "in", tmp_path / "out", format="webp")  # one letter more
    assert [path.name for path in report.written] == ["short.webp"] and [p.stem for p in report.failed] == [long]
    assert "too long" in str(report)


def test_an_image_in_folders_nested_deeper_than_python_recurses_fails_alone(tmp_path: Path) -> None:
    deep, levels = tmp_path / "in", sys.getrecursionlimit() + 100
    nest(deep, levels)
    noise().save(deep / ("d/" * levels) / "x.png")
    noise().save(deep / "y.png")
    report = unit.translate(copier(), deep, tmp_path / "out")
    assert [path.name for path in report.written] == ["y.png"] and [path.name for path in report.failed] == ["x.png"]
    unnest(deep, levels)
