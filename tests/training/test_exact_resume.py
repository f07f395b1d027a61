"""Exact resume, of every method: killed anywhere in a step and resumed, a training ends bit for bit as the unbroken
one; and each fault that a resume can have, planted, shows.

A kill is an exception here that nothing catches and that lets nothing be written. Real SIGKILLs are in test_proof.py.
"""

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from adaptation_toys import write_classes
from conftest import Command, Tiny
from digit_toys import METHODS, options, write_mnist
from run_files import Killed, contents, saved_steps
from sibling_toys import ADAPTED, SIBLINGS, sibling_options

from unit import draws, weights
from unit.data.batches import Shard
from unit.proof.resume import compare
from unit.training import checkpoint, loop
from unit.training.optim import lr_factor, moving_average
from unit.training.state import TrainingState

UNIT = {
    "unit": ["--data.zoom", "1.5", "--data.jitter", "0.5", "--discriminator.spectral_norm", "true",
             "--discriminator.standardize", "true"],
    "unit kl_learned": ["--model.regularizer", "kl_learned"],
    "unit mmd": ["--model.regularizer", "mmd"],
    "unit adversarial": ["--model.regularizer", "adversarial"],
    "unit without average": ["--optim.ema", "0"],
    "unit accumulated": ["--train.batch_size", "4", "--train.accumulation", "2"],
}  # fmt: skip
Arguments = Callable[..., list[str]]
Unbroken = Callable[[str], tuple[Path, int]]
KilledRun = Callable[[str], Path]


