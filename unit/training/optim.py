"""The optimizer, its schedule, and the moving average of the weights: all torch's own, set up from the config."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unit.config.base import Config, OptimConfig


def adam(
    networks: Iterable[nn.Module], config: OptimConfig, device: torch.device, *, factor: float = 1.0
) -> torch.optim.Adam:
    """Adam over the networks' parameters, each once however many parents it has, at `factor` times the config's
    learning rate."""
    return torch.optim.Adam(
        nn.ModuleList(networks).parameters(),
        config.lr * factor,
        (config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def schedule(config: Config) -> Callable[[int], float]:
    """The factor of the learning rate as a function of the step."""
    optim, steps = config.optim, config.train.steps

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / (optim.warmup + 1)) * course(step)

    def course(step: int) -> float:
        match optim.schedule:
            case "constant":
                return 1.0
            case "linear":
                return min(1.0, (steps - step) / max(1, steps - optim.decay_start))
            case "step":
                return optim.step_factor ** (step // optim.step_every)
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * step / steps))

    return factor


def moving_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of the network's weights; shared modules are shared in it too."""
    if decay == 0:
        return None
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=update).requires_grad_(False)
