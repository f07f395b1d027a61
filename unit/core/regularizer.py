"""What pulls the codes' distribution q(z) towards the prior p(z).

The KL divergence is in closed form and belongs to each posterior (posterior.py). Two need samples alone, so they serve
deterministic encoders and any prior: the maximum mean discrepancy, which is here, and an adversary (a discriminator of
codes with the losses of losses.py). Categories have one more: the divergence of their mean.
"""

import math
from typing import Literal

import torch
from torch import Tensor

RegularizerKind = Literal["kl", "kl_learned", "mmd", "adversarial", "none"]

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x_i − y_j‖² between all rows: (…, n, d), (…, m, d) → (…, n, m)."""
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (squares - 2 * x @ y.transpose(-1, -2)).clamp(min=0)


def imq_kernel(x: Tensor, y: Tensor, *, sd: float = 1.0) -> Tensor:
    """The inverse multiquadratic kernel Σ_s C/(C + ‖x − y‖²), C = 2·d·sd²·s for s in SCALES (Tolstikhin et al. 2018,
    section 4 and their code), between all rows: (…, n, d), (…, m, d) → (…, n, m)."""
    distance = squared_distances(x, y)
    constants = [2 * x.shape[-1] * sd**2 * s for s in SCALES]
    return torch.stack([c / (c + distance) for c in constants]).sum(0)


def mmd(z: Tensor, prior: Tensor, *, sd: float = 1.0) -> Tensor:
    """The maximum mean discrepancy of n ≥ 2 codes and n samples of the prior, whose standard deviation is `sd`,
    unbiased within its terms: (…, n, d) each → (…), a scalar of (n, d) (WAE-MMD, algorithm 2).

    Of two samples of one distribution it is 0 on average, and so may be negative.
    """
    n = z.shape[-2]
    assert n > 1 and prior.shape == z.shape

    def others(kernel: Tensor) -> Tensor:
        """The mean over pairs of different rows."""
        return (kernel.sum((-1, -2)) - kernel.diagonal(dim1=-2, dim2=-1).sum(-1)) / (n * (n - 1))

    within = others(imq_kernel(z, z, sd=sd)) + others(imq_kernel(prior, prior, sd=sd))
    return within - 2 * imq_kernel(z, prior, sd=sd).mean((-1, -2))


def mmd_in_groups(z: Tensor, prior: Tensor, group: int, *, sd: float = 1.0) -> Tensor:
    """The discrepancy averaged over groups of `group` codes that stand one after another: (B, d) each → a scalar.

    It is the same however the batch is divided over processes, as long as none of them holds part of a group.
    """
    groups = (-1, group, z.shape[1])
    return mmd(z.reshape(groups), prior.reshape(groups), sd=sd).mean()


def imbalance_in_groups(y: Tensor, group: int) -> Tensor:
    """KL(ȳ ‖ uniform) = Σ ȳ log ȳ + log K in nats, ȳ being the mean of `group` images' categories that stand one after
    another, averaged over the groups: probabilities (B, K) → a scalar, 0 where all categories are used alike.

    Less log K it is the negated entropy of the mean that clustering by mutual information has (Hu et al., Learning
    Discrete Representations via Information Maximizing Self-Augmented Training, 2017).
    """
    mean = y.reshape(-1, group, y.shape[1]).mean(1)
    negated: Tensor = (mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()).sum(1).mean()
    return negated + math.log(y.shape[1])
