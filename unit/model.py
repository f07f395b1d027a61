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


def save_model(folder: Path, translator: Translator, config: Config) -> None:
    """Write the translator into `folder`, each file whole or not at all; a parameter that is shared is stored once."""
    description = {
        "format": FORMAT,
        "unit": unit.__version__,
        "method": "unit",
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

    Of a run that has not finished, it is the newest checkpoint's. Raises FileNotFoundError where there is neither,
    CheckpointError where the folder is damaged or of another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model: {folder} is not a folder")
    if (folder / "config.json").is_file():
        translator = load_finished(folder)
    elif (folder / "config.yaml").is_file() and checkpoint.list_of(folder):
        translator = load_newest(folder)
    else:
        raise FileNotFoundError(
            f"no model in {folder}: it has neither config.json (a model) nor config.yaml with checkpoints/ (a run)"
        )
    return translator.to(device).eval().requires_grad_(False)


def load_finished(folder: Path) -> Translator:
    text, weights = folder / "config.json", folder / "model.safetensors"
    try:
        description: dict[str, Any] = json.loads(text.read_text())
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"{text}: the model has format {description['format']!r}; this version of unit reads {FORMAT}"
            )
        if description["method"] != "unit" or description["channels"] not in (1, 3):
            raise CheckpointError(f"{text}: expected method unit with 1 or 3 channels")
        translator = Translator(parse_model(description["model"]), channels=description["channels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{text}: not a model's description ({error})") from error
    if not weights.is_file():
        raise CheckpointError(f"{folder}: model.safetensors is missing")
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    checkpoint.fill(translator, tensors, weights)
    return translator


def load_newest(run: Path) -> Translator:
    """The moving average (or the last weights, where there is none) in a run's newest checkpoint."""
    try:
        config = parse(["--config", str(run / "config.yaml")])
    except ConfigError as error:
        raise CheckpointError(f"{run} is damaged: {error}") from error
    newest = checkpoint.list_of(run)[-1]
    tensors = checkpoint.load(newest).tensors
    translator = Translator(config.model, channels=config.data.channels)
    checkpoint.fill(translator, tensors["average" if config.optim.ema else "translator"], newest)
    return translator
