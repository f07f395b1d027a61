"""Any number of processes gives the same training, and none of them ever waits for one that is gone.

Real processes, each with a limit on its time. What holds but for rounding is checked in float64, where rounding
is nothing. In fp32 one activation that rounding carries over the kink of a ReLU is enough for Adam to make 1e-3 of it
in twenty steps of networks as small as these; so there the kinks are taken out.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from digit_toys import METHODS, assert_close, logged_by, options, write_mnist
from group import Ended, Group, Images, Job, diary, train_in_group
from test_training import assert_same, newest

from unit import checkpoint
from unit.data.toymaps import write_toymaps
from unit.proof.resume import free_port
from unit.signals import ECHO
from unit.training import ANOTHER_IS_GONE

ROOT = Path(__file__).resolve().parent.parent

UNIT: dict[str, list[str]] = {
    "unit": ["--data.jitter", "0.2", "--data.zoom", "1.3", "--discriminator.shared_layers", "1"],
    "unit kl_learned": ["--model.regularizer", "kl_learned"],
    "unit mmd": ["--model.regularizer", "mmd"],
    "unit adversarial": ["--model.regularizer", "adversarial", "--discriminator.spectral_norm", "true",
                         "--discriminator.scales", "2", "--loss.gan_kind", "hinge"],
    "unit 2018": ["--model.encoder_norm", "instance", "--model.generator_norm", "layer", "--model.upsampling", "resize",
                  "--model.up_kernel", "5", "--model.last_kernel", "7", "--model.padding", "reflect",
                  "--model.init", "kaiming", "--model.shared_blocks", "0", "--loss.gan_kind", "lsgan"],
}  # fmt: skip
SOME = ["unit", "unit adversarial", "vae denoising", "aae_semi"]
"""Of each kind of step one."""
SHORT = ["unit kl_learned", "unit mmd", "m1", "m2", "m1m2", "aae informed", "aae_cluster heads", "wae"]
"""Whose steps are like those of some, with something that is drawn or averaged otherwise."""
FP32 = ["unit", "aae informed"]
DATA = {"uneven": (7, 5), "one image": (1, 3), "fewer than a batch": (3, 2)}
"""Images in a and in b."""
WHOLE, ACCUMULATED, TWO, FOUR, TWO_ACCUMULATED = (1, 1), (1, 2), (2, 1), (4, 1), (2, 2)
"""Processes, and the parts in which each takes its share of a batch."""
FAULTY = {
    "bare translator": ("unit", TWO, "the ranks differ"),
    "bare discriminators": ("unit", TWO, "the ranks differ"),
    "bare encoder": ("aae_semi", TWO, "the ranks differ"),
    "two backward passes": ("unit", TWO, "the ranks differ"),
    "local batch size": ("unit", TWO, "the images differ"),
    "latent by rank": ("unit", TWO, "adam-discriminators exp_avg"),
    "augmentation by rank": ("unit", TWO, "discriminators"),
    "digits' noise by rank": ("vae denoising", TWO, "encoder"),
    "undivided loss": ("unit", ACCUMULATED, "adam-discriminators exp_avg"),
}
"""By fault: what is trained with it, by how many, and how it is found."""

LIMIT = 240
"""Seconds for a group that trains many."""

Division = tuple[int, int]
Arguments = Callable[..., list[str]]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """`arguments(name, *more)`: the command line of a training of 20 steps; `data`: which images it has."""
    root = tmp_path_factory.mktemp("data")
    for label, counts in DATA.items():
        write_toymaps(root / label, size=24, train=max(counts), test=1)
        for domain, count in zip("AB", counts, strict=True):
            for path in sorted((root / label / f"train{domain}").iterdir())[count:]:
                path.unlink()
    mnist = write_mnist(root / "mnist")

    def answer(name: str, *more: str, steps: int = 20, data: str = "uneven") -> list[str]:
        keys: dict[str, Any] = {
            "train.steps": steps, "train.log_every": 1, "train.sample_every": 1000, "train.checkpoint_every": 1000,
        }  # fmt: skip
        if name not in UNIT:
            labelled = {"data__labelled_batch": 8} if "data.labelled_batch" in METHODS[name] else {}
            start = options(name, data__root=mnist, train__batch_size=8, **labelled)
        else:
            keys |= {
                "data.root": root / data, "data.size": 16, "model.width": 4, "model.blocks": 2,
                "discriminator.width": 4, "discriminator.layers": 2, "train.batch_size": 4,
                "train.precision": "fp32", "run.tracker": "none",
            }  # fmt: skip
            start = UNIT[name]
        return [*start, *(part for key, value in keys.items() for part in (f"--{key}", str(value))), *more]

    return answer


def assert_same_training(one: Path, other: Path, *, within: float) -> None:
    """Of both the ranks are one after every step; each step's images are the same; and so are the weights and what was
    logged, but for rounding."""
    assert ranks_agree(one) and ranks_agree(other), "the ranks differ"
    assert images_of(one) == images_of(other), "the images differ"
    assert_close(newest(one), newest(other), within=within)
    for mine, theirs in zip(logged_by(one), logged_by(other), strict=True):
        assert theirs == pytest.approx(mine, rel=100 * within, abs=10 * within), "the log differs"


def ranks_agree(run: Path) -> bool:
    steps = diary(diary_of(run))
    assert [*sorted(steps)] == [*range(newest(run).scalars["step"])]
    return all(len({entry.weights for entry in entries}) == 1 for entries in steps.values())


def images_of(run: Path) -> dict[int, Images]:
    """Each step's images by domain and position in the global batch."""
    steps: dict[int, Images] = {}
    for step, entries in diary(diary_of(run)).items():
        together = steps.setdefault(step, {})
        for entry in entries:
            for domain, images in entry.images.items():
                together[domain] = together.get(domain, {}) | images
    return steps


