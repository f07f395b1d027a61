"""What several test files share: one thread, toy maps, and the smallest training there is.

Torch and what imports it are imported inside: pytest-xdist's own process reads this file too, and runs no test.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in processes that tests start
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, at the first product on a GPU

import importlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `cuda` are skipped where there is no GPU."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")


LONGEST = [
    "training/test_divisions.py", "training/test_exact_resume.py", "proof/test_prove_resume.py",
    "training/test_save_faults.py", "methods/test_autoencoder_runs.py", "training/test_validation.py",
    "methods/test_own_images.py", "training/test_kills.py", "training/test_process_ends.py", "test_portability.py",
    "training/test_limits.py", "training/test_training.py", "training/test_launchers.py", "test_wheel.py",
    "cli/test_time_and_memory.py", "training/test_run_life.py", "training/test_run_claims.py",
]  # fmt: skip
"""The files that take longest, longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that in the end no process works on one of them alone; each process
    takes whole files (`--dist loadfile`), whose tests share trainings."""
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


class Said(NamedTuple):
    """What a command answered: its exit code, and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]
Tiny = Callable[..., list[str]]


@pytest.fixture(scope="session", autouse=True)
def flush() -> Iterator[Callable[[Path], None]]:
    """What must reach the disk, and when, is tested with `flushing`; elsewhere it takes as long as the training."""
    from unit import weights

    with pytest.MonkeyPatch.context() as patch:
        real = weights.flush
        patch.setattr(weights, "flush", lambda path: None)
        yield real


@pytest.fixture
def flushing(flush: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is flushed to the disk, as outside of tests."""
    monkeypatch.setattr("unit.weights.flush", flush)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: trainA and trainB with 6 images each, testA and testB with 3; 24 × 24 pixels."""
    from unit.data.toymaps import write_toymaps

    root = tmp_path_factory.mktemp("data") / "toys"
    write_toymaps(root, size=24, train=6, test=3)
    return root


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with the same towns in trainA and trainB."""
    from unit.data.toymaps import write_toymaps

    root = tmp_path_factory.mktemp("data") / "pairs"
    write_toymaps(root, size=24, train=6, test=3, paired=True)
    return root


@pytest.fixture(scope="session")
def tiny(toys: Path) -> Tiny:
    """`tiny(output, *more)`: the arguments of a training of 4 steps that takes well under a second."""

    def arguments(output: Path, *more: str) -> list[str]:
        smallest = {
            "data.root": toys, "data.size": 16, "model.width": 4, "model.blocks": 2, "discriminator.width": 4,
            "discriminator.layers": 2, "train.steps": 4, "train.batch_size": 2, "train.log_every": 1,
            "train.sample_every": 2, "train.checkpoint_every": 2, "train.precision": "fp32", "run.tracker": "none",
            "run.output": output,
        }  # fmt: skip
        return [part for key, value in smallest.items() for part in (f"--{key}", str(value))] + list(more)

    return arguments


@pytest.fixture(scope="session")
def run_command() -> Command:
    """`run_command("train", *arguments)` calls that command line in this process; "main" is the command `unit`, whose
    first argument is the subcommand."""
    from accelerate.state import AcceleratorState

    def answer(name: str, *arguments: str | Path) -> Said:
        command = getattr(importlib.import_module(f"unit.cli.{name}"), name)
        AcceleratorState._reset_state(reset_partial_state=True)  # as in a fresh process
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = command([str(argument) for argument in arguments])
            except SystemExit as end:  # argparse's --help and usage errors
                code = end.code if isinstance(end.code, int) else 1
        return Said(code, out.getvalue(), err.getvalue())

    return answer


@pytest.fixture(scope="session")
def translator_run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of UNIT's, of one step."""
    folder = tmp_path_factory.mktemp("translator") / "run"
    assert run_command("train", *tiny(folder, "--train.steps", "1")).code == 0
    return folder
