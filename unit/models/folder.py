"""Models as folders: `config.json`, which says what the model is, and `model.safetensors`, its weights.

Of a run that has not finished, its newest checkpoint serves as one; so does a checkpoint that is named itself, and as
`RUN/best` that of the best figure, where it was validated while it trained.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import unit
from unit import weights
from unit.config.base import ConfigError
from unit.models import find_model
from unit.models.base import ImageTranslator, Model
from unit.weights import FORMAT, CheckpointError


def describe_model(model: Model, *, step: int) -> dict[str, Any]:
    """What config.json says: the version of unit, the training step, the model's name and its config."""
    return {"format": FORMAT, "unit": unit.__version__, "step": step} | model.describe()


def save_model(folder: Path, model: Model, *, step: int) -> None:
    """Write a finished model into `folder`, each file whole or not at all; what is shared is stored once."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors, text = folder / ".model.safetensors.partial", folder / ".config.json.partial"
    save_file(weights.collect_tensors(model), tensors)
    text.write_text(json.dumps(describe_model(model, step=step), indent=1) + "\n")
    for partial, name in ((tensors, "model.safetensors"), (text, "config.json")):
        weights.flush(partial)
        os.replace(partial, folder / name)
    weights.flush(folder)


def load_model(folder: str | Path, *, device: torch.device | str = "cpu") -> Model:
    """The model of a folder, of whatever kind, ready for inference.

    Args:
        folder: a model's folder, a run's, or one of a run's checkpoints, also as `RUN/best`. Of a run that has not
            finished, or went on after it had, it is the newest checkpoint.
        device: where the weights go.

    Raises:
        FileNotFoundError: there is no model.
        CheckpointError: the folder is damaged, of another version, or of a model that this version does not know.
    """
    found = find_weights(Path(folder))
    return build(found).to(device).eval().requires_grad_(False)


def copy_model(model: Model) -> Model:
    """A copy on the CPU, just as it would be if it were saved and loaded."""
    nowhere = Path(model.name)
    description = json.loads(json.dumps(describe_model(model, step=0)))
    found = FoundWeights(description, weights.collect_tensors(model), nowhere, nowhere, None)
    with torch.random.fork_rng(devices=[]):  # which the copy's first weights would be drawn from
        return build(found).eval().requires_grad_(False)


def load_translator(folder: str | Path, *, device: torch.device | str = "cpu") -> ImageTranslator:
    """The same of a translator; raises CheckpointError where the folder holds a model of another kind."""
    model = load_model(folder, device=device)
    if not isinstance(model, ImageTranslator):
        raise CheckpointError(
            f"{folder} holds no translator but a model {model.name}; `unit plot` and `unit evaluate` take it"
        )
    return model


def load_last_iterate(folder: str | Path, *, device: torch.device | str = "cpu") -> tuple[Model, int] | None:
    """The model without its moving average, from the checkpoint that `load_model` takes or that lies beside it, and
    its step; None where there is no checkpoint, or no average in it. Raises what `load_model` does."""
    checkpoint = find_weights(Path(folder)).checkpoint
    if checkpoint is None:
        return None
    manifest = weights.read_manifest(checkpoint)
    if "average.safetensors" not in manifest["files"]:
        return None
    found = checkpoint_weights(checkpoint, averaged=False)
    return build(found).to(device).eval().requires_grad_(False), int(found.description["step"])


@dataclass(frozen=True)
class FoundWeights:
    """A model's description and tensors, where they lie, and the checkpoint, if they are one's."""

    description: dict[str, Any]
    tensors: dict[str, Tensor]
    described_at: Path
    weights_at: Path
    checkpoint: Path | None


def find_weights(folder: Path) -> FoundWeights:
    """The newest weights of a folder, as `load_model` says; raises what it does."""
    folder = weights.resolve(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model: {folder} is not a folder")
    if weights.is_step_folder(folder) or (folder / "manifest.json").is_file():
        return checkpoint_weights(folder)
    saved = weights.list_checkpoints(folder)
    finished = read_description(folder / "config.json") if (folder / "config.json").is_file() else None
    if finished is not None and (not saved or finished["step"] >= weights.step_of(saved[-1])):
        path = folder / "model.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{folder}: model.safetensors is missing")
        return FoundWeights(finished, read(path), folder / "config.json", path, saved[-1] if saved else None)
    if saved:
        return checkpoint_weights(saved[-1])
    raise FileNotFoundError(
        f"no model in {folder}: it has neither config.json (a model) nor checkpoints/ (a run that has saved)"
    )


def checkpoint_weights(folder: Path, *, averaged: bool = True) -> FoundWeights:
    """The moving average in a checkpoint; or the last weights, where there is none or it is not wanted."""
    manifest = weights.read_manifest(folder)
    there = averaged and "average.safetensors" in manifest["files"]
    name = "average.safetensors" if there else "model.safetensors"
    path = weights.verified(folder, name, manifest)
    description = read_description(weights.verified(folder, "config.json", manifest))
    return FoundWeights(description, read(path), folder / "config.json", path, folder)


def read(path: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors; raises CheckpointError."""
    try:
        return weights.read_tensors(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def read_description(path: Path) -> dict[str, Any]:
    """config.json; raises CheckpointError where it is damaged or of another version."""
    try:
        description: dict[str, Any] = weights.read_json(path)
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: the model has format {description['format']!r}; this version of unit reads {FORMAT}"
            )
        return description | {"step": int(description["step"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a model's description ({error})") from error


def build(found: FoundWeights) -> Model:
    """The model with these weights; raises CheckpointError where its description is none, and where they are not its,
    before memory is taken for it."""
    description = found.description
    try:
        kind = find_model(str(description.get("model")))
        config = description.get("config")
        if not isinstance(config, dict):
            raise ConfigError(f"config: expected sections, got {config!r}")
        with torch.device("meta"):
            weights.check_fit(kind.from_config(config), found.tensors, found.weights_at)
        model = kind.from_config(config)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{found.described_at}: not a model's description ({error})") from error
    weights.fill(model, found.tensors, found.weights_at)
    return model
