"""The optimizer, its schedule, and the moving average of the weights: all torch's own, set up from the config."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from unit.config.base import Config, OptimConfig


def adam(
    networks: Iterable[nn.Module], config: OptimConfig, device: torch.device, *, factor: float = 1.0
) -> torch.optim.Adam:
    """Adam over the networks' parameters, each once however many parents it has, at `factor` times the config's
    learning rate."""
    lr = config.lr * factor
    return torch.optim.Adam(
        [{"params": list(nn.ModuleList(networks).parameters()), "initial_lr": lr}],
        lr,
        (config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def lr_factor(config: Config, step: int) -> float:
    """The factor of the learning rate in step number `step`, counted from 0: a function of config and step alone, so
    that a resumed run with another train.steps has it from its first step on."""
    optim, steps = config.optim, config.train.steps
    warmup = min(1.0, (step + 1) / (optim.warmup + 1))
    match optim.schedule:
        case "constant":
            return warmup
        case "linear":
            return warmup * min(1.0, (steps - step) / max(1, steps - optim.decay_start))
        case "step":
            return warmup * optim.step_factor ** (step // optim.step_every)
        case "cosine":
            return warmup * 0.5 * (1 + math.cos(math.pi * step / steps))


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Give an optimizer of `adam` that factor of its learning rate; returns the rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])


def moving_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of the network's weights; shared modules are shared in it too."""
    if decay == 0:
        return None
    return MovingAverage(network, decay).requires_grad_(False)


class MovingAverage(AveragedModel):
    """w̄ ← decay · w̄ + (1 − decay) · w for each weight w, from the first update's weights on; buffers are copied.

    AveragedModel's own update waits in each step for the count of updates, which it copies to a GPU.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """One more update, with the model's weights as they are now."""
        ours: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(model.parameters())
        if self.n_averaged == 0:
            torch._foreach_copy_(ours, theirs)
        else:
            torch._foreach_lerp_(ours, theirs, 1 - self.decay)
        for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(other)
        self.n_averaged += 1
