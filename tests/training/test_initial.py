"""--init: a new run begins with another's weights, as far as they fit; optimizers and steps are its own."""

from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from run_files import refused
from safetensors.torch import load_file

from unit.training import loop


@pytest.fixture
def source(tiny: Tiny, run_command: Command, tmp_path: Path) -> Path:
    run = tmp_path / "source"
    assert run_command("train", *tiny(run, "--run.seed", "3")).code == 0
    return run


@pytest.fixture
def begins_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """What the networks of the next training begin with."""
    seen: dict[str, dict[str, torch.Tensor]] = {}
    real = loop.moving_average

    def spy(network: torch.nn.Module, decay: float) -> object:
        seen["model"] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return real(network, decay)

    monkeypatch.setattr(loop, "moving_average", spy)
    return seen


@pytest.mark.parametrize("part", ["", "checkpoints/step-00000004"])
def test_a_run_begins_with_the_moving_average_of_another(
    source: Path, part: str, tiny: Tiny, run_command: Command, tmp_path: Path, begins_with: dict
) -> None:
    said = run_command("train", *tiny(tmp_path / "next", "--init", str(source / part)))
    assert said.code == 0 and "don't fit" not in said.out
    average = load_file(source / "checkpoints" / "step-00000004" / "average.safetensors")
    assert all(torch.equal(begins_with["model"][name], tensor) for name, tensor in average.items())


def test_the_discriminators_come_along_from_a_run(
    source: Path, tiny: Tiny, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}
    real = loop.take_weights

    def spy(method, folder):  # type: ignore[no-untyped-def]
        lines = real(method, folder)
        seen.update({name: tensor.clone() for name, tensor in method.discriminators.state_dict().items()})
        return lines

    monkeypatch.setattr(loop, "take_weights", spy)
    assert run_command("train", *tiny(tmp_path / "next", "--init", str(source))).code == 0
    theirs = load_file(source / "checkpoints" / "step-00000004" / "discriminators.safetensors")
    assert all(torch.equal(seen[name], tensor) for name, tensor in theirs.items())


def test_what_does_not_fit_is_named_in_one_line(source: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    said = run_command("train", *tiny(tmp_path / "next", "--init", str(source), "--model.blocks", "3"))
    lines = [line for line in said.out.splitlines() if "don't fit" in line]
    assert said.code == 0 and len(lines) == 1 and "the first: a." in lines[0]


def test_a_resumed_run_does_not_begin_again(source: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    refused(run_command("train", "--resume", source, "--init", source), "--init begins a run of its own")
    refused(run_command("train", *tiny(tmp_path / "next", "--init", str(tmp_path / "nothing"))), "no model")
