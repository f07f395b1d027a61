"""On a GPU: the same step, the same resume and the same translations as on a CPU.

Each test runs on the CPU too, where it compares precisions and layouts, so that it is not first tried on a GPU; what is
only true of a GPU is marked so. Weights and losses are those of UNIT's small networks.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from conftest import Command, Tiny
from torch import Tensor
from unit_toys import DISCRIMINATOR, MODEL, UNIT2018, batch_of, descend, method_of

import unit
from unit import draws
from unit.config import OptimConfig
from unit.data.two_domains import TranslationBatch
from unit.methods.translation import DiscriminatorConfig
from unit.methods.unit import Unit
from unit.proof.resume import compare
from unit.training.optim import adam, moving_average
from unit.training.step import training_step

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
MODELS = {
    "paper": (MODEL, DISCRIMINATOR),
    "unit2018": (UNIT2018, DiscriminatorConfig(width=2, layers=2, kernel=4, slope=0.2, scales=2)),
}


@pytest.fixture(autouse=True)
def precise() -> Iterator[None]:
    """fp32 is fp32, not tf32, within a test."""
    before = torch.backends.cudnn.allow_tf32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has two ways to say it, and warns of the one that all versions have
        torch.backends.cudnn.allow_tf32 = False
        yield
        torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(autouse=True)
def same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are the CPU's on every device, whose own generators give other numbers."""
    normals = draws.normals

    def on_the_cpu(shape: tuple[int, ...], *key: draws.Key, positions: range, device: torch.device) -> Tensor:
        return normals(shape, *key, positions=positions, device=torch.device("cpu")).to(device)

    monkeypatch.setattr(draws, "normals", on_the_cpu)


class Taken(NamedTuple):
    """What a step gave: the losses' terms by name, and each network's gradients, flat, in float64 on the CPU."""

    terms: dict[str, float]
    gradients: dict[str, Tensor]


def moved(method: Unit, device: str, dtype: torch.dtype, layout: torch.memory_format) -> Unit:
    for network in method.networks.values():
        network.to(device=device, dtype=dtype).to(memory_format=layout)
    method.to(torch.device(device))
    return method


def step_of(
    name: str,
    device: str,
    dtype: torch.dtype,
    layout: torch.memory_format = torch.contiguous_format,
    *,
    autocast: bool = False,
) -> Taken:
    """One step of D and one of E and G on two images a domain."""
    model, discriminator = MODELS[name]
    method = method_of(model=model, discriminator=discriminator)
    moved(method, device, dtype, layout)
    batch = batch_of(2)
    x_a, x_b = (x.to(device, dtype).contiguous(memory_format=layout) for x in (batch.x_a, batch.x_b))
    batch = TranslationBatch(x_a, x_b, batch.step, batch.positions, batch.seed)
    taken = Taken({}, {})
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        phases = method.phases(method.networks, batch, recompute=False)
        for phase in phases:
            with torch.autocast(device, enabled=False):
                phase.loss.backward()
            network = method.networks[phase.optimizer]
            gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
            taken.gradients[phase.optimizer] = torch.cat(gradients).double().cpu()
            taken.terms.update({key: float(value) for key, value in phase.terms.items()})
            descend(network)
    return taken


