"""`benchmarks/judges.py`: its AUC by hand, and its table of a small training."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "judges.py"


def test_the_auc_by_hand() -> None:
    spec = importlib.util.spec_from_file_location("judges", SCRIPT)
    assert spec is not None and spec.loader is not None
    judges = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judges)
    # Of the pairs (2, 1), (2, 2), (0, 1), (0, 2), (3, 1), (3, 2) three are won, and one is a tie.
    assert judges.auc(torch.tensor([2.0, 0.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(3.5 / 6)
    assert judges.auc(torch.ones(2, 1, 2, 2), torch.zeros(3, 1, 2, 2)) == 1
    assert judges.auc(torch.zeros(5), torch.zeros(4)) == 0.5


def test_the_table_of_a_small_training(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run, "--train.steps", "1")).code == 0
    command = [sys.executable, str(SCRIPT), str(run), "--steps", "20", "--discriminator.standardize", "true"]
    said = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    head, *rows = said.stdout.splitlines()
    assert head.split() == ["step", "seconds", "loss", "a", "AUC", "a", "loss", "b", "AUC", "b"]
    assert [row.split()[0] for row in rows] == ["2", "5", "10", "20"]
    for row in rows:
        _, _, *figures = map(float, row.split())
        assert all(0 < loss < 5 for loss in figures[::2]) and all(0 <= value <= 1 for value in figures[1::2])
