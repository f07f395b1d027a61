"""Whole processes, of whatever files they are given, end in time and within bounds on their memory."""

import time
from pathlib import Path

import pytest
import torch
from bounds import GIB, ROOT, assert_refused, bounded, needs_linux, snapshot, some_and_all
from conftest import Said, Tiny
from mutated_configs import config_files
from mutated_images import png, zeros
from planted_images import plant_images

from unit.config.schema import schema
from unit.models.folder import save_model
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig


def black(path: Path, side: int) -> None:
    """A PNG of a few kilobytes that is a whole image of side² black pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(zeros(side * (side + 1)), width=side, height=side))


@needs_linux
@some_and_all(0, 16)
def test_translate_py_ends_in_time_and_memory(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, each: int
) -> None:
    torch.manual_seed(0)
    model = tmp_path_factory.mktemp("models") / "sound"
    save_model(model, UnitTranslator(UnitTranslatorConfig(model=UnitModelConfig(width=4, blocks=2))), step=1)
    made = plant_images(tmp_path / "in", seed=1, each=each, mark=tmp_path / "mark")
    black(tmp_path / "in" / "within bounds.png", 11_000)  # 121 million pixels: read, and too large for the networks
    (tmp_path / "cwd").mkdir()
    before = snapshot(tmp_path / "in")
    arguments = ["--model", model, "--input", tmp_path / "in", "--output", tmp_path / "out", "--device", "cpu"]
    begun = time.monotonic()
    said = bounded("translate.py", *arguments, cwd=tmp_path / "cwd", seconds=200, memory=2 * GIB)
    head, _, *lines = said.out.splitlines()
    lines = [line for line in lines if line.startswith("  ")]  # others are on frames, profiles and the like
    count = int(head.split()[0])
    assert said.code == 1 and "Traceback" not in said.err, said.err[-2000:]
    assert count + len(lines) == len(made.verdicts) + 1 == len(set(lines)) + count
    assert count >= sum(verdict == "good" for verdict in made.verdicts.values())
    assert len(lines) >= 1 + sum(verdict == "bad" for verdict in made.verdicts.values())
    assert sum("within bounds.png" in line for line in lines) == 1
    assert any(r"\u65e5\u672c\u8a9e" in line for line in lines) and any(r"\udcff" in line for line in lines)  # ASCII
    assert said.peak < 3 * GIB
    assert snapshot(tmp_path / "in") == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "cwd"}
    assert {path.name for path in (tmp_path / "cwd").iterdir()} == {"stdout", "stderr", "peak"}
    seconds = time.monotonic() - begun
    print(f"translate.py: {count} translated, {len(lines)} named, {seconds:.0f} s, {said.peak / 1e9} GB")


@needs_linux
@pytest.mark.slow
def test_train_py_ends_in_time_and_memory(tiny: Tiny, tmp_path: Path) -> None:
    """Of images that are large but allowed, one at a time is in memory, however many threads decode."""
    made = plant_images(tmp_path / "in", seed=2, each=16, mark=tmp_path / "mark")
    for number in range(8):
        black(tmp_path / "large" / f"{number}.png", 11_000)
    (tmp_path / "cwd").mkdir()
    before = snapshot(tmp_path / "in")
    folders = ["--data.a", str(tmp_path / "in"), "--data.b", str(tmp_path / "large"), "--data.resize", "16"]
    begun = time.monotonic()
    arguments = [*tiny(tmp_path / "run", *folders, "--train.steps", "1")]
    said = bounded("train.py", *arguments, cwd=tmp_path / "cwd", seconds=200, memory=6 * GIB)
    assert said.code == 0 and "Traceback" not in said.err, said.err[-2000:]
    lines = [line for line in said.out.splitlines() if line.startswith("  cannot read image")]
    assert len(lines) >= sum(verdict == "bad" for verdict in made.verdicts.values())
    assert f"{len(lines)} files left out" in said.out
    assert f"{len(made.verdicts) - len(lines)} images in a, 8 in b" in said.out
    assert said.peak < 4 * GIB  # all of the large ones at once would take 10
    assert snapshot(tmp_path / "in") == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "large", "run", "cwd"}
    assert {path.name for path in (tmp_path / "cwd").iterdir()} == {"stdout", "stderr", "peak"}
    print(f"train.py: {len(lines)} left out, {time.monotonic() - begun:.0f} s, {said.peak / 1e9} GB")


@needs_linux
@pytest.mark.slow
def test_train_py_refuses_configs_in_time_and_memory(tmp_path: Path) -> None:
    """A process each for those that crashed, hung or filled the memory of one: they would take the tests with them."""
    (tmp_path / "cwd").mkdir()
    names = {"anchors for a section", "anchors", "deep nesting in a string", "deep nesting", "ten megabytes of keys"}
    files = config_files(ROOT / "configs", lambda method: schema(method).flat, tmp_path / "mark", seed=0)
    chosen = {file.kind: file for file in files}
    assert names <= chosen.keys()
    for kind in sorted(names):
        (tmp_path / "x.yaml").write_bytes(chosen[kind].data)
        said = bounded("train.py", "--config", tmp_path / "x.yaml", cwd=tmp_path / "cwd", seconds=60, memory=GIB)
        assert_refused(Said(said.code, said.out, said.err))
        assert said.peak < GIB
