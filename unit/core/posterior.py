"""q(z|x): what an encoder says of the code z of an image x.

Notation: μ is the mean, a float tensor whose first dimension is the batch.
"""

from typing import NamedTuple

from torch import Tensor


class UnitGaussian(NamedTuple):
    """q(z|x) = N(μ(x), I): the mean is learned, the variance is fixed at 1 (UNIT, section 3)."""

    mu: Tensor

    def sample(self, noise: Tensor | None) -> Tensor:
        """z = μ + ε for ε ~ N(0, I) of μ's shape, or the mean itself where there is no noise (at inference)."""
        return self.mu if noise is None else self.mu + noise


def mean_square(mu: Tensor) -> Tensor:
    """μ² averaged over all elements: a scalar.

    Twice KL(N(μ, I) ‖ N(0, I)) = ½ Σ μ² for each latent dimension; the form that UNIT's λ1 and λ3 are for.
    """
    return mu.square().mean()
