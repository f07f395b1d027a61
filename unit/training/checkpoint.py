"""Checkpoints: whole or absent, and free of pickles.

A checkpoint is a folder `step-00005000` of safetensors files, the model's `config.json`, and a `manifest.json` that
holds the counters and the SHA-256 of every file. It is written into a staging folder beside its place, flushed to the
disk and published by one rename; only then are older ones deleted. A parameter that several networks share is stored
once, under its first name.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from unit import weights
from unit.weights import CheckpointError, list_checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: tensors by file and name, scalars (JSON), and the model's description (JSON)."""

    tensors: dict[str, dict[str, Tensor]]
    scalars: dict[str, Any]
    description: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as `folder`, which must not exist, whole or not at all."""
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        for name, tensors in checkpoint.tensors.items():
            save_file(tensors, staging / f"{name}.safetensors")
        (staging / "config.json").write_text(json.dumps(checkpoint.description, indent=1) + "\n")
        files = {path.name: weights.stamp(path) for path in sorted(staging.iterdir())}
        manifest: dict[str, Any] = {"format": weights.FORMAT, "scalars": checkpoint.scalars, "files": files}
        manifest["sha256"] = weights.seal(manifest)
        (staging / "manifest.json").write_text(json.dumps(manifest, indent=1))
        for path in [*staging.iterdir(), staging]:
            weights.flush(path)
        staging.rename(folder)
    except (OSError, SafetensorError):
        shutil.rmtree(staging, ignore_errors=True)  # a full disk has use for the room
        raise
    weights.flush(folder.parent)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint; raises CheckpointError where it is damaged or of another version."""
    manifest = weights.read_manifest(folder)
    try:
        paths = [weights.verified(folder, name, manifest) for name in manifest["files"]]
        tensors = {path.stem: weights.read_tensors(path) for path in paths if path.suffix == ".safetensors"}
        return Checkpoint(tensors, manifest["scalars"], weights.read_json(folder / "config.json"))
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error


def prune(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints and the best one, and what an interrupted save left."""
    best = weights.best_checkpoint(run)
    old = [folder for folder in list_checkpoints(run)[:-keep] if folder != best]
    for folder in [*old, *(run / "checkpoints").glob(".step-*.partial")]:
        if folder.is_symlink():  # moved to another disk by hand: what it leads to is not ours to delete
            folder.unlink()
        else:
            shutil.rmtree(folder)


ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")
"""What Adam keeps for each parameter that it has stepped: two moments of its shape, and a count."""


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's moments as `parameter number.name`; its options are the config's to say."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach().contiguous().cpu()
        for number, moments in state.items()
        for name, value in moments.items()
    }


def check_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], stepped: int, source: Path
) -> None:
    """Raise CheckpointError unless these are the moments of `stepped` of Adam's parameters, which is all or none."""
    parameters = list_parameters(optimizer)
    if type(stepped) is not int or stepped not in (0, len(parameters)):
        raise CheckpointError(f"{source} is damaged: {stepped!r} of {len(parameters)} parameters have moments")
    expected = {f"{number}.{name}" for number in range(stepped) for name in ADAM_STATE}
    if expected != tensors.keys():
        odd = min(expected ^ tensors.keys())
        what = "lacks" if odd in expected else "has"
        raise CheckpointError(f"{source} {what} {odd}: it is of another model or damaged")
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        shape = torch.Size() if name == "step" else parameter.shape
        fits = value.is_floating_point() if name == "step" else value.dtype == parameter.dtype
        if not fits or value.shape != shape or not value.isfinite().all():
            expectation = f"expected finite {parameter.dtype} {tuple(shape)}"
            raise CheckpointError(f"{source}: {key} is {value.dtype} {tuple(value.shape)}; {expectation}")


def fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`, of tensors that were checked.

    Moments are laid out in memory as their parameter is: a fused Adam pairs numbers by where they lie.
    """
    parameters = list_parameters(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        own = torch.empty_like(value if name == "step" else parameter, dtype=value.dtype, device=value.device)
        state.setdefault(int(number), {})[name] = own.copy_(value)  # none stays mapped to the file
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def list_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
