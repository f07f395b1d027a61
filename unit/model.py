"""The finished model: a folder of `config.json` and `model.safetensors`."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import unit
from unit import checkpoint
from unit.checkpoint import CheckpointError
from unit.config import Config, ConfigError
from unit.methods.unit import Translator
from unit.options import parse, parse_model

FORMAT = 1
"""Version of the model folders written here; others are refused."""


def save_model(folder: Path, translator: Translator, config: Config, *, step: int) -> None:
    """Write the translator into `folder`, each file whole or not at all; a parameter that is shared is stored once."""
    description = {
        "format": FORMAT,
        "unit": unit.__version__,
        "method": "unit",
        "step": step,
        "channels": translator.channels,
        "resize": config.data.resize,
        "size": config.data.size,
        "model": asdict(translator.config),
    }
    folder.mkdir(parents=True, exist_ok=True)
    weights, text = folder / ".model.safetensors.partial", folder / ".config.json.partial"
    save_file(checkpoint.tensors_of(translator), weights)
    text.write_text(json.dumps(description, indent=1) + "\n")
    for partial, name in ((weights, "model.safetensors"), (text, "config.json")):
        checkpoint.flush(partial)
        os.replace(partial, folder / name)
    checkpoint.flush(folder)


def load(folder: str | Path, *, device: torch.device | str = "cpu") -> Translator:
    """The translator of a model folder or a run folder, ready for inference.

    Of a run that has not finished, or went on after it had, it is the newest checkpoint's. Raises
    FileNotFoundError where there is neither, CheckpointError where the folder is damaged or of another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model: {folder} is not a folder")
    saved = checkpoint.list_of(folder) if (folder / "config.yaml").is_file() else []
    finished = read_description(folder) if (folder / "config.json").is_file() else None
    if finished is not None and (not saved or finished["step"] >= checkpoint.step_of(saved[-1])):
        translator = load_finished(folder, finished)
    elif saved:
        translator = load_checkpoint(folder, saved[-1])
    else:
        raise FileNotFoundError(
            f"no model in {folder}: it has neither config.json (a model) nor config.yaml with checkpoints/ (a run)"
        )
    return translator.to(device).eval().requires_grad_(False)


def read_description(folder: Path) -> dict[str, Any]:
    """config.json; raises CheckpointError where it is damaged or of another version."""
    text = folder / "config.json"
    try:
        description: dict[str, Any] = json.loads(text.read_text())
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"{text}: the model has format {description['format']!r}; this version of unit reads {FORMAT}"
            )
        if description["method"] != "unit" or description["channels"] not in (1, 3):
            raise CheckpointError(f"{text}: expected method unit with 1 or 3 channels")
        return description | {"step": int(description["step"]), "model": parse_model(description["model"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{text}: not a model's description ({error})") from error


def load_finished(folder: Path, description: dict[str, Any]) -> Translator:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(f"{folder}: model.safetensors is missing")
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    translator = Translator(description["model"], channels=description["channels"])
    checkpoint.fill(translator, tensors, weights)
    return translator


def load_checkpoint(run: Path, folder: Path) -> Translator:
    """The moving average (or the last weights, where there is none) in a run's checkpoint."""
    try:
        config = parse(["--config", str(run / "config.yaml")])
    except ConfigError as error:
        raise CheckpointError(f"{run} is damaged: {error}") from error
    tensors = checkpoint.load(folder).tensors
    name = "average" if config.optim.ema else "translator"
    if name not in tensors:
        raise CheckpointError(f"checkpoint {folder} is damaged: it lacks the {name}")
    translator = Translator(config.model, channels=config.data.channels)
    checkpoint.fill(translator, tensors[name], folder)
    return translator
