"""What tests of runs share: what a run's folder holds, that two runs end the same, and how a command refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Said
from PIL import Image

from unit import weights
from unit.training import checkpoint
from unit.training.checkpoint import Checkpoint


class Killed(BaseException):
    """As SIGKILL: what handles exceptions does not handle this."""


def newest(run: Path) -> Checkpoint:
    return checkpoint.load(weights.list_checkpoints(run)[-1])


def saved_steps(run: Path) -> list[int]:
    return [weights.step_of(folder) for folder in weights.list_checkpoints(run)]


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    """Bit for bit: every tensor, every counter, and the model's description."""
    assert one.scalars == other.scalars
    assert one.description == other.description
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[name].keys()
        for key, tensor in tensors.items():
            assert tensor.equal(other.tensors[name][key]), f"{name} {key}"


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def status_of(run: Path) -> dict[str, Any]:
    """What run.json says."""
    status: dict[str, Any] = json.loads((run / "run.json").read_text())
    return status


def refused(said: Said, *words: str, code: int = 2) -> None:
    """One line on stderr that says all of `words`, and the exit code."""
    lines = said.err.splitlines()
    assert said.code == code, said
    assert len(lines) == 1 and lines[0].startswith("error: "), said.err
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"
    assert "finished" not in said.out


def write_noise(path: Path, size: tuple[int, int] = (24, 24)) -> None:
    """A picture of seeded noise; the size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