def assert_near(one: Taken, other: Taken, *, terms: float, gradients: float, of: str = "") -> None:
    """Every term within that share of itself, and the gradient of every network (or of that one) of its norm."""
    assert one.terms.keys() == other.terms.keys() and one.gradients.keys() == other.gradients.keys()
    for name, value in one.terms.items():
        assert value == pytest.approx(other.terms[name], rel=terms, abs=terms), name
    for name in [of] if of else one.gradients:
        expected = other.gradients[name]
        assert (one.gradients[name] - expected).norm() <= gradients * expected.norm(), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_a_step_in_float64_is_the_cpus_in_any_layout(name: str, layout: torch.memory_format, device: str) -> None:
    taken = step_of(name, device, torch.float64, layout)
    assert_near(taken, step_of(name, "cpu", torch.float64), terms=1e-9, gradients=1e-8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_in_float32_is_near_that_in_float64(name: str, device: str) -> None:
    """A sign of a ReLU or an L1 that rounding turns over changes a gradient by more than rounding does. TF32, which
    torch lets a GPU's convolutions take for fp32, has 10 bits (2.8 % off on an H100): it is turned off."""
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        taken = step_of(name, device, torch.float32, layout)
    assert_near(taken, step_of(name, "cpu", torch.float64), terms=1e-3, gradients=0.02)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_under_autocast_is_near_that_in_float64(name: str, device: str) -> None:
    """bf16 has 8 bits: at two channels the translator's gradient, through some twenty norms, is another."""
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    taken = step_of(name, device, torch.float32, layout, autocast=True)
    assert_near(taken, step_of(name, "cpu", torch.float64), terms=0.1, gradients=0.15, of="discriminators")


def trained(tiny: Tiny, run_command: Command, run: Path, *more: str) -> Path:
    said = run_command("train", *tiny(run, "--train.deterministic", "true", *more))
    assert said.code == 0, said.err
    return run


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`only("cpu")`: trainings take place there; deterministic algorithms are left as they were."""

    def on(device: str) -> None:
        monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
        if device == "cpu":
            monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
        else:
            monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)

    yield on
    torch.use_deterministic_algorithms(False)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "fp32"), *(pytest.param("cuda", name, marks=pytest.mark.cuda) for name in ("fp32", "bf16"))],
)
def test_a_resumed_training_is_the_unbroken_one_bit_for_bit(
    device: str,
    precision: str,
    only: Callable[[str], None],
    tiny: Tiny,
    run_command: Command,
    tmp_path: Path,
) -> None:
    only(device)
    options = ("--train.precision", precision, "--data.jitter", "0.3")
    whole = trained(tiny, run_command, tmp_path / "whole", *options)
    run = trained(tiny, run_command, tmp_path / "run", *options, "--train.steps", "2")
    assert trained(tiny, run_command, run, *options, "--resume", str(run)) == run
    assert compare(whole, run)[0] == []


@pytest.mark.parametrize("device", DEVICES)
def test_translations_are_the_cpus_within_a_level(device: str, translator_run: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3), dtype=np.uint8)
    for direction in ("a2b", "b2a"):
        expected = unit.load(translator_run, device="cpu")(image, direction).astype(int)
        translated = unit.load(translator_run, device=device)(image, direction)
        assert np.abs(translated.astype(int) - expected).max() <= 1


def small_training(device: torch.device) -> Callable[[int], None]:
    """`step(n)` takes step number n, as the loop does, of a training in memory."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="bf16")
    method = moved(method_of(), device.type, torch.float32, torch.channels_last)
    average = moving_average(method.model, 0.999)
    wrapped = {name: accelerator.prepare(network) for name, network in method.networks.items()}
    optimizers = {name: adam([network], OptimConfig(), device) for name, network in method.networks.items()}
    x_a, x_b = (x.float().to(device) for x in (batch_of(2).x_a, batch_of(2).x_b))

    def step(number: int) -> None:
        batch = TranslationBatch(x_a, x_b, number, range(2), 0)
        for _ in training_step(method, wrapped, [batch], accelerator, optimizers):
            pass
        assert average is not None
        average.update_parameters(method.model)

    return step


@pytest.mark.parametrize("device", DEVICES)
def test_a_steps_memory_does_not_grow(device: str) -> None:
    step = small_training(torch.device(device))
    seen: list[tuple[int, int]] = []
    for number in range(8):
        step(number)
        if device == "cuda":
            seen.append((torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()))
    if device == "cuda":
        assert seen[7][0] <= seen[3][0] and seen[7][1] <= 1.02 * seen[3][1], seen
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("device", DEVICES)
def test_a_training_from_end_to_end(
    device: str, only: Callable[[str], None], tiny: Tiny, toys: Path, run_command: Command, tmp_path: Path
) -> None:
    only(device)
    run = tmp_path / "run"
    said = run_command("train", *tiny(run, "--train.precision", "auto"))
    assert said.code == 0 and said.out.startswith(f"{device} ("), said.err
    if device == "cuda":
        assert "bf16 (native on this GPU)" in said.out
    said = run_command("main", "evaluate", "--model", run, "--metrics", "round_trip", "--data.root", toys)
    assert said.code == 0 and (run / "evaluation.json").is_file(), said.err


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of what it does itself
def test_a_compiled_training(only: Callable[[str], None], tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    only("cuda")
    said = run_command("train", *tiny(tmp_path / "run", "--train.compile", "true"))
    assert said.code == 0, said.err
