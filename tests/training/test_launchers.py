"""The documented launchers start processes that train together, or say why they can't."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from conftest import Command, Tiny
from digit_toys import assert_close
from divided import Arguments, arguments_below, children, endless
from group import Group, Job
from run_files import newest, saved_steps, status_of
from waiting import HANGS, wait_for

from unit.proof.resume import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    return arguments_below(tmp_path_factory.mktemp("data"))


def torchrun(machine: int = 0, *, machines: int = 1, port: int) -> list[str]:
    where = ["--nnodes", machines, "--node_rank", machine, "--master_addr", "127.0.0.1", "--master_port", port]
    return ["-m", "torch.distributed.run", "--nproc_per_node", str(2 // machines), *map(str, where)]


def accelerate(machine: int = 0, *, machines: int = 1, port: int) -> list[str]:
    where = ["--num_machines", machines, "--machine_rank", machine, "--main_process_ip", "127.0.0.1",
             "--main_process_port", port]  # fmt: skip
    plain = ["--multi_gpu", "--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return ["-m", "accelerate.commands.launch", *plain, *map(str, where)]


FACE, MODULE = ("train.py",), ("-m", "unit.cli.train")
"""What is launched."""


class Launcher:
    """A launcher in a session of its own; it and its children are killed in the end."""

    def __init__(
        self, launcher: list[str], command: list[str], folder: Path, *, program: tuple[str, ...] = FACE
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, *program, *command],
                cwd=ROOT,
                env=os.environ | {"ACCELERATE_USE_CPU": "true"},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *error: object) -> None:
        for child in children(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def said(self, stream: str) -> str:
        return (self.folder / stream).read_text()

    def begun(self) -> None:
        """Wait for step 2."""
        wait_for(
            lambda: "step 2/" in self.said("out"),
            over=lambda: self.process.poll() is not None,
            said=lambda: self.said("err"),
        )


@pytest.mark.parametrize(
    ("launcher", "machines", "program"),
    [(torchrun, 1, FACE)]
    + [
        pytest.param(*case, marks=pytest.mark.slow)
        for case in ((torchrun, 2, FACE), (accelerate, 1, FACE), (accelerate, 1, MODULE), (accelerate, 2, FACE))
    ],
)
def test_the_documented_commands_start_two_processes(
    launcher: Callable[..., list[str]],
    machines: int,
    program: tuple[str, ...],
    arguments: Arguments,
    run_command: Command,
    tmp_path: Path,
) -> None:
    """Which train as one does; also on two machines, each with its launcher, which here are one."""
    command, port = arguments("unit", steps=2), free_port()
    with ExitStack() as stack:
        launched = [
            stack.enter_context(
                Launcher(
                    launcher(machine, machines=machines, port=port),
                    [*command, "--run.output", str(tmp_path / "two")],
                    tmp_path / f"machine {machine}",
                    program=program,
                )
            )
            for machine in range(machines)
        ]
        for machine in launched:
            assert machine.process.wait(HANGS) == 0, machine.said("err")
    first, *lines = launched[0].said("out").splitlines()
    assert "  2 processes  " in first and lines[-1].startswith("finished")
    assert not any(machine.said("out") for machine in launched[1:])
    assert run_command("train", *command, "--run.output", tmp_path / "one").code == 0
    assert_close(newest(tmp_path / "one"), newest(tmp_path / "two"))


@pytest.mark.slow
@pytest.mark.parametrize("everyone", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
@pytest.mark.parametrize("launcher", [torchrun, accelerate])
def test_a_signal_to_the_launcher_stops_all_with_a_checkpoint(
    launcher: Callable[..., list[str]], number: signal.Signals, everyone: bool, arguments: Arguments, tmp_path: Path
) -> None:
    """Or to every process, as a scheduler sends it."""
    run = tmp_path / "run"
    with Launcher(launcher(port=free_port()), endless(arguments, run).arguments, tmp_path / "said") as launched:
        launched.begun()
        processes = [launched.process.pid, *(children(launched.process.pid) if everyone else [])]
        for process in processes:
            os.kill(process, number)
        launched.process.wait(HANGS)
    (step,) = saved_steps(run)
    status = status_of(run)
    assert (status["status"], status["step"]) == ("interrupted", step)
    ours = [line for line in launched.said("err").splitlines() if line.startswith("error: ")]
    assert len(ours) == 1 and f"stopped by {number.name}" in ours[0], launched.said("err")


def test_two_launched_processes_are_never_two_trainings(tiny: Tiny, tmp_path: Path) -> None:
    """As torchrun starts them without GPUs, and with nothing set for Accelerate: one training, or a refusal."""
    job = Job(tiny(tmp_path / "run", "--train.steps", "2"), fault="nothing set for Accelerate")
    with Group(2, [job], tmp_path / "group") as group:
        ended = group.ended()
    firsts = [line for said in ended.out for line in said.splitlines() if line.startswith(("cpu (", "cuda ("))]
    assert not any("1 process " in line for line in firsts), firsts
    assert len(firsts) == 1 or 0 not in ended.codes, ended
    assert "Warning" not in "".join(ended.err)
