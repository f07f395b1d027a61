"""Checkpoints: whole or absent, and free of pickles.

A checkpoint is a folder `step-00005000` of safetensors files and a `manifest.json` that holds the counters and the
SHA-256 of every file. It is written into a staging folder beside its place, flushed to the disk and published by one
rename; only then are older ones deleted. A parameter that several networks share is stored once, under its first name.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FORMAT = 1
"""Version of the folders written here; others are refused."""


MOST_BYTES_OF_JSON = 2**24
"""The largest JSON file that is read."""


class CheckpointError(ValueError):
    """A checkpoint or model folder that can't be used: one line that names it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: tensors by file and name, and scalars (JSON)."""

    tensors: dict[str, dict[str, Tensor]]
    scalars: dict[str, Any]


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by name, each once however many parents it has."""
    return {
        name: tensor.detach().contiguous().cpu()
        for named in (module.named_parameters(), module.named_buffers())
        for name, tensor in named
    }


def read_json(path: Path) -> Any:
    """What a JSON file says; raises OSError or ValueError where it is none, or larger than any that is written here."""
    with regular(path).open("rb") as file:
        text = file.read(MOST_BYTES_OF_JSON + 1)
    if len(text) > MOST_BYTES_OF_JSON:
        raise ValueError(f"{path.name} has more than {MOST_BYTES_OF_JSON} bytes")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors; raises OSError or ValueError where it is none."""
    try:
        return load_file(regular(path))
    except (SafetensorError, KeyError, AttributeError, TypeError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path.name} can't be read ({error})") from error


def regular(path: Path) -> Path:
    """The path, unless it is a pipe, a device or a folder, which could be read without end."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a regular file")
    return path


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into the module's parameters and buffers, in place, so that what is shared stays shared.

    Raises CheckpointError, naming `source`, as `check_fit` does.
    """
    check_fit(module, tensors, source)
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raise CheckpointError unless names, shapes and types are just the module's, which may be on the meta device, and
    all numbers are finite."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        what = (
            f"lacks {len(missing)} weights ({missing[0]}, …)" if missing else f"has {extra[0]}, which the model lacks"
        )
        raise CheckpointError(f"{source} {what}: it is of another model or damaged")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, the model's has {tuple(own[name].shape)}"
            )
        if own[name].dtype != tensor.dtype:
            raise CheckpointError(f"{source}: {name} is of type {tensor.dtype}, the model's is {own[name].dtype}")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{source}: {name} holds numbers that are not finite: it is damaged")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's moments as `parameter number.name`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value.detach().contiguous().cpu()
        for number, moments in state.items()
        for name, value in moments.items()
    }


def optimizer_scalars(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """An optimizer's options, with numbers in place of parameters."""
    return list(optimizer.state_dict()["param_groups"])


def fill_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The inverse of `optimizer_tensors` and `optimizer_scalars`.

    Moments are laid out in memory as their parameter is: a fused Adam pairs numbers by where they lie.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # the count of steps is a scalar
            value = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
        state.setdefault(int(number), {})[name] = value
    for group in groups:
        group["betas"] = tuple(group["betas"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as `folder`, which must not exist, whole or not at all."""
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        for name, tensors in checkpoint.tensors.items():
            save_file(tensors, staging / f"{name}.safetensors")
        files = {path.name: sha256(path) for path in sorted(staging.iterdir())}
        manifest: dict[str, Any] = {"format": FORMAT, "scalars": checkpoint.scalars, "files": files}
        manifest["sha256"] = seal(manifest)
        (staging / "manifest.json").write_text(json.dumps(manifest, indent=1))
        for path in [*staging.iterdir(), staging]:
            flush(path)
        staging.rename(folder)
    except (OSError, SafetensorError):
        shutil.rmtree(staging, ignore_errors=True)  # a full disk has use for the room
        raise
    flush(folder.parent)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint; raises CheckpointError where it is damaged or of another version."""
    try:
        manifest = read_json(folder / "manifest.json")
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint {folder} has format {manifest['format']}; this version of unit reads {FORMAT}"
            )
        if manifest["sha256"] != seal(manifest):
            raise CheckpointError(f"checkpoint {folder} is damaged: manifest.json is not what it was")
        tensors = {}
        for name, digest in manifest["files"].items():
            if Path(name).name != name or sha256(folder / name) != digest:
                raise CheckpointError(f"checkpoint {folder} is damaged: {name} is not what its manifest says")
            tensors[Path(name).stem] = read_tensors(folder / name)
        return Checkpoint(tensors, manifest["scalars"])
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {error}") from error


def seal(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of all that a manifest says, but for this."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def list_of(run: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted((path for path in folders if is_named_so(path) and path.is_dir()), key=step_of)


def is_named_so(path: Path) -> bool:
    """Whether a path is one that a run's checkpoint has."""
    return bool(re.fullmatch(r"step-\d{8,}", path.name)) and path.parent.name == "checkpoints"


def prune(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what an interrupted save left."""
    for folder in [*list_of(run)[:-keep], *(run / "checkpoints").glob(".step-*.partial")]:
        shutil.rmtree(folder)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with regular(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Have the file or folder on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
