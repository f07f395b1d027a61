"""The finished model: a folder of `config.json` and `model.safetensors`."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import unit
from unit import checkpoint
from unit.checkpoint import CheckpointError
from unit.config import ConfigError
from unit.config.autoencoders import AutoencoderConfig
from unit.config.data import DigitsConfig
from unit.methods.build import describe, method_of, model_of, shells_of
from unit.methods.translator import Translator
from unit.options import parse

FORMAT = 1
"""Version of the model folders written here; others are refused."""


def save_model(folder: Path, model: nn.Module, description: dict[str, Any], *, step: int) -> None:
    """Write a finished model and its method's description of it into `folder`, each file whole or not at all; a
    parameter that is shared is stored once."""
    description = {"format": FORMAT, "unit": unit.__version__, "step": step} | description
    folder.mkdir(parents=True, exist_ok=True)
    weights, text = folder / ".model.safetensors.partial", folder / ".config.json.partial"
    save_file(checkpoint.tensors_of(model), weights)
    text.write_text(json.dumps(description, indent=1) + "\n")
    for partial, name in ((weights, "model.safetensors"), (text, "config.json")):
        checkpoint.flush(partial)
        os.replace(partial, folder / name)
    checkpoint.flush(folder)


def load_model(folder: str | Path, *, device: torch.device | str = "cpu") -> nn.Module:
    """The network of a model folder or a run folder, of any method, ready for inference.

    Of a run that has not finished, or went on after it had, it is the newest checkpoint's. Raises
    FileNotFoundError where there is neither, CheckpointError where the folder is damaged or of another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no model: {folder} is not a folder")
    saved = checkpoint.list_of(folder) if (folder / "config.yaml").is_file() else []
    finished = read_description(folder) if (folder / "config.json").is_file() else None
    if finished is not None and (not saved or finished["step"] >= checkpoint.step_of(saved[-1])):
        model = load_finished(folder, finished)
    elif saved:
        model = load_checkpoint(folder, saved[-1])
    else:
        raise FileNotFoundError(
            f"no model in {folder}: it has neither config.json (a model) nor config.yaml with checkpoints/ (a run)"
        )
    return model.to(device).eval().requires_grad_(False)


def load(folder: str | Path, *, device: torch.device | str = "cpu") -> Translator:
    """The same for a translator: raises CheckpointError where the folder holds a model of another kind."""
    model = load_model(folder, device=device)
    if not isinstance(model, Translator):
        raise CheckpointError(f"{folder} holds no translator but a model of digits; use `python -m unit plot` with it")
    return model


def digits_of(folder: str | Path, *, root: str | None) -> DigitsConfig:
    """Where the digits of a model lie: the run's own data section, with another root if one is given.

    Raises ConfigError where the folder is a model's alone, with no run around it, and no root is given.
    """
    saved = Path(folder) / "config.yaml"
    if saved.is_file():
        config = parse(["--config", str(saved)])
        assert isinstance(config, AutoencoderConfig)
        data = config.data
        return data if root is None else replace(data, root=root)
    if root is None:
        raise ConfigError(f"--root: {folder} is no run's folder; expected the digits' folder")
    return DigitsConfig(root=root, name="mnist" if read_description(Path(folder)).get("size") == 28 else "usps")


def read_description(folder: Path) -> dict[str, Any]:
    """config.json; raises CheckpointError where it is damaged or of another version."""
    text = folder / "config.json"
    try:
        description: dict[str, Any] = checkpoint.read_json(text)
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"{text}: the model has format {description['format']!r}; this version of unit reads {FORMAT}"
            )
        return description | {"step": int(description["step"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{text}: not a model's description ({error})") from error


def load_finished(folder: Path, description: dict[str, Any]) -> nn.Module:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise CheckpointError(f"{folder}: model.safetensors is missing")
    try:
        tensors = checkpoint.read_tensors(weights)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    try:
        return filled(description, tensors, weights)
    except ConfigError as error:
        raise CheckpointError(f"{folder / 'config.json'}: not a model's description ({error})") from error


def load_checkpoint(run: Path, folder: Path) -> nn.Module:
    """The moving average (or the last weights, where there is none) in a run's checkpoint."""
    try:
        config = parse(["--config", str(run / "config.yaml")])
    except ConfigError as error:
        raise CheckpointError(f"{run} is damaged: {error}") from error
    tensors = checkpoint.load(folder).tensors
    names = ["average"] if config.optim.ema else list(shells_of(config))
    for name in names:
        if name not in tensors:
            raise CheckpointError(f"checkpoint {folder} is damaged: it lacks the {name}")
    if config.optim.ema:
        return filled(describe(config), tensors["average"], folder)
    for name, shell in shells_of(config).items():
        checkpoint.check_fit(shell, tensors[name], folder)
    method = method_of(config)
    for name, network in method.networks.items():
        checkpoint.fill(network, tensors[name], folder)
    return method.model


def filled(description: dict[str, Any], tensors: dict[str, Tensor], source: Path) -> nn.Module:
    """The described network with these weights; raises ConfigError where it is none, and CheckpointError where they
    are not its, before memory is taken for it."""
    with torch.device("meta"):
        checkpoint.check_fit(model_of(description), tensors, source)
    model = model_of(description)
    checkpoint.fill(model, tensors, source)
    return model
