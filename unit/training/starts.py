"""How a run was begun and gone on with: starts.jsonl has a line for each time, with the command, versions and hardware.

So a run's folder says by itself how to do it again, and on what its time was measured.
"""

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import unit

STARTS = "starts.jsonl"
PACKAGES = ("torchvision", "accelerate", "numpy", "pillow", "kornia")
"""Those whose versions may change what is trained."""


def write_start(run: Path, step: int, *, command: str | None, description: Mapping[str, str]) -> None:
    """Add a line to the run's starts.jsonl: the step that a training goes on from, and on what it does."""
    line: dict[str, Any] = {
        "step": step,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions(),
        "hardware": hardware(),
    }
    with (run / STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | dict(description)) + "\n")


def versions() -> dict[str, str]:
    """The versions of unit, Python, torch with the build it is, and the packages that there are."""
    found = {"unit": unit.__version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """The processor's name where the system tells it, how many cores this process may use, and the system."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} {'core' if cores == 1 else 'cores'}, {platform.system()}"