def diary_of(run: Path) -> Path:
    return run.with_name(f"{run.name} diary")


# The same training


def run_of(root: Path, name: str, division: Division) -> Path:
    return root / name / f"{division[0]} × {division[1]}"


def jobs_of(division: Division, names: list[str], arguments: Arguments, root: Path) -> list[Job]:
    """All that is trained in one division."""
    jobs = []

    def add(name: str, command: list[str], *, fault: str = "", double: bool = True) -> None:
        run = run_of(root, name, division)
        more = ["--train.accumulation", str(division[1]), "--run.output", str(run)]
        jobs.append(Job([*command, *more], diary_of(run), fault, double, smooth=not double))

    for name in names:
        add(name, arguments(name))
    for name in SHORT if division in (WHOLE, TWO) else ():
        add(f"short {name}", arguments(name, steps=2))
    for name in FP32 if division != ACCUMULATED else ():
        add(f"fp32 {name}", arguments(name), double=False)
    for fault, (name, faulty, _) in FAULTY.items():
        if division in (WHOLE, faulty):
            add(fault, arguments(name, steps=3), fault="" if division == WHOLE else fault)
    if division in (TWO, FOUR):
        add("unbroken", arguments("unit adversarial", steps=4), double=False)
        add("broken", arguments("unit adversarial", steps=2), double=False)
        add("broken", ["--resume", str(run_of(root, "broken", division)), "--train.steps", "4"], double=False)
    for data in ["one image", "fewer than a batch"] if division != ACCUMULATED else ():
        often = [part for key in ("log", "sample", "checkpoint") for part in (f"--train.{key}_every", "1")]
        add(data, arguments("unit", *often, data=data, steps=3))
    return jobs


def passed_on(root: Path, arguments: Arguments, *, until: int) -> Job:
    """The next stage of one training."""
    run = root / "passed on"
    start = ["--resume", str(run)] if run.exists() else arguments("unit", "--run.output", str(run))
    return Job([*start, "--train.steps", str(until)], diary_of(run), double=True)


