"""What the training loop asks of the data: each step's micro-batches of this process, the same on any number of
processes."""

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import Dataset

from unit import draws

R = TypeVar("R")
B = TypeVar("B")


class DataError(ValueError):
    """Data that can't be trained on: one line that names the folder or file."""


@dataclass(frozen=True)
class Shard:
    """A process's share of every step's global batch of `batch_size` images, taken in `accumulation` micro-batches.

    Micro-batches are numbered over the whole training: step · accumulation + the number in its step.
    """

    seed: int
    batch_size: int
    accumulation: int = 1
    rank: int = 0
    processes: int = 1

    def step(self, number: int) -> int:
        """The step of a micro-batch."""
        return number // self.accumulation

    def positions(self, number: int) -> range:
        """Which images of its step's global batch a micro-batch holds."""
        count = self.batch_size // (self.processes * self.accumulation)
        start = (self.rank * self.accumulation + number % self.accumulation) * count
        return range(start, start + count)

    def indices(self, count: int, domain: str, step: int, positions: range) -> list[int]:
        """Which of a domain's `count` images stand at these positions of a step's batch.

        The images are visited in one random order after another; image number k of the training, k = step · batch size
        + position, is number k mod n of order k div n.
        """
        first = step * self.batch_size
        places = (divmod(first + position, count) for position in positions)
        return [order(count, self.seed, domain, epoch)[place] for epoch, place in places]


@functools.lru_cache(maxsize=8)
def order(count: int, seed: int, domain: str, epoch: int) -> list[int]:
    """The random order in which an epoch visits a domain's images."""
    return draws.permutation(count, seed, "order", domain, epoch).tolist()


class Batches(Dataset[R], Generic[R, B]):
    """One process's micro-batches by number, without state: as they are stored (R), and as they are trained on (B).

    `fingerprints` are the SHA-256 by domain of what a resumed run must find again, `summary` says how many images of
    what there are, `complaints` are lines on files that can't be used, and `workers` is how many loader processes
    reading needs.
    """

    shard: Shard
    fingerprints: Mapping[str, str]
    summary: str
    complaints: Sequence[str] = ()
    workers: int = 0
    images_per_step: int

    @abstractmethod
    def __getitem__(self, number: int) -> R:
        """The micro-batch as it is stored, on the CPU; called in a loader's process where there are any."""

    @abstractmethod
    def prepare(self, stored: R, number: int, device: torch.device) -> B:
        """The micro-batch as it is trained on, augmented, on the training device."""
