"""Beginning with another run's weights: `--init`, for fine-tuning and for data that changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unit import weights
from unit.methods.base import Method
from unit.models.folder import find_weights
from unit.text import one_line


def take_weights(method: Method[Any], source: Path) -> list[str]:
    """Fill a method's networks with the weights of a model, a run or a checkpoint, as far as they fit.

    The model's are taken from any of these, those of networks beside it (discriminators) where there is a checkpoint.
    Optimizers, steps and data are not. Returns a line for each network whose weights don't all fit, which names the
    first that doesn't; raises FileNotFoundError or CheckpointError where there are no weights at all.
    """
    found = find_weights(source)
    lines = [*fill_what_fits(method.model, found.tensors, f"--init {one_line(source)}: the model")]
    inside = set(method.model.modules())
    for name, network in method.networks.items():
        if network not in inside and found.checkpoint is not None:
            manifest = weights.read_manifest(found.checkpoint)
            if f"{name}.safetensors" in manifest["files"]:
                tensors = weights.read_tensors(weights.verified(found.checkpoint, f"{name}.safetensors", manifest))
                lines += fill_what_fits(network, tensors, f"--init {one_line(source)}: the {name.replace('_', ' ')}")
            else:
                lines.append(f"--init {one_line(source)}: it has no {name.replace('_', ' ')}; they begin anew")
    return lines


def fill_what_fits(module: nn.Module, tensors: Mapping[str, Tensor], who: str) -> list[str]:
    """Copy the tensors whose names and shapes are the module's; a line on those of the module that got none."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    odd = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in odd:
                tensor.copy_(tensors[name])
    if not odd:
        return []
    given = tensors.get(odd[0])
    why = "is not there" if given is None else f"has the shape {tuple(given.shape)}, not {tuple(own[odd[0]].shape)}"
    return [f"{who}: {len(odd)} of {len(own)} weights don't fit and begin anew, the first: {odd[0]} {why}"]
