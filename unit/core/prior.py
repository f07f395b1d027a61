"""p(z): what the codes are to be distributed like.

A prior is sampled with a generator, so that the same key gives the same codes (unit/draws.py). Some have labels: then
each sample belongs to a class, which is drawn at random where none is given.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

PriorKind = Literal["normal", "uniform", "mixture", "swiss_roll", "sectors", "cells"]
ALONG, OUTWARDS, ACROSS = 0.5, 1.4, 0.1
"""Of a petal: the standard deviation along its ray, its shift, and the standard deviation across."""


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
        along, across = ALONG * along + OUTWARDS, ACROSS * across
        angle = 2 * math.pi * k / self.labels
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([along * cos - across * sin, along * sin + across * cos], dim=1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, all petals being equally likely: (B, 2) → (B,)."""
        angle = 2 * math.pi * torch.arange(self.labels, dtype=z.dtype, device=z.device) / self.labels
        cos, sin = angle.cos(), angle.sin()
        along = (z[:, :1] * cos + z[:, 1:] * sin - OUTWARDS) / ALONG
        across = (z[:, 1:] * cos - z[:, :1] * sin) / ACROSS
        petals = -0.5 * (along.square() + across.square()) - math.log(2 * math.pi * ALONG * ACROSS)
        return petals.logsumexp(1) - math.log(self.labels)


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
class Sectors:
    """N(0, sd²·I) in the plane, cut into parts: label 0 is the disk of radius sd, and the others are as many sectors
    around it, of 40° each with ten labels, counted from the angle 0."""

    sd: float = 1.0
    labels: int = 10
    dimensions: int = 2

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, 2); `labels`, int64 (count,), choose the parts. ½ (r/sd)² is exponential: in the disk it is
        that below ½, in a sector that above it, which is ½ and an exponential again."""
        k = self.draw_labels(count, generator) if labels is None else labels
        u, turn = torch.rand(count, 2, generator=generator).unbind(1)
        inside = k == 0
        half_square = -torch.log1p(-u * torch.where(inside, self.share_of_disk, 1.0)) + torch.where(inside, 0.0, 0.5)
        radius = self.sd * (2 * half_square).sqrt()
        angle = 2 * math.pi * torch.where(inside, turn, (k - 1 + turn) / (self.labels - 1))
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

    @property
    def share_of_disk(self) -> float:
        """The probability of label 0: 1 − e^(−½)."""
        return -math.expm1(-0.5)

    def draw_labels(self, count: int, generator: torch.Generator) -> Tensor:
        """Labels, each as likely as its part is under N(0, sd²·I): int64 (count,)."""
        outside = (torch.rand(count, generator=generator) - self.share_of_disk) / (1 - self.share_of_disk)
        return torch.where(outside < 0, 0, 1 + (outside * (self.labels - 1)).long()).clamp(max=self.labels - 1)


@dataclass(frozen=True)
class Cells:
    """Uniform in cells of [-1, 1]², of a grid of 4 × 4 with ten labels: label k has that in column k mod 4 and row
    k div 4, counted from the lower left. Cells beyond the last label are empty."""

    labels: int = 10
    dimensions: int = 2

    def sample(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """float (count, 2); `labels`, int64 (count,), choose the cells."""
        k = drawn(count, self.labels, generator) if labels is None else labels
        side = math.ceil(math.sqrt(self.labels))
        corner = torch.stack([k % side, k // side], dim=1)
        return 2 * (corner + torch.rand(count, 2, generator=generator)) / side - 1


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


Prior = Normal | Uniform | Mixture | SwissRoll | Sectors | Cells


def drawn(count: int, labels: int, generator: torch.Generator) -> Tensor:
    """Labels, each equally likely: int64 (count,)."""
    return torch.randint(labels, (count,), generator=generator)


def draw_labels(prior: Prior, count: int, generator: torch.Generator) -> Tensor:
    """Labels of a prior in parts, each as likely as its part: int64 (count,)."""
    if isinstance(prior, Sectors):
        return prior.draw_labels(count, generator)
    return drawn(count, prior.labels, generator)


def build_prior(kind: PriorKind, dimensions: int, *, sd: float = 1.0) -> Prior:
    """The prior of that kind; raises ValueError for a dimension that it can't have. `sd` is the normal's, and its
    sectors'."""
    match kind:
        case "normal":
            return Normal(dimensions, sd)
        case "uniform":
            return Uniform(dimensions)
    if dimensions != 2:
        raise ValueError(f"the {kind} prior lies in the plane: expected 2 latent dimensions, got {dimensions}")
    match kind:
        case "mixture":
            return Mixture()
        case "swiss_roll":
            return SwissRoll()
        case "sectors":
            return Sectors(sd)
        case "cells":
            return Cells()
