"""What ends a training that can't go on: too little memory, and losses, gradients or weights that are not finite."""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from unit.config.base import ConfigError
from unit.memory import free_memory
from unit.methods.base import Phase
from unit.training.errors import RunError


def check_memory(networks: Mapping[str, nn.Module], device: torch.device) -> None:
    """Raise ConfigError where a CPU has less memory than the weights, their gradients and Adam's two moments take.

    The networks may be on the meta device, where they take none.
    """
    count = sum(parameter.numel() for network in networks.values() for parameter in network.parameters())
    needed, free = 16.0 * count, free_memory(device)
    if needed > free:
        raise ConfigError(
            f"model: {count / 1e6:.0f} million weights need at least {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are "
            "free; lower model.width or the like"
        )


def check_finite(networks: Mapping[str, nn.Module], step: int) -> None:
    """Raise RunError where a weight is NaN or infinite: the losses would show it only a step later."""
    for name, network in networks.items():
        if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
            raise RunError(
                f"the training broke down at step {step}: weights of the {name} are NaN or infinite; "
                "the last checkpoint is as it was"
            )


class FiniteCheck:
    """Finds the step at which a loss term or a gradient first is NaN or infinite.

    On a CPU that ends the training before the step is taken. On a GPU, which is not waited for, it ends it when next
    something is written. fp16's scaler skips steps whose scaled gradients overflow, and halves its scale; that is as it
    should be, until the scale is below 1: then the gradients themselves are at fault.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.at_once = accelerator.device.type == "cpu"
        self.scaler = accelerator.scaler
        self.seen: list[tuple[int, str, Tensor]] = []

    def inspect(self, step: int, phases: list[Phase], optimizer: Optimizer) -> None:
        """Before the optimizer's step in step number `step`, counted from 1."""
        for phase in phases:
            self.seen += [(step, name, value) for name, value in phase.terms.items()]
        if self.scaler is None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
            self.seen.append((step, f"the gradient of the {phases[0].optimizer}", norm))
        if self.at_once:
            self.check()

    def check(self) -> None:
        """Raise RunError, the same on all processes, where something was not finite on any."""
        if not self.seen:
            return
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise RunError(
                f"the training broke down at step {self.seen[-1][0]}: the gradients overflow fp16 whatever the "
                "scale, or are NaN or infinite; the last checkpoint is as it was"
            )
        flags = torch.stack([value.float() for _, _, value in self.seen]).isfinite().float()
        fine = self.accelerator.reduce(flags, "mean").eq(1).tolist()
        broken = [(step, name) for (step, name, _), finite in zip(self.seen, fine, strict=True) if not finite]
        self.seen.clear()
        if broken:
            first = broken[0][0]
            names = ", ".join(dict.fromkeys(name for step, name in broken if step == first))
            raise RunError(
                f"the training broke down at step {first}: {names} is NaN or infinite; the last checkpoint is as it was"
            )
