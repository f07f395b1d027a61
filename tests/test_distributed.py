"""Two real processes take the training of one: the same global batch, the same parameters."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from conftest import Command, Tiny

from unit import checkpoint

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_end_where_one_does(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    options = ["--data.jitter", "0.2", "--discriminator.shared_layers", "1"]
    assert run_command("train", *tiny(tmp_path / "one", *options)).code == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    said = subprocess.run(
        [*launch, "train.py", *map(str, tiny(tmp_path / "two", *options))],
        cwd=ROOT,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert said.returncode == 0, said.stderr
    assert "2 processes" in said.stdout.splitlines()[0]
    one, two = (checkpoint.load(checkpoint.list_of(tmp_path / name)[-1]) for name in ("one", "two"))
    assert one.scalars["step"] == two.scalars["step"] == 4
    for name in ("translator", "discriminators", "average"):
        whole = torch.cat([tensor.flatten() for tensor in one.tensors[name].values()])
        parts = torch.cat([two.tensors[name][key].flatten() for key in one.tensors[name]])
        assert (whole - parts).norm() / whole.norm() < 1e-5, name
