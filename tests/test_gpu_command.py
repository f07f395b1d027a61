"""`benchmarks/gpu.py`: one line where there is no GPU, and its rehearsal on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def answer(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    said = answer("--json", str(tmp_path / "gpu.json"))
    assert said.returncode == 3 and said.stdout == "" and len(said.stderr.splitlines()) == 1
    assert "no CUDA GPU here" in said.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("parts", ["step", pytest.param("tests,resume,step,maps", marks=pytest.mark.slow)])
def test_the_rehearsal_measures_every_part(parts: str, tmp_path: Path) -> None:
    said = answer("--toy", "--json", str(tmp_path / "gpu.json"), "--parts", parts)
    assert said.returncode == 0, said.stderr
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures.keys() == {"machine", *parts.split(",")}
    for row in figures["step"]["rows"]:
        assert row["ms"] > 0 and row["share"] > 0 and row["gflop"] > 0
        assert f"| {row['batch']} | {row['variant']} | {row['ms']:.1f} |" in said.stdout
    assert [(row["batch"], row["variant"]) for row in figures["step"]["rows"]] == [
        (batch, variant) for batch in (1, 2) for variant in ("fp32", "bf16+channels-last")
    ]
    first, *others = [row["first_terms"] for row in figures["step"]["rows"][:2]]
    for name, value in first.items():
        assert others[0][name] == pytest.approx(value, rel=0.05, abs=0.01), name
    if "maps" in parts:
        assert figures["tests"]["counts"] == {"passed": 2} and figures["resume"]["exact"]
        assert figures["maps"]["steps"] == 4 and figures["maps"]["evaluated"] == 0