def train_divided(names: list[str], divisions: list[Division], arguments: Arguments, root: Path) -> Path:
    """The same trainings in each division, and one that is passed on from 1 process to 2, to 4 and back to 1."""
    for count, until in ((1, 5), (2, 10), (4, 15)):
        jobs = [
            job for division in divisions if division[0] == count for job in jobs_of(division, names, arguments, root)
        ]
        passed = passed_on(root, arguments, until=until)
        train_in_group(count, [*jobs, passed], root / f"group of {count}", limit=LIMIT)
    train_in_group(1, [passed_on(root, arguments, until=20)], root / "the last", limit=LIMIT)
    return root


@pytest.fixture(scope="module")
def some(arguments: Arguments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_divided(SOME, [WHOLE, ACCUMULATED, TWO, FOUR], arguments, tmp_path_factory.mktemp("some"))


@pytest.mark.parametrize("division", [ACCUMULATED, TWO, FOUR], ids=str)
@pytest.mark.parametrize("name", SOME)
def test_any_division_gives_the_same_training(name: str, division: Division, some: Path) -> None:
    assert_same_training(run_of(some, name, WHOLE), run_of(some, name, division), within=1e-10)


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
@pytest.mark.parametrize("name", FP32)
def test_in_fp32_too(name: str, division: Division, some: Path) -> None:
    whole, parts = (run_of(some, f"fp32 {name}", d) for d in (WHOLE, division))
    assert_same_training(whole, parts, within=1e-5)


def test_the_number_of_processes_may_change_at_a_resume(some: Path) -> None:
    steps = diary(diary_of(some / "passed on"))
    assert [len(steps[step]) for step in (0, 5, 10, 15)] == [1, 2, 4, 1]
    assert_same_training(run_of(some, "unit", WHOLE), some / "passed on", within=1e-10)


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
def test_a_resumed_training_ends_bit_for_bit_as_the_unbroken_one(division: Division, some: Path) -> None:
    assert_same(newest(run_of(some, "unbroken", division)), newest(run_of(some, "broken", division)))


@pytest.mark.parametrize("division", [TWO, FOUR], ids=str)
@pytest.mark.parametrize("data", ["one image", "fewer than a batch"])
def test_no_number_of_images_is_too_few_or_uneven(data: str, division: Division, some: Path) -> None:
    """With logging, sampling and saving at each step, which rank 0 does alone."""
    assert_same_training(run_of(some, data, WHOLE), run_of(some, data, division), within=1e-10)
    assert len(list((run_of(some, data, division) / "samples").iterdir())) == 3


@pytest.mark.parametrize("fault", FAULTY)
def test_a_fault_is_found(fault: str, some: Path) -> None:
    """What the tests above find right they find wrong where it is."""
    _, division, found = FAULTY[fault]
    with pytest.raises(AssertionError, match=found):
        assert_same_training(run_of(some, fault, WHOLE), run_of(some, fault, division), within=1e-10)


@pytest.mark.parametrize("name", SHORT)
def test_two_processes_give_the_same_training(name: str, some: Path) -> None:
    assert_same_training(run_of(some, f"short {name}", WHOLE), run_of(some, f"short {name}", TWO), within=1e-10)


@pytest.mark.slow
def test_every_method_in_any_division(arguments: Arguments, tmp_path: Path) -> None:
    names, divisions = [*UNIT, *METHODS], [ACCUMULATED, TWO, TWO_ACCUMULATED, FOUR]
    train_divided(names, [WHOLE, *divisions], arguments, tmp_path)
    for division in divisions:
        for name in names:
            assert_same_training(run_of(tmp_path, name, WHOLE), run_of(tmp_path, name, division), within=1e-10)


# No process waits for one that is gone, and each says so in one line


def endless(arguments: Arguments, run: Path, *more: str, fault: str = "") -> Job:
    often = ["--run.output", str(run), "--train.checkpoint_every", "100000"]
    return Job(arguments("unit", *often, *more, steps=100_000), diary_of(run), fault)


def begun(group: Group) -> None:
    group.until(lambda: "step 2/" in group.said(0))


def test_a_save_that_fails_ends_all(arguments: Arguments, tmp_path: Path) -> None:
    job = endless(arguments, tmp_path / "run", "--train.checkpoint_every", "2", fault="disk full")
    with Group(2, [job], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 1], ended.err
    assert ended.err[0].startswith("error: the checkpoint of step 2 can't be written: [Errno 28]")
    assert ended.err[1] == f"error: {ANOTHER_IS_GONE}\n" and len(ended.err[0].splitlines()) == 1


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_other(victim: int, arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run")], tmp_path / "group") as group:
        begun(group)
        group.processes[victim].kill()
        ended = group.ended()
    assert (ended.codes[victim], ended.codes[1 - victim]) == (-signal.SIGKILL, 1), ended.err
    assert ended.err[1 - victim] == f"error: {ANOTHER_IS_GONE}\n" and ended.err[victim] == ""


def test_a_run_that_is_refused_to_one_is_refused_to_all(
    arguments: Arguments, run_command: Command, tmp_path: Path
) -> None:
    """Rank 0 alone claims a run's folder."""
    run = tmp_path / "run"
    assert run_command("train", *arguments("unit", steps=1), "--run.output", run).code == 0
    descriptor = os.open(run, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    resumed = Job(["--resume", str(run), "--train.steps", "2"], fault="impatient")
    with Group(2, [resumed], tmp_path / "group") as group:
        ended = group.ended()
    os.close(descriptor)
    assert ended.codes == [2, 1] and ended.err[0].startswith("error: run.output: another process is training in")
    assert ended.err[1] == f"error: {ANOTHER_IS_GONE}\n" and len(ended.err[0].splitlines()) == 1


def test_images_that_one_cannot_read_end_all(arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run", fault="no images on rank 1")], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 2], ended.err
    assert ended.err == [f"error: {ANOTHER_IS_GONE}\n", "error: data: no folder\n"]


def test_what_breaks_down_on_one_ends_all_with_the_same_line(arguments: Arguments, tmp_path: Path) -> None:
    job = endless(arguments, tmp_path / "run", fault="not finite on rank 1")
    with Group(2, [job], tmp_path / "group") as group:
        ended = group.ended()
    assert ended.codes == [1, 1], ended.err
    line = (
        "error: the training broke down at step 3: discriminator_a is not a finite number; "
        "the last checkpoint is as it was\n"
    )
    assert ended.err == [line, line]


# What Accelerate's own config asks for


@pytest.mark.parametrize("scheme", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_networks_are_not_divided(
    scheme: str, arguments: Arguments, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate would ignore FSDP on CPUs; on GPUs a checkpoint would hold a part of the weights."""
    monkeypatch.setenv(f"ACCELERATE_USE_{scheme}", "true")
    said = run_command("train", *arguments("unit"), "--run.output", tmp_path / "run")
    assert said.code == 2 and said.err.startswith(f"error: {scheme} would divide the networks")
    assert len(said.err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_accumulation_is_the_configs(
    arguments: Arguments, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate would divide each loss by its own number of parts."""
    for run in (tmp_path / "one", tmp_path / "other"):
        assert run_command("train", *arguments("unit", steps=2), "--run.output", run).code == 0
        monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    assert_close(newest(tmp_path / "one"), newest(tmp_path / "other"), within=1e-12)


# Signals


def assert_stopped(ended: Ended, run: Path, number: signal.Signals) -> None:
    """All after the same step, with one checkpoint of it and one line."""
    assert ended.codes == [128 + number] * len(ended.codes), ended.err
    (saved,) = checkpoint.list_of(run)
    step = checkpoint.step_of(saved)
    line = f"error: stopped by {number.name} after step {step}; --resume {run} goes on from there\n"
    assert ended.err == [line, *[""] * (len(ended.codes) - 1)]
    steps = diary(diary_of(run))
    assert [len(steps[s]) for s in range(step)] == [len(ended.codes)] * step and len(steps) == step
    state = json.loads((run / "run.json").read_text())
    assert (state["status"], state["step"], state["signal"]) == ("interrupted", step, number.name)


@pytest.mark.parametrize("asked", [[0], [1], [0, 1]], ids=str)
def test_a_signal_to_any_process_stops_all_after_the_same_step(
    asked: list[int], arguments: Arguments, tmp_path: Path
) -> None:
    with Group(2, [endless(arguments, tmp_path / "run")], tmp_path / "group") as group:
        begun(group)
        for rank in asked:
            group.signal(rank, signal.SIGTERM)
        assert_stopped(group.ended(), tmp_path / "run", signal.SIGTERM)


def test_a_second_signal_ends_them_at_once(arguments: Arguments, tmp_path: Path) -> None:
    with Group(2, [endless(arguments, tmp_path / "run", fault="stuck in step 3")], tmp_path / "group") as group:
        group.until(lambda: "stuck" in group.said(0) and "stuck" in group.said(1))
        for pause in (ECHO + 0.2, 0):
            for rank in (0, 1):
                group.signal(rank, signal.SIGTERM)
            time.sleep(pause)
        ended = group.ended(5)
    assert ended.codes == [128 + signal.SIGTERM] * 2 and checkpoint.list_of(tmp_path / "run") == []


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_to_the_loaders_too_is_the_trainings_alone(
    number: signal.Signals, count: int, arguments: Arguments, tmp_path: Path
) -> None:
    """As Ctrl-C reaches all that a terminal has started."""
    job = endless(arguments, tmp_path / "run", "--data.cache_gb", "0", "--data.workers", "2")
    with Group(count, [job], tmp_path / "group") as group:
        begun(group)
        assert all(len(children(process.pid)) >= 2 for process in group.processes)
        for rank in range(count):
            group.signal(rank, number, loaders=True)
        assert_stopped(group.ended(), tmp_path / "run", number)
        for rank in range(count):
            with pytest.raises(ProcessLookupError):  # no loader is left behind
                group.signal(rank, signal.SIGCONT, loaders=True)


def children(process: int | None) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:  # it has ended
        return []


# Launchers


def torchrun(machine: int = 0, *, machines: int = 1, port: int) -> list[str]:
    where = ["--nnodes", machines, "--node_rank", machine, "--master_addr", "127.0.0.1", "--master_port", port]
    return ["-m", "torch.distributed.run", "--nproc_per_node", str(2 // machines), *map(str, where)]


def accelerate(machine: int = 0, *, machines: int = 1, port: int) -> list[str]:
    where = ["--num_machines", machines, "--machine_rank", machine, "--main_process_ip", "127.0.0.1",
             "--main_process_port", port]  # fmt: skip
    plain = ["--multi_gpu", "--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return ["-m", "accelerate.commands.launch", *plain, *map(str, where)]


class Launcher:
    """A launcher in a session of its own; it and its children are killed in the end."""

    def __init__(self, launcher: list[str], command: list[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, "train.py", *command],
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
        end = time.monotonic() + 60
        while "step 2/" not in self.said("out"):
            assert time.monotonic() < end and self.process.poll() is None, self.said("err")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("launcher", "machines"),
    [(torchrun, 1)]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in ((torchrun, 2), (accelerate, 1), (accelerate, 2))],
)
def test_the_documented_commands_start_two_processes(
    launcher: Callable[..., list[str]], machines: int, arguments: Arguments, run_command: Command, tmp_path: Path
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
                )
            )
            for machine in range(machines)
        ]
        for machine in launched:
            assert machine.process.wait(90) == 0, machine.said("err")
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
        launched.process.wait(40)
    (saved,) = checkpoint.list_of(run)
    state = json.loads((run / "run.json").read_text())
    assert (state["status"], state["step"]) == ("interrupted", checkpoint.step_of(saved))
    ours = [line for line in launched.said("err").splitlines() if line.startswith("error: ")]
    assert len(ours) == 1 and f"stopped by {number.name}" in ours[0], launched.said("err")
