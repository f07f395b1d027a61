"""Beginning with another run's weights: `--init`, for fine-tuning and for data that changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unit import weights
from unit.methods.base import Method
from unit.models.folder import find_weights
from unit.text import one_line
from unit.weights import CheckpointError


@dataclass(frozen=True)
class Unfit:
    """Of a network's weights those that got none, the first of them, and why."""

    count: int
    of: int
    first: str

    def __str__(self) -> str:
        return f"{self.count} of {self.of} weights, the first: {self.first}"


def take_weights(method: Method[Any], source: Path) -> list[str]:
    """Fill a method's networks with the weights of a model, a run or a checkpoint, as far as they fit.

    The model's are taken from any of these, those of networks beside it (discriminators) where there is a checkpoint.
    Optimizers, steps and data are not. Returns one line on what begins anew, if anything does. Raises
    FileNotFoundError or CheckpointError where there are no weights, or none that fit the model.
    """
    found = find_weights(source)
    where = f"--init {one_line(source)}"
    unfit = fill_what_fits(method.model, found.tensors)
    if unfit is not None and unfit.count == unfit.of:
        kinds = f"a model {found.description.get('model')}, where {method.model.name} is trained"
        raise CheckpointError(f"{where}: none of its weights fits; it holds {kinds}; the first: {unfit.first}")
    news = [] if unfit is None else [f"of the model {unfit}"]
    inside = set(method.model.modules())
    beside = {name: network for name, network in method.networks.items() if network not in inside}
    for name, network in beside.items():
        words = name.replace("_", " ")
        tensors = None if found.checkpoint is None else saved_beside(found.checkpoint, name)
        if tensors is None:
            news.append(f"the {words} (not there)")
        elif unfit := fill_what_fits(network, tensors):
            news.append(f"of the {words} {unfit}")
    return [f"{where}: not taken but begun anew: {'; '.join(news)}"] if news else []


def saved_beside(checkpoint: Path, name: str) -> Mapping[str, Tensor] | None:
    """The tensors of a network beside the model in a checkpoint, if it has one of that name."""
    manifest = weights.read_manifest(checkpoint)
    file = f"{name}.safetensors"
    return weights.read_tensors(weights.verified(checkpoint, file, manifest)) if file in manifest["files"] else None


def fill_what_fits(module: nn.Module, tensors: Mapping[str, Tensor]) -> Unfit | None:
    """Copy the tensors whose names and shapes are the module's; what of the module got none, if anything."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    odd = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in odd:
                tensor.copy_(tensors[name])
    if not odd:
        return None
    given = tensors.get(odd[0])
    why = "is not there" if given is None else f"has the shape {tuple(given.shape)}, not {tuple(own[odd[0]].shape)}"
    return Unfit(len(odd), len(own), f"{odd[0]} {why}")
