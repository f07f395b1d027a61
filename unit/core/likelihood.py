"""p(x|z): what a decoder's output says of an image x.

Each likelihood gives −log p(x|z) in nats, summed over the pixels: one number an image; and the mean image.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LikelihoodKind = Literal["bernoulli", "gaussian", "laplace"]


@dataclass(frozen=True)
class Bernoulli:
    """Each pixel is 1 with probability σ(output), else 0.

    Gray levels x in [0, 1] are taken for probabilities too: the loss is then the cross-entropy, whose least value is
    the images' own entropy and not 0 (45.5 nats an image on MNIST's test set).
    """

    def nll(self, x: Tensor, output: Tensor) -> Tensor:
        """Σ softplus(l) − x·l of logits l, for x in [0, 1]: both (B, …) → (B,)."""
        return F.binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """σ(output)."""
        return output.sigmoid()


@dataclass(frozen=True)
class Gaussian:
    """N(output, variance·I). With variance ½ the loss is the summed squared error, but for a constant."""

    variance: float = 1.0

    def nll(self, x: Tensor, output: Tensor) -> Tensor:
        """Σ (x − output)²/(2σ²) + ½ log 2πσ²: both (B, …) → (B,)."""
        constant = 0.5 * math.log(2 * math.pi * self.variance)
        return ((x - output).square() / (2 * self.variance) + constant).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output


@dataclass(frozen=True)
class Laplace:
    """Laplace(output, scale): the loss is the summed absolute error over the scale, but for a constant (UNIT)."""

    scale: float = 1.0

    def nll(self, x: Tensor, output: Tensor) -> Tensor:
        """Σ |x − output|/b + log 2b: both (B, …) → (B,)."""
        return ((x - output).abs() / self.scale + math.log(2 * self.scale)).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(μ, diag σ²), both learned: the output holds μ and then log σ², side by side (for vectors, not images)."""

    def nll(self, x: Tensor, output: Tensor) -> Tensor:
        """½ Σ (x − μ)²/σ² + log σ² + log 2π: (B, n) and (B, 2n) → (B,)."""
        mu, log_variance = output.chunk(2, dim=-1)
        return 0.5 * ((x - mu).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        """μ: (B, 2n) → (B, n)."""
        return output.chunk(2, dim=-1)[0]


Likelihood = Bernoulli | Gaussian | Laplace | DiagonalGaussian


def build_likelihood(kind: LikelihoodKind, scale: float) -> Likelihood:
    """The likelihood of that kind; `scale` is the Gaussian's σ² and the Laplace's b."""
    match kind:
        case "bernoulli":
            return Bernoulli()
        case "gaussian":
            return Gaussian(scale)
        case "laplace":
            return Laplace(scale)


def entropy(x: Tensor) -> Tensor:
    """−Σ x log x + (1 − x) log(1 − x), the least Bernoulli loss that there is, of x in [0, 1]: (B, …) → (B,)."""
    return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).flatten(1).sum(1)
