"""What the training loop asks of a method.

A method names its networks and its optimizers, opens its data, and yields, for one batch, one loss after another. The
loop backpropagates each loss, steps the optimizer that the loss is for, and asks for the next. So the losses after a
`yield` see the networks as that step left them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from unit.config.base import ConfigError
from unit.data.batches import Batches, DataError, Shard
from unit.data.domain import Choose, Domain
from unit.data.grid import Grid
from unit.models.base import Model

B = TypeVar("B")
Part = Literal["train", "val", "test"]
"""What images are for: to train on, to choose a checkpoint on, to take the final figures of."""


@dataclass(frozen=True)
class Phase:
    """One optimizer step: the optimizer's name, the loss (a scalar), and the loss's terms, unweighted, to log."""

    optimizer: str
    loss: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class OptimizerGroup:
    """One optimizer: the networks that it steps, and a factor of the learning rate for it."""

    networks: tuple[str, ...]
    lr_factor: float = 1.0


class Method(ABC, Generic[B]):
    """A way to train a model; a subclass is one file, and owns its config and its losses.

    `Config` is the config's class, whose `method` is the name. `networks` are the trainable ones by name, each wrapped
    for distribution on its own; `optimizers` say which of them learn together; `model` is what is kept in the end (its
    moving average, if there is one), a network or a module that holds several of them. `state` holds, as buffers, what
    is saved and resumed but not optimized, such as a pool of images. `gather` collects a tensor of all processes along
    the first dimension; the loop sets it. `validated_on` is how many images of each domain are validated on unless the
    config says so (None: all).
    """

    Config: ClassVar[type[Any]]
    networks: dict[str, nn.Module]
    model: Model
    state: nn.Module
    gather: Callable[[Tensor], Tensor]
    validated_on: ClassVar[int | None] = None

    def __init__(self, config: Any, batches: Batches[Any, B]) -> None:
        self.config = config
        self.state = nn.Module()
        self.gather = lambda x: x

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        """Raise ConfigError for a config that can't be trained, before any data is read."""

    @classmethod
    def prepare_data(cls, config: Any) -> None:
        """Make data that is missing and can be made at once; called by one process while the others wait."""

    @classmethod
    @abstractmethod
    def open(cls, config: Any, shard: Shard, domains: Mapping[str, Domain] | None = None) -> Batches[Any, B]:
        """The training data, of which each step's micro-batches of this process are taken.

        `domains` are given in place of those that the config names. Raises ValueError or FileNotFoundError for data
        that can't be trained on.
        """

    @classmethod
    def read(cls, config: Any, part: Part, choose: Choose | None = None) -> dict[str, Domain]:
        """The images by domain that the config names: those to train on, to validate on, or to test on; no domain where
        the config has none such. `choose` picks from each domain's names. Raises what `open` does."""
        raise ConfigError(f"validate.every: expected 0, for method {config.method} says of no images what they are for")

    @classmethod
    def open_shown(cls, config: Any, shard: Shard, domains: Mapping[str, Domain]) -> Batches[Any, B]:
        """The images as `samples` takes them, which are not trained on."""
        return cls.open(config, shard, domains)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        """The optimizers by name; unless a method says otherwise, one for each network."""
        return {name: OptimizerGroup((name,)) for name in self.networks}

    @abstractmethod
    def phases(self, wrapped: Mapping[str, nn.Module], batch: B, *, recompute: bool) -> Iterator[Phase]:
        """The losses of one step, in order.

        `wrapped` holds the networks as they are wrapped for distribution: gradients must flow through these alone.
        With `recompute` no graph may be kept from one phase to the next (gradient accumulation takes the phases of
        several batches side by side).
        """

    def rehearsed(self, batch: B) -> Sequence[B]:
        """The batches of which the loop takes a step that changes nothing, so that each network has been through a
        backward pass: the batch itself, unless steps of different numbers train different networks."""
        return (batch,)

    @abstractmethod
    def samples(self, model: Model, batches: Batches[Any, B], device: torch.device) -> Grid:
        """What `model`, the method's own or its moving average, makes of a few fixed training images."""

    def to(self, device: torch.device) -> None:
        """Move what is neither trainable nor wrapped to the device."""
        self.state.to(device)


def check_groups(shard: Shard, group: int, *, key: str = "model.group") -> None:
    """Raise ConfigError where a process's micro-batch isn't made of whole groups of `group` images."""
    count = len(shard.positions(0))
    if count % group:
        raise ConfigError(
            f"{key}: {count} images per process and micro-batch are no whole groups of {group}; "
            f"expected a divisor of {count} that is at least 2, or a larger train.batch_size"
        )


def named_domains(domains: Mapping[str, Domain], *names: str) -> list[Domain]:
    """The given domains of these names; raises DataError where there are others."""
    if set(domains) != set(names):
        raise DataError(f"images: expected {' and '.join(names)}, got {', '.join(map(str, domains)) or 'none'}")
    return [domains[name] for name in names]


def sum_terms(terms: Mapping[str, Tensor]) -> Tensor:
    """The terms added up: a scalar."""
    return torch.stack(list(terms.values())).sum()


def weighted_phase(optimizer: str, weighted: Iterable[tuple[float, Mapping[str, Tensor]]]) -> Phase:
    """The optimizer's step on the sum of terms, each times its weight."""
    parts = list(weighted)
    total = torch.stack([weight * sum_terms(terms) for weight, terms in parts]).sum()
    return Phase(optimizer, total, detached({name: value for _, terms in parts for name, value in terms.items()}))


def detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The terms without their graph, to be logged."""
    return {name: value.detach() for name, value in terms.items()}
