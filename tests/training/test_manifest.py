"""A checkpoint's manifest: whatever is changed in it is found, and it reaches no file outside its folder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Tiny
from run_files import refused

from unit import weights
from unit.training import checkpoint
from unit.training.checkpoint import Checkpoint
from unit.weights import CheckpointError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small checkpoint."""
    folder = weights.step_folder(tmp_path, 7)
    scalars = {"step": 7, "data": {"a": "0f", "b": "1e"}, "schedules": {"translator": {"last_epoch": 7}}}
    tensors = {"network": {"weight": torch.arange(4.0)}}
    checkpoint.save(folder, Checkpoint(tensors, scalars, {"model": "network", "step": 7}))
    return folder


def reseal(folder: Path, manifest: dict[str, object]) -> None:
    """Write a changed manifest with the right checksum of its own."""
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": weights.seal(manifest)}))


def test_another_format_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["format"] == weights.FORMAT == 2
    reseal(saved, manifest | {"format": 1})
    with pytest.raises(CheckpointError, match="has format 1; this version of unit reads 2"):
        checkpoint.load(saved)


def test_a_manifest_with_one_bit_flipped_anywhere_is_refused(saved: Path) -> None:
    intact = checkpoint.load(saved).scalars
    whole = (saved / "manifest.json").read_bytes()
    accepted = []
    for place in range(len(whole)):
        (saved / "manifest.json").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            changed = checkpoint.load(saved)
        except CheckpointError as error:
            assert saved.name in str(error)
        else:
            if changed.scalars != intact:
                accepted.append(whole[max(0, place - 9) : place + 2])
    assert not accepted, f"{len(accepted)} of {len(whole)} flips change the counters unseen, such as in {accepted[0]!r}"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"7", b'"x"', b"\xff", b'{"format": 2}'])
def test_a_manifest_that_is_none_is_refused_by_name(saved: Path, text: bytes) -> None:
    (saved / "manifest.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=saved.name):
        checkpoint.load(saved)


def test_a_manifest_that_names_another_file_is_not_what_was_sealed(saved: Path) -> None:
    manifest = saved / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"network.safetensors"', '"../../elsewhere.safetensors"'))
    with pytest.raises(CheckpointError, match=r"damaged: manifest\.json is not what it was"):
        checkpoint.load(saved)


def test_a_manifest_reads_no_file_outside_its_folder(saved: Path) -> None:
    shutil.copy(saved / "network.safetensors", saved.parent / "outside.safetensors")
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["../outside.safetensors"] = manifest["files"]["network.safetensors"]
    reseal(saved, manifest)
    with pytest.raises(CheckpointError, match="outside"):
        checkpoint.load(saved)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_run_whose_manifest_lacks_the_model_is_refused_by_name(
    sealed: bool, tiny: Tiny, run_command: Command, toys: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_command("train", *tiny(run)).code == 0
    (run / "config.json").unlink()
    folder = weights.step_folder(run, 4)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("average.safetensors", *(["model.safetensors"] if sealed else [])):
        del manifest["files"][name]
    if sealed:
        reseal(folder, manifest)
    else:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    said = run_command("translate", "--model", run, "--input", toys / "testA", "--output", tmp_path / "out")
    refused(said, "step-00000004")
