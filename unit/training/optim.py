"""The optimizer, its schedule, and the moving average of the weights: all torch's own, set up from the config."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=update).requires_grad_(False)
