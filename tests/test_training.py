"""Training end to end on tiny toys: what a run leaves behind, how it goes on, and that it ends the same."""

import json
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from safetensors.torch import load_file

import unit
from unit import checkpoint
from unit.config import Config, OptimConfig, TrainConfig
from unit.data.images import read_image
from unit.optim import schedule

PICKLE = (b"cpickle", b"__reduce__", b"torch._utils", b"\x80\x02", b"\x80\x04\x95")


def newest(run: Path) -> checkpoint.Checkpoint:
    return checkpoint.load(checkpoint.list_of(run)[-1])


def assert_same(one: checkpoint.Checkpoint, other: checkpoint.Checkpoint) -> None:
    """Bit for bit: every tensor, every counter."""
    assert one.scalars == other.scalars
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[name].keys()
        for key, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[name][key]), f"{name} {key}"


@pytest.fixture(scope="module")
def run(tiny: Tiny, run_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 4 steps with TensorBoard."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    said = run_command("train", *tiny(folder, "--run.tracker", "tensorboard"))
    assert said.code == 0, said.err
    first, *lines = said.out.splitlines()
    assert first.startswith("cpu (") and "fp32" in first and "1 process " in first
    assert "6 images in a, 6 in b" in first and "parameters in the translator" in first
    assert [line.split()[:2] for line in lines[:4]] == [["step", f"{n}/4"] for n in (1, 2, 3, 4)]
    assert all("images/s" in line and "left" in line and "cycle" in line for line in lines[:4])
    assert "translate.py --model" in lines[-1]
    return folder


def test_a_run_leaves_all_that_it_should(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "config.yaml", "run.json", "config.json", "model.safetensors", "checkpoints", "samples", "metrics.jsonl",
        "tensorboard",
    }  # fmt: skip
    assert [path.name for path in checkpoint.list_of(run)] == ["step-00000002", "step-00000004"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-00000002.png", "step-00000004.png"]
    grid = read_image(run / "samples" / "step-00000004.png", channels=3)
    assert grid.shape == (3, 4 * 18 - 2, 8 * 18 - 2)  # 4 rows of x_a, x_aa, x_ab, x_aba, x_b, x_bb, x_ba, x_bab
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    terms = {"discriminator_a", "gan_b", "kl_a", "reconstruction_b", "cycle_kl_a", "cycle_b", "lr", "images_per_second"}
    assert all(terms <= line.keys() for line in lines)
    assert list((run / "tensorboard").rglob("events.out.tfevents*"))


def test_no_file_of_a_run_is_a_pickle(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert path.suffix in {".yaml", ".json", ".jsonl", ".safetensors", ".png"} or "tfevents" in path.name
            assert not data.startswith((b"\x80", b"PK")), path
            assert not any(mark in data for mark in PICKLE[:3]), path


def test_the_finished_model_is_the_moving_average(run: Path) -> None:
    stored = load_file(run / "model.safetensors")
    average = newest(run).tensors["average"]
    assert stored.keys() == average.keys()
    assert all(torch.equal(stored[name], average[name]) for name in stored)
    assert any(not torch.equal(stored[name], tensor) for name, tensor in newest(run).tensors["translator"].items())


def test_load_takes_a_model_or_a_run_that_has_not_finished(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_bytes((run / name).read_bytes())
    (tmp_path / "run" / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    last = checkpoint.list_of(run)[-1]
    (tmp_path / "run" / "checkpoints" / last.name).symlink_to(last)
    x = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    expected = unit.load(run).translate(x)
    assert torch.equal(unit.load(tmp_path / "model").translate(x), expected)
    assert torch.equal(unit.load(tmp_path / "run").translate(x), expected)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_resumed_run_ends_bit_for_bit_as_the_unbroken_one(
    run: Path, tiny: Tiny, run_command: Command, tmp_path: Path, elsewhere: bool
) -> None:
    broken, end = tmp_path / "broken", tmp_path / ("other" if elsewhere else "broken")
    assert run_command("train", *tiny(broken, "--train.steps", "2")).code == 0
    more = ["--run.output", str(end)] if elsewhere else []
    said = run_command("train", "--resume", str(broken), "--train.steps", "4", *more)
    assert said.code == 0, said.err
    assert "from step 2" in said.out.splitlines()[0]
    assert_same(newest(run), newest(end))
    lines = [json.loads(line)["step"] for line in (end / "metrics.jsonl").read_text().splitlines()]
    assert lines == ([3, 4] if elsewhere else [1, 2, 3, 4])
    stored = load_file(end / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in load_file(run / "model.safetensors").items())


def test_a_finished_run_resumed_changes_nothing(run: Path, run_command: Command) -> None:
    before = newest(run)
    assert run_command("train", "--resume", str(run)).code == 0
    assert_same(newest(run), before)


def test_another_seed_is_another_training(run: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "other", "--run.seed", "1")).code == 0
    one, other = newest(run).tensors["translator"], newest(tmp_path / "other").tensors["translator"]
    assert not any(torch.equal(one[name], other[name]) for name in one if one[name].ndim > 1)


def test_accumulation_gives_the_same_training(run: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "parts", "--train.accumulation", "2")).code == 0
    one, other = newest(run).tensors, newest(tmp_path / "parts").tensors
    for name in ("translator", "discriminators"):
        whole = torch.cat([tensor.flatten() for tensor in one[name].values()])
        parts = torch.cat([other[name][key].flatten() for key in one[name]])
        assert (whole - parts).norm() / whole.norm() < 1e-5


def test_images_read_at_each_use_give_the_same_training(
    run: Path, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    said = run_command("train", *tiny(tmp_path / "lazy", "--data.cache_gb", "0", "--data.workers", "0"))
    assert said.code == 0, said.err
    assert_same(newest(run), newest(tmp_path / "lazy"))


def test_every_variant_trains(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    variants = {
        "2018": ["--model.encoder_norm", "instance", "--model.generator_norm", "layer", "--model.upsampling", "resize",
                 "--model.up_kernel", "5", "--model.last_kernel", "7", "--model.padding", "reflect",
                 "--model.init", "kaiming", "--model.shared_blocks", "0", "--loss.gan_kind", "lsgan"],
        "spectral": ["--discriminator.spectral_norm", "true", "--discriminator.shared_layers", "3",
                     "--discriminator.scales", "2", "--loss.gan_kind", "hinge", "--model.shared_blocks", "2"],
        "bare": ["--model.regularizer", "none", "--optim.ema", "0", "--loss.cycle", "0", "--data.channels", "1",
                 "--data.jitter", "0.3", "--data.zoom", "1.5"],
        "no gan": ["--loss.gan", "0", "--optim.schedule", "cosine"],
        "bf16": ["--train.precision", "bf16"],
    }  # fmt: skip
    for name, options in variants.items():
        said = run_command("train", *tiny(tmp_path / name, *options, "--train.steps", "2"))
        assert said.code == 0, (name, said.err)


@pytest.mark.parametrize(
    ("optim", "steps", "factors"),
    [
        (OptimConfig(schedule="constant"), 8, {0: 1, 7: 1}),
        (OptimConfig(schedule="linear", decay_start=4), 8, {0: 1, 4: 1, 5: 0.75, 6: 0.5, 8: 0}),
        (OptimConfig(schedule="step", step_every=3, step_factor=0.5), 8, {0: 1, 2: 1, 3: 0.5, 6: 0.25}),
        (OptimConfig(schedule="cosine"), 8, {0: 1, 4: 0.5, 8: 0}),
    ],
)
def test_schedules_by_hand(optim: OptimConfig, steps: int, factors: dict[int, float]) -> None:
    factor = schedule(Config(optim=optim, train=TrainConfig(steps=steps)))
    assert {step: pytest.approx(value) for step, value in factors.items()} == {step: factor(step) for step in factors}


def test_the_learning_rate_that_is_logged_is_the_schedules(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "r", "--optim.schedule", "linear", "--optim.lr", "0.1")).code == 0
    lines = [json.loads(line)["lr"] for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert lines == pytest.approx([0.1, 0.075, 0.05, 0.025])
