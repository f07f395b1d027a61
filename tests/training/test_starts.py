"""starts.jsonl: with which command, versions and hardware a run was begun and gone on with."""

import json
import platform
from pathlib import Path
from typing import Any

import torch
from conftest import Command, Tiny

import unit
from unit.cli.arguments import parse_config


def starts_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "starts.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_start_is_a_line(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    assert run_command("train", *tiny(run, "--train.steps", "2")).code == 0
    assert run_command("train", "--resume", run, "--train.steps", "3").code == 0
    first, second = starts_of(run)
    assert (first["step"], second["step"]) == (0, 2)
    assert first["command"].startswith("unit train --data.root") and "--train.steps 2" in first["command"]
    assert second["command"] == f"unit train --resume '{run}' --train.steps 3"
    assert first["versions"]["unit"] == unit.__version__ and first["versions"]["torch"] == torch.__version__
    assert first["versions"]["python"] == platform.python_version()
    assert first["device"].startswith("cpu (") and first["precision"].startswith("fp32")
    assert first["processes"] == "1 process" and first["data"] == "6 images in a, 6 in b"
    assert "core" in first["hardware"] and platform.system() in first["hardware"]


def test_a_run_of_python_has_no_command(tiny: Tiny, tmp_path: Path) -> None:
    run = unit.train(parse_config(tiny(tmp_path / "run", "--train.steps", "1")))
    assert [start["command"] for start in starts_of(run)] == [None]
