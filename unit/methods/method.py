"""What the training loop asks of a method.

A method names its networks and who learns, opens its data, and yields, for one batch, one loss after another. The
loop backpropagates each loss, steps the optimizer that the loss is for, and asks for the next. So the losses after a
`yield` see the networks as that step left them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from unit.data.batches import Batches, Share

B = TypeVar("B")


@dataclass(frozen=True)
class Phase:
    """One optimizer step: the player that learns, its loss (a scalar), and the loss's terms, unweighted, to log."""

    player: str
    loss: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Player:
    """One optimizer: the networks that it steps, and the factor of the learning rate for it."""

    networks: tuple[str, ...]
    lr: float = 1.0


class Grid(NamedTuple):
    """A picture of rows of images: uint8 (N, C, H, W), `columns` of them a row."""

    images: Tensor
    columns: int


class Method(ABC, Generic[B]):
    """`networks` are the trainable ones by name, each wrapped for distribution on its own; `players` the optimizers by
    name; `model` is what is kept in the end, its moving average if there is one: a network, or a module that holds
    several of them.

    A method that one optimizer step a network suits need not name its players.
    """

    networks: dict[str, nn.Module]
    model: nn.Module

    @property
    def players(self) -> dict[str, Player]:
        return {name: Player((name,)) for name in self.networks}

    @abstractmethod
    def open(self, share: Share) -> Batches[Any, B]:
        """The training data, of which each step's parts of this process are taken.

        Raises ValueError or FileNotFoundError for data that can't be trained on.
        """

    @abstractmethod
    def phases(self, wrapped: Mapping[str, nn.Module], batch: B, *, recompute: bool) -> Iterator[Phase]:
        """The losses of one step, in order.

        `wrapped` holds the networks as they are wrapped for distribution: gradients must flow through these alone.
        With `recompute` no graph may be kept from one phase to the next (gradient accumulation takes the phases of
        several batches side by side).
        """

    @abstractmethod
    def samples(self, model: nn.Module, batches: Batches[Any, B], device: torch.device) -> Grid:
        """What `model`, the method's own or its moving average, makes of a few fixed training images."""

    def to(self, device: torch.device) -> None:
        """Move what is neither trainable nor wrapped to the device."""


def sum_of(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
