"""p(z): what the codes are to be distributed like.

A prior is sampled with a generator, so that the same key gives the same codes (unit/draws.py). Some have labels: then
each sample belongs to a class, which is drawn at random where none is given.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

PriorKind = Literal["normal", "uniform", "mixture", "swiss_roll"]


@dataclass(frozen=True)
class Normal:
    """N(0, sd²·I)."""

    dimensions: int
    sd: float = 1.0
    labels: int = 0

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, dimensions)."""
        assert labels is None
        return self.sd * torch.randn(count, self.dimensions, generator=generator)


@dataclass(frozen=True)
class Uniform:
    """Uniform in [-1, 1]^dimensions."""

    dimensions: int
    labels: int = 0

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, dimensions)."""
        assert labels is None
        return 2 * torch.rand(count, self.dimensions, generator=generator) - 1


@dataclass(frozen=True)
class Mixture:
    """A flower of Gaussians in the plane, one petal a label: standard deviation 0.5 along its ray and 0.1 across,
    shifted outwards by 1.4 and turned by 2π·label/labels (Makhzani et al. 2016, figure 4)."""

    labels: int = 10
    dimensions: int = 2

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, 2); `labels`, int64 (count,), choose the petals."""
        k = drawn(count, self.labels, generator) if labels is None else labels
        along, across = torch.randn(count, 2, generator=generator).unbind(1)
        along, across = 0.5 * along + 1.4, 0.1 * across
        angle = 2 * math.pi * k / self.labels
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([along * cos - across * sin, along * sin + across * cos], dim=1)


@dataclass(frozen=True)
class SwissRoll:
    """A spiral in the plane, cut into one piece a label: u = (U + label)/labels for U uniform in [0, 1), radius 3√u,
    angle 4π√u (Makhzani et al. 2016, figure 4)."""

    labels: int = 10
    dimensions: int = 2

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, 2); `labels`, int64 (count,), choose the pieces."""
        k = drawn(count, self.labels, generator) if labels is None else labels
        root = ((torch.rand(count, generator=generator) + k) / self.labels).sqrt()
        angle = 4 * math.pi * root
        return torch.stack([3 * root * angle.cos(), 3 * root * angle.sin()], dim=1)


@dataclass(frozen=True)
class Categorical:
    """One of `labels` classes, all alike, as one-hot vectors."""

    labels: int

    @property
    def dimensions(self) -> int:
        return self.labels

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, labels), one 1 a row."""
        k = drawn(count, self.labels, generator) if labels is None else labels
        return torch.nn.functional.one_hot(k, self.labels).float()


Prior = Normal | Uniform | Mixture | SwissRoll


def drawn(count: int, labels: int, generator: torch.Generator) -> Tensor:
    """Labels, each equally likely: int64 (count,)."""
    return torch.randint(labels, (count,), generator=generator)


def build_prior(kind: PriorKind, dimensions: int, *, sd: float = 1.0) -> Prior:
    """The prior of that kind; raises ValueError for a dimension that it can't have. `sd` is the normal's."""
    match kind:
        case "normal":
            return Normal(dimensions, sd)
        case "uniform":
            return Uniform(dimensions)
    if dimensions != 2:
        raise ValueError(f"the {kind} prior lies in the plane: expected 2 latent dimensions, got {dimensions}")
    return Mixture() if kind == "mixture" else SwissRoll()
