"""On a system without what Windows and macOS lack, all of unit is imported, and trains, resumes, translates, evaluates.

The system is this one, from which a fresh interpreter takes it away. The libraries that unit stands on are imported
before: they know for themselves which system they are on.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Command, Tiny
from waiting import HANGS

from unit.training import loop

ROOT = Path(__file__).resolve().parent.parent

LACKING = """
import errno, importlib, importlib.abc, os, signal, stat, sys

for name in ("accelerate", "filelock", "jsonargparse", "kornia", "matplotlib", "numpy", "PIL.Image", "psutil",
             "safetensors.torch", "torch", "torchvision", "tqdm", "yaml"):
    importlib.import_module(name)

NAMES = ("fcntl", "pwd", "grp", "resource")

class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in NAMES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
for name in ("fork", "getuid", "register_at_fork"):
    delattr(os, name)
del signal.SIGKILL

fsync = os.fsync
errors = {"folder": errno.EINVAL, "file": 0}  # what flushing one answers

def portable_fsync(descriptor):
    error = errors["folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"]
    if error:
        raise OSError(error, os.strerror(error))
    fsync(descriptor)

os.fsync = portable_fsync
"""

COMMANDS = """
import json, multiprocessing

from unit.cli.main import main

multiprocessing.set_start_method("spawn", force=True)  # there is no fork
for name, *arguments in json.loads(sys.argv[1]):
    if name == "flushing":  # from now on, of a file or of a folder
        kind, error = arguments
        errors[kind] = getattr(errno, error)
    else:
        print("code", main([name, *arguments]), flush=True)
"""


IMPORTS = """
for name in NAMES:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    sys.exit(f"{name} is there")
assert not {"fork", "getuid", "register_at_fork"} & set(dir(os))
try:
    os.fsync(os.open(".", os.O_RDONLY))
except OSError as error:
    assert error.errno == errno.EINVAL
else:
    sys.exit("a folder was flushed")

import pkgutil, unit
for module in pkgutil.walk_packages(unit.__path__, "unit."):
    importlib.import_module(module.name)
    print("module", module.name)
"""

FAULTS = [("folder", "EIO"), ("file", "EIO"), ("file", "EINVAL"), ("file", "ENOSPC")]
"""What a disk that is full or broken answers where something is flushed."""


class Outcome(NamedTuple):
    """Where all was written, the exit codes of the commands, and all that was said."""

    folder: Path
    codes: list[int]
    said: str


@pytest.fixture(scope="module")
def outcome(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """All modules imported, and then all commands one after another, in a fresh interpreter after LACKING, whose
    default encoding is ASCII; warnings are errors."""
    folder = tmp_path_factory.mktemp("portability")
    run, toys = folder / "run", str(folder / "toys")
    from_disk = ["--data.cache_gb", "0", "--data.workers", "1", "--run.output", str(folder / "from disk")]
    given: list[list[str]] = [
        ["config", "list"],
        ["data", "toymaps", "--size", "16", "--train", "4", "--test", "2", "--output", toys],
        ["train", *tiny(run, "--data.root", toys)],
        ["train", "--resume", str(run), "--train.steps", "6"],
        ["translate", "--model", str(run), "--input", f"{toys}/testA", "--output", str(folder / "out")],
        ["evaluate", "--model", str(run), "--metrics", "round_trip,pairing"],
        ["plot", "--model", str(run)],
        ["train", *tiny(run, "--data.root", toys, *from_disk)],
    ]
    for fault in FAULTS:
        given += [["flushing", *fault], ["train", *tiny(folder / " ".join(fault))]]
    surroundings = {"PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LACKING + IMPORTS + COMMANDS, json.dumps(given)],
        cwd=folder,
        env=os.environ | surroundings,
        capture_output=True,
        encoding="ascii",
        errors="replace",
        timeout=2 * HANGS,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    codes = [int(code) for code in re.findall(r"^code (\d+)$", done.stdout, re.MULTILINE)]
    return Outcome(folder, codes, done.stdout + done.stderr)


def test_every_module_is_imported(outcome: Outcome) -> None:
    files = [path for path in (ROOT / "unit").rglob("*.py") if path != ROOT / "unit" / "__init__.py"]
    assert len(re.findall(r"^module unit\.", outcome.said, re.MULTILINE)) == len(files)


def test_a_training_is_run_resumed_and_used(outcome: Outcome) -> None:
    """Also with a loader's process, which gets the data as a pickle, in place of a copy of the whole process."""
    folder, codes, said = outcome
    run = folder / "run"
    assert codes[: -len(FAULTS)] == [0] * 8, said
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert len(list((folder / "out").glob("*.png"))) == 2
    assert json.loads((run / "evaluation.json").read_text()).keys() == {"round_trip", "pairing", "last_iterate"}
    newest = [place / "checkpoints" / "step-00000004" / "manifest.json" for place in (run, folder / "from disk")]
    in_memory, from_files = (json.loads(path.read_text())["files"]["model.safetensors"] for path in newest)
    assert in_memory == from_files


def test_only_a_folder_may_be_left_unflushed(outcome: Outcome) -> None:
    """And that only where the system can't do it: a disk that is full or broken ends the training."""
    folder, codes, said = outcome
    assert codes[-len(FAULTS) :] == [1] * len(FAULTS), said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(FAULTS), lines
    assert all("checkpoint of step 2 can't be written" in line for line in lines), lines
    for run in (folder / " ".join(fault) for fault in FAULTS):
        status = json.loads((run / "run.json").read_text())
        assert status["status"] == "failed" and status["step"] == 2
        assert not list((run / "checkpoints").glob("step-*"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is mapped is read in /proc")
def test_a_resumed_training_keeps_no_file_of_its_checkpoint_open(
    tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows deletes no file that is mapped into memory, and the checkpoint is to be pruned."""
    run, mapped = tmp_path / "run", list[str]()
    iterate_micro_batches = loop.iterate_micro_batches

    def look(*arguments: Any) -> Any:
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped.extend(line.split()[-1] for line in lines if str(run) in line)
        return iterate_micro_batches(*arguments)

    assert run_command("train", *tiny(run)).code == 0
    monkeypatch.setattr(loop, "iterate_micro_batches", look)
    assert run_command("train", "--resume", run, "--train.steps", "6").code == 0
    assert mapped == []