@pytest.fixture(scope="module")
def arguments(tiny: Tiny, toys: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """`arguments(name, output)`: a training of 4 steps with a checkpoint at 2 and at 4."""
    mnist = write_mnist(tmp_path_factory.mktemp("digits") / "mnist")
    classes = write_classes(tmp_path_factory.mktemp("classes"))

    def of(name: str, output: Path) -> list[str]:
        schedule = ["--optim.schedule", "cosine", "--optim.warmup", "1"]
        if name in UNIT:
            return [*tiny(output, *UNIT[name]), *schedule]
        if name in ADAPTED:
            return [*sibling_options(name, classes, run__output=output), *schedule]
        if name.removesuffix(" accumulated") in SIBLINGS:
            more = {"train__accumulation": 2} if name.endswith("accumulated") else {}
            data = pairs if name.startswith("pix2pix") else toys
            return [*sibling_options(name.removesuffix(" accumulated"), data, run__output=output, **more), *schedule]
        return [*options(name, data__root=mnist, run__output=output), *schedule]

    return of


def kill_after(monkeypatch: pytest.MonkeyPatch, *, step: int, phase: int) -> list[int]:
    """Kill in the step of this number, after so many of its optimizer steps; returns the optimizer steps of each
    training step."""
    training_step, taken = loop.training_step, list[int]()

    def step_and_die(*arguments: Any, **named: Any) -> Iterator[Any]:
        taken.append(0)
        for phases in training_step(*arguments, **named):
            taken[-1] += 1
            yield phases
            if len(taken) == step and taken[-1] == phase:
                raise Killed

    monkeypatch.setattr(loop, "training_step", step_and_die)
    return taken


@pytest.fixture(scope="module")
def unbroken(arguments: Arguments, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """`unbroken(name)`: the run that nobody kills, and how many optimizer steps a step of it has. Tests read it."""

    @functools.cache
    def of(name: str) -> tuple[Path, int]:
        run = tmp_path_factory.mktemp("unbroken") / "run"
        with pytest.MonkeyPatch.context() as patch:
            taken = kill_after(patch, step=0, phase=0)
            assert run_command("train", *arguments(name, run)).code == 0
        assert len(set(taken)) == 1
        return run, taken[0]

    return of


@pytest.fixture(scope="module")
def killed(arguments: Arguments, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> KilledRun:
    """`killed(name)`: the run killed in step 3 after its first optimizer step. Tests read it, or copy it."""

    @functools.cache
    def of(name: str) -> Path:
        run = tmp_path_factory.mktemp("killed") / "run"
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, step=3, phase=1)
            with pytest.raises(Killed):
                run_command("train", *arguments(name, run))
        return run

    return of


@pytest.mark.parametrize("name", [*UNIT, *SIBLINGS, *ADAPTED, "unit mixed accumulated", *METHODS])
def test_killed_between_any_two_optimizer_steps_it_ends_as_the_unbroken_one(
    name: str,
    arguments: Arguments,
    unbroken: Unbroken,
    run_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed in step 3 after its first optimizer step; then in step 3 or 4 after the next; and so on, until it ends."""
    run, (whole, taken) = tmp_path / "run", unbroken(name)
    again = [*arguments(name, run), "--resume", "auto"]
    for phase in range(1, taken + 1):
        with monkeypatch.context() as patch:
            kill_after(patch, step=3 if phase == 1 else 2 - phase % 2, phase=phase)  # counted from where it goes on
            with pytest.raises(Killed):
                run_command("train", *again)
        assert saved_steps(run) == [2]
    said = run_command("train", *again)
    assert said.code == 0 and said.out.splitlines()[0].endswith("from step 2")
    assert compare(whole, run) == ([], compare(whole, whole)[1])


@pytest.mark.parametrize("name", ["unit", "cyclegan", "aae_semi"])
def test_it_may_go_on_in_another_folder(
    name: str, unbroken: Unbroken, killed: KilledRun, run_command: Command, tmp_path: Path
) -> None:
    before = contents(killed(name))
    assert run_command("train", "--resume", killed(name), "--run.output", tmp_path / "run").code == 0
    found = compare(unbroken(name)[0], tmp_path / "run")[0]
    assert found == ["samples/step-00000002.png", "metrics.jsonl"]  # which it has from step 3 on
    assert contents(killed(name)) == before


# Planted faults: the comparison above must find each.


def moments_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checkpoint, "fill_optimizer", lambda *arguments: None)


def one_moment_dropped(patch: pytest.MonkeyPatch) -> None:
    fill = checkpoint.fill_optimizer

    def forgetful(optimizer: Any, tensors: dict[str, torch.Tensor]) -> None:
        first = next(key for key in tensors if key.endswith("exp_avg_sq"))
        fill(optimizer, tensors | {first: torch.zeros_like(tensors[first])})

    patch.setattr(checkpoint, "fill_optimizer", forgetful)


def average_restarted(patch: pytest.MonkeyPatch) -> None:
    restore = TrainingState.restore

    def forgetful(self: TrainingState, folder: Path) -> None:
        restore(self, folder)
        assert self.average is not None
        self.average = moving_average(self.average.module, 0.999)

    patch.setattr(TrainingState, "restore", forgetful)


def schedule_restarted(patch: pytest.MonkeyPatch) -> None:
    since = itertools.count()
    patch.setattr(loop, "lr_factor", lambda config, step: lr_factor(config, next(since)))


def order_restarted(patch: pytest.MonkeyPatch) -> None:
    iterate_micro_batches = loop.iterate_micro_batches

    def from_the_start(batches: Any, config: Any, device: Any, start: int) -> Iterator[Any]:
        return itertools.islice(iterate_micro_batches(batches, config, device, 0), config.train.steps - start)

    patch.setattr(loop, "iterate_micro_batches", from_the_start)


def order_from_the_global_generator(patch: pytest.MonkeyPatch) -> None:
    def indices(self: Shard, count: int, domain: str, step: int, positions: range) -> list[int]:
        return torch.randint(count, (len(positions),)).tolist()

    patch.setattr(Shard, "indices", indices)


def noise_from_the_global_generator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(draws, "generator", lambda *key, device="cpu": torch.default_generator)


def pool_emptied(patch: pytest.MonkeyPatch) -> None:
    restore = TrainingState.restore

    def forgetful(self: TrainingState, folder: Path) -> None:
        restore(self, folder)
        for images in self.method.state.buffers():
            images.zero_()

    patch.setattr(TrainingState, "restore", forgetful)


def weight_off_by_one_bit(patch: pytest.MonkeyPatch) -> None:
    fill = weights.fill

    def clumsy(module: torch.nn.Module, tensors: Any, source: Path) -> None:
        fill(module, tensors, source)
        first = next(module.parameters())
        with torch.no_grad():
            first.view(-1)[0] = torch.nextafter(first.view(-1)[0], torch.tensor(torch.inf))

    patch.setattr(weights, "fill", clumsy)


FAULTS = [
    moments_dropped, one_moment_dropped, average_restarted, schedule_restarted, order_restarted,
    order_from_the_global_generator, noise_from_the_global_generator, weight_off_by_one_bit,
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fault"),
    [*itertools.product(["unit", "vae", "aae_semi"], FAULTS), ("cyclegan", pool_emptied)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_fault_planted_in_a_resume_shows(
    name: str,
    fault: Callable[[pytest.MonkeyPatch], None],
    arguments: Arguments,
    unbroken: Unbroken,
    killed: KilledRun,
    run_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A draw at fault has its way in the unbroken training too; the rest only in the resumed one."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    if "global_generator" in fault.__name__:
        with monkeypatch.context() as patch:
            fault(patch)
            assert run_command("train", *arguments(name, whole)).code == 0
            kill_after(patch, step=3, phase=1)
            with pytest.raises(Killed):
                run_command("train", *arguments(name, run))
    else:
        whole, run = unbroken(name)[0], Path(shutil.copytree(killed(name), run))
    with monkeypatch.context() as patch:
        fault(patch)
        assert run_command("train", "--resume", run).code == 0
    found = compare(whole, run)[0]
    assert any("tensors" in difference or "counters" in difference for difference in found), found
