"""The learning rate is a function of config and step, also in the first step after a resume with other train.steps."""

import json
import math
from pathlib import Path

import pytest
from conftest import Command, Tiny

from unit.config import load
from unit.training.optim import lr_factor


def rates(run: Path) -> dict[int, float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["lr"] for line in lines}


def cosine(step: int, steps: int) -> float:
    return 1e-4 * 0.5 * (1 + math.cos(math.pi * step / steps))


def test_a_cosine_that_is_lengthened_after_its_end(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = tiny(run, "--optim.schedule", "cosine", "--train.steps", "6")
    assert run_command("train", *short).code == 0
    assert run_command("train", "--resume", run, "--train.steps", "12").code == 0
    found = rates(run)
    assert found[7] == pytest.approx(5.00e-5) and found[8] == pytest.approx(cosine(7, 12))
    assert all(found[step + 1] == pytest.approx(cosine(step, 12)) for step in range(6, 12))


def test_a_cosine_that_is_lengthened_on_its_way(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    short = tiny(run, "--optim.schedule", "cosine", "--train.steps", "6", "--train.checkpoint_every", "3")
    assert run_command("train", *short).code == 0
    middle = run / "checkpoints" / "step-00000003"
    assert run_command("train", "--resume", middle, "--run.output", other, "--train.steps", "12").code == 0
    assert rates(other)[4] == pytest.approx(8.54e-5, rel=1e-3)


def test_a_linear_fall_that_is_lengthened(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run, "--optim.schedule", "linear", "--train.steps", "4")).code == 0
    assert run_command("train", "--resume", run, "--train.steps", "8").code == 0
    assert [rates(run)[step] for step in (5, 6, 7, 8)] == pytest.approx([5e-5, 3.75e-5, 2.5e-5, 1.25e-5])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"schedule": "constant", "warmup": 3}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "linear", "decay_start": 3}, [1, 1, 1, 1, 2 / 3, 1 / 3]),
        ({"schedule": "step", "step_every": 2, "step_factor": 0.1}, [1, 1, 0.1, 0.1, 0.01, 0.01]),
    ],
)
def test_factors_by_hand(keys: dict[str, object], expected: list[float]) -> None:
    config = load("toymaps", {"train.steps": 6} | {f"optim.{key}": value for key, value in keys.items()})
    assert [lr_factor(config, step) for step in range(6)] == pytest.approx(expected)
