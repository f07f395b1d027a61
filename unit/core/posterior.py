"""q(z|x): what an encoder says of the code z of an image x.

Notation: μ and log σ² are float tensors whose first dimension is the batch. A KL divergence is in nats, to N(0, sd²·I),
summed over the latent dimensions: one number an image.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PosteriorKind = Literal["gaussian", "softplus", "unit", "deterministic"]

LEAST_SD = 1e-6
"""Added to a softplus, so that σ is above 0."""


class Gaussian(NamedTuple):
    """q(z|x) = N(μ(x), σ²(x) I): mean and variance are learned (Kingma & Welling 2014)."""

    mu: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor | None) -> Tensor:
        """z = μ + σ·ε for ε ~ N(0, I) of μ's shape, or the mean itself where there is no noise (at inference)."""
        return self.mu if noise is None else self.mu + (0.5 * self.log_variance).exp() * noise

    def kl(self, sd: float = 1.0) -> Tensor:
        """KL(q ‖ N(0, sd²·I)) = ½ Σ ((μ² + σ²)/sd² − log σ² + log sd² − 1): (B,) (Kingma & Welling 2014, app. B)."""
        squares = (self.mu.square() + self.log_variance.exp()) / sd**2
        divergence = squares - self.log_variance + 2 * math.log(sd) - 1
        return 0.5 * divergence.flatten(1).sum(1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) = −½ Σ ((z − μ)²/σ² + log σ² + log 2π) in nats: (B,)."""
        squares = (z - self.mu).square() * (-self.log_variance).exp()
        return -0.5 * (squares + self.log_variance + math.log(2 * math.pi)).flatten(1).sum(1)


class UnitGaussian(NamedTuple):
    """q(z|x) = N(μ(x), I): the mean is learned, the variance is fixed at 1 (UNIT, section 3)."""

    mu: Tensor

    def sample(self, noise: Tensor | None) -> Tensor:
        """z = μ + ε for ε ~ N(0, I) of μ's shape, or the mean itself where there is no noise (at inference)."""
        return self.mu if noise is None else self.mu + noise

    def kl(self, sd: float = 1.0) -> Tensor:
        """KL(q ‖ N(0, sd²·I)) = ½ Σ (μ² + 1)/sd² + log sd² − 1: (B,); with sd = 1, ½ Σ μ²."""
        constant = 1 / sd**2 + 2 * math.log(sd) - 1
        return 0.5 * (self.mu.square() / sd**2 + constant).flatten(1).sum(1)


class Deterministic(NamedTuple):
    """All of q(z|x) at one point, the encoder's output (AAE, WAE): noise changes nothing, and there is no KL."""

    mu: Tensor

    def sample(self, noise: Tensor | None) -> Tensor:
        """z = μ."""
        return self.mu


Posterior = Gaussian | UnitGaussian | Deterministic


def build_posterior(output: Tensor, kind: PosteriorKind) -> Posterior:
    """The posterior that an encoder's output (B, C, …) describes: it is μ; for `gaussian` μ and then log σ²; for
    `softplus` μ and then s, of which σ = log(1 + exp s) + 10⁻⁶."""
    match kind:
        case "gaussian":
            assert output.shape[1] % 2 == 0
            mu, log_variance = torch.chunk(output, 2, dim=1)
            return Gaussian(mu, log_variance)
        case "softplus":
            assert output.shape[1] % 2 == 0
            mu, s = torch.chunk(output, 2, dim=1)
            return Gaussian(mu, 2 * (F.softplus(s) + LEAST_SD).log())
        case "unit":
            return UnitGaussian(output)
        case "deterministic":
            return Deterministic(output)


def encoder_channels(latent: int, kind: PosteriorKind) -> int:
    """How many channels an encoder's output needs for a code of `latent` channels."""
    return 2 * latent if kind in ("gaussian", "softplus") else latent


def mean_divergence(q: Gaussian) -> Tensor:
    """μ² + σ² − log σ² − 1 averaged over all elements: a scalar.

    Twice the KL divergence for each latent dimension; with unit variance it is `mean_square`.
    """
    return (q.mu.square() + q.log_variance.exp() - q.log_variance - 1).mean()


def mean_square(mu: Tensor) -> Tensor:
    """μ² averaged over all elements: a scalar.

    Twice KL(N(μ, I) ‖ N(0, I)) = ½ Σ μ² for each latent dimension; the form that UNIT's λ1 and λ3 are for.
    """
    return mu.square().mean()
