"""--init: a new run begins with another's weights, as far as they fit; optimizers and steps are its own."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from digit_toys import options, write_mnist
from run_files import newest, refused
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
    assert said.code == 0 and "begun anew" not in said.out
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
    more = ("--init", str(source), "--model.blocks", "3", "--discriminator.layers", "1")
    said = run_command("train", *tiny(tmp_path / "next", *more))
    (line,) = [line for line in said.out.splitlines() if "begun anew" in line]
    assert said.code == 0 and line.startswith(f"--init {source}: ")
    assert "of the model" in line and "the first: a." in line and "; of the discriminators" in line


def test_a_plain_model_gives_its_weights_and_says_what_it_has_not(
    source: Path, tiny: Tiny, run_command: Command, tmp_path: Path, begins_with: dict
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, plain)
    said = run_command("train", *tiny(tmp_path / "next", "--init", str(plain)))
    assert said.code == 0
    assert f"--init {plain}: not taken but begun anew: the discriminators (not there)" in said.out.splitlines()
    theirs = load_file(plain / "model.safetensors")
    assert all(torch.equal(begins_with["model"][name], tensor) for name, tensor in theirs.items())


def test_fine_tuning_takes_the_weights_to_other_data(
    source: Path, tiny: Tiny, pairs: Path, run_command: Command, tmp_path: Path, begins_with: dict
) -> None:
    """New data, new optimizers, step 0; the source stays as it was."""
    before = {path: path.read_bytes() for path in source.rglob("*.safetensors")}
    more = ("--init", str(source), "--data.root", str(pairs), "--optim.lr", "1e-5")
    said = run_command("train", *tiny(tmp_path / "next", *more))
    assert said.code == 0 and "begun anew" not in said.out
    theirs, ours = (newest(run) for run in (source, tmp_path / "next"))
    assert ours.scalars["step"] == 4 and ours.scalars["data"] != theirs.scalars["data"]
    average = theirs.tensors["average"]
    assert all(torch.equal(begins_with["model"][name], tensor) for name, tensor in average.items())
    assert {path: path.read_bytes() for path in source.rglob("*.safetensors")} == before


def test_weights_of_another_kind_of_model_are_refused(source: Path, run_command: Command, tmp_path: Path) -> None:
    digits = options("vae", data__root=write_mnist(tmp_path / "mnist"), run__output=tmp_path / "next")
    refused(
        run_command("train", *digits, "--init", source),
        "none of its weights fits",
        "a model unit, where autoencoder is trained",
    )


def test_a_resumed_run_does_not_begin_again(source: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    refused(run_command("train", "--resume", source, "--init", source), "--init begins a run of its own")
    refused(run_command("train", *tiny(tmp_path / "next", "--init", str(tmp_path / "nothing"))), "no model")
