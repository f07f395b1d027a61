"""Training end to end on tiny toys: what a run leaves behind, how it goes on, and that it ends the same."""

import io
import json
import pickletools
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Command, Tiny
from mutations import pickles
from run_files import assert_same, newest, saved_steps
from safetensors.torch import load_file

import unit
from unit import weights
from unit.config import Config, OptimConfig, TrainConfig
from unit.data.decoding import read_image
from unit.training import checkpoint
from unit.training.optim import lr_factor


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
    assert f"unit translate --model {folder}" in lines[-1]
    return folder


def test_a_run_leaves_all_that_it_should(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "config.yaml", "run.json", "config.json", "model.safetensors", "checkpoints", "samples", "metrics.jsonl",
        "starts.jsonl", "tensorboard", ".lock",
    }  # fmt: skip
    assert saved_steps(run) == [2, 4]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["step-00000002.png", "step-00000004.png"]
    grid = read_image(run / "samples" / "step-00000004.png", channels=3)
    assert grid.shape == (3, 4 * 18 - 2, 8 * 18 - 2)  # 4 rows of x_a, x_aa, x_ab, x_aba, x_b, x_bb, x_ba, x_bab
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    terms = {"discriminator_a", "gan_b", "kl_a", "reconstruction_b", "cycle_kl_a", "cycle_b", "lr", "images_per_second"}
    assert all(terms <= line.keys() for line in lines)
    assert list((run / "tensorboard").rglob("events.out.tfevents*"))


CALLS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1", "EXT2", "EXT4"}
"""The opcodes by which a pickle names a class or a function, or calls one."""


def is_pickle(data: bytes) -> bool:
    """Whether opcodes run from the data's first byte to a STOP, with something that a pickle of more than a number
    has: the mark of its protocol, or a call."""
    names = []
    try:
        for opcode, _, _ in pickletools.genops(data):
            names.append(opcode.name)
    except Exception:  # no opcode, or an argument that is none
        return False
    return names[0] == "PROTO" or not CALLS.isdisjoint(names)


def pickles_in(data: bytes) -> list[int]:
    """The offsets at which a pickle begins: at the start, at the mark of any protocol, and in the members of a zip."""
    marks = [match.start() for match in re.finditer(rb"\x80[\x02-\x05]", data)]
    found = [start for start in dict.fromkeys([0, *marks]) if is_pickle(data[start:])]
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            found += [member.header_offset for member in packed.infolist() if pickles_in(packed.read(member))]
    return found


def written_by(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_no_file_of_a_run_is_or_holds_a_pickle(run: Path) -> None:
    files = written_by(run)
    suffixes = {Path(name).suffix for name in files if "tfevents" not in name and name != ".lock"}
    assert suffixes == {".yaml", ".json", ".jsonl", ".safetensors", ".png"}  # each kind was there to be looked at
    assert len(files) >= 15 and any("tfevents" in name for name in files)
    assert not {name: found for name, data in files.items() if (found := pickles_in(data))}


def test_each_file_of_a_run_is_of_its_kind_to_the_last_byte(run: Path) -> None:
    """So nothing can hide behind a suffix: tensors fill a safetensors file, and the rest is text or an image."""
    for name, data in written_by(run).items():
        match Path(name).suffix:
            case ".safetensors":
                length = int.from_bytes(data[:8], "little")
                header = json.loads(data[8 : 8 + length])
                ends = sorted(entry["data_offsets"] for key, entry in header.items() if key != "__metadata__")
                assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])], name
                assert len(data) == 8 + length + ends[-1][1], name
            case ".json":
                json.loads(data)
            case ".jsonl":
                assert all(isinstance(json.loads(line), dict) for line in data.splitlines())
            case ".yaml":
                assert isinstance(yaml.safe_load(data), dict) and b"!!" not in data
            case ".png":
                assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")
            case _:
                assert "tfevents" in name or (name == ".lock" and not data)


@pytest.mark.parametrize("name", ["model.safetensors", "samples/step-00000004.png", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["protocol 0", "protocol 2", "protocol 4", "torch.save", "torch.save of old"])
def test_a_planted_pickle_is_found(run: Path, tmp_path: Path, name: str, kind: str) -> None:
    """Bare, as torch.save packs it, in a zip, and behind the bytes of the file that it was planted in."""
    planted = pickles(tmp_path / "mark")[kind]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("weights", b"no pickle")
        file.writestr("data", planted)
    assert pickles_in(planted) and pickles_in(packed.getvalue())
    if kind != "protocol 0":  # which has no mark: at the start of a file alone can it be told from text
        assert pickles_in((run / name).read_bytes() + planted)
    assert not (tmp_path / "mark").exists()


def test_the_finished_model_is_the_moving_average(run: Path) -> None:
    stored = load_file(run / "model.safetensors")
    average = newest(run).tensors["average"]
    assert stored.keys() == average.keys()
    assert all(torch.equal(stored[name], average[name]) for name in stored)
    assert any(not torch.equal(stored[name], tensor) for name, tensor in newest(run).tensors["model"].items())


def test_load_takes_a_model_or_a_run_that_has_not_finished(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_bytes((run / name).read_bytes())
    (tmp_path / "run" / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    last = weights.list_checkpoints(run)[-1]
    (tmp_path / "run" / "checkpoints" / last.name).symlink_to(last)
    x = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    expected = unit.load(run).model.translate(x)
    assert torch.equal(unit.load(tmp_path / "model").model.translate(x), expected)
    assert torch.equal(unit.load(tmp_path / "run").model.translate(x), expected)


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
    one, other = newest(run).tensors["model"], newest(tmp_path / "other").tensors["model"]
    assert not any(torch.equal(one[name], other[name]) for name in one if one[name].ndim > 1)


def test_moments_of_weights_that_there_are_not_are_refused(
    run: Path, tiny: Tiny, run_command: Command, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.yaml").write_text((run / "config.yaml").read_text())
    folder = source / "checkpoints" / weights.list_checkpoints(run)[-1].name
    whole = newest(run)
    adam = {f"999{key}": value for key, value in whole.tensors["adam-translator"].items()}
    checkpoint.save(folder, replace(whole, tensors=whole.tensors | {"adam-translator": adam}))
    said = run_command("train", *tiny(tmp_path / "run", "--run.tracker", "tensorboard", "--resume", str(source)))
    assert said.code == 2 and f"{folder / 'adam-translator.safetensors'} lacks" in said.err
    assert len(said.err.splitlines()) == 1


def test_accumulation_gives_the_same_training(run: Path, tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "parts", "--train.accumulation", "2")).code == 0
    one, other = newest(run).tensors, newest(tmp_path / "parts").tensors
    for name in ("model", "discriminators"):
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
    config = Config(optim=optim, train=TrainConfig(steps=steps))
    assert {step: lr_factor(config, step) for step in factors} == pytest.approx(factors)


def test_the_learning_rate_that_is_logged_is_the_schedules(tiny: Tiny, run_command: Command, tmp_path: Path) -> None:
    assert run_command("train", *tiny(tmp_path / "r", "--optim.schedule", "linear", "--optim.lr", "0.1")).code == 0
    lines = [json.loads(line)["lr"] for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert lines == pytest.approx([0.1, 0.075, 0.05, 0.025])
