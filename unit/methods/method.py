"""What the training loop asks of a method.

A method names its trainable networks and yields, for one batch, one loss after another. The loop backpropagates each
loss, steps the optimizer of the network that the loss is for, and asks for the next. So the losses after a `yield`
see the networks as that step left them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """One process's share of a step's images.

    `x_a`, `x_b`: float (B, C, H, W) in [-1, 1]; `step` counts from 0; `positions` are the images' places in the
    global batch; `seed` is the run's.
    """

    x_a: Tensor
    x_b: Tensor
    step: int
    positions: range
    seed: int


@dataclass(frozen=True)
class Phase:
    """One optimizer step: the network that learns, its loss (a scalar), and the loss's terms, unweighted, to log."""

    network: str
    loss: Tensor
    terms: dict[str, Tensor]


class Method(ABC):
    """`networks` are the trainable ones by name; `averaged` is the name of the one to keep a moving average of, which
    is the finished model."""

    networks: dict[str, nn.Module]
    averaged: str

    @abstractmethod
    def phases(self, wrapped: Mapping[str, nn.Module], batch: Batch, *, recompute: bool) -> Iterator[Phase]:
        """The losses of one step, in order.

        `wrapped` holds the networks as they are wrapped for distribution: gradients must flow through these alone.
        With `recompute` no graph may be kept from one phase to the next (gradient accumulation takes the phases of
        several batches side by side).
        """

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Move what is neither trainable nor wrapped to the device."""
