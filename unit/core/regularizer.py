"""What pulls the codes' distribution q(z) towards the prior p(z): one object each, the same for every model.

A regularizer says which posterior the encoder must give, what it weighs, its terms, and, if an adversary is part of it,
the discriminator of codes, which learns in a step of its own. The KL divergence is in closed form and belongs to each
posterior (posterior.py). MMD and adversary need samples alone, so they serve deterministic encoders and any prior.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from unit.core.posterior import Gaussian, Posterior, PosteriorKind, UnitGaussian, mean_divergence, mean_square
from unit.core.prior import Mixture, Normal, Prior
from unit.losses.gan import discriminator_loss, generator_loss


class PriorDraws(Protocol):
    """Samples of the prior for a step, a function of what they are for."""

    def prior(self, code: str, shape: tuple[int, ...]) -> Tensor:
        """A sample for each image's code of that name: (B, *shape)."""

    def permutation(self, count: int) -> Tensor:
        """A random order, the same for all images: int64 (count,)."""


class Regularizer(ABC):
    """`weight` is that of the codes of images, `cycle_weight` that of the codes of translations.

    `name` begins the names of the terms, `posterior` is what the encoder must give, and `discriminator` is the
    adversary of codes, or None.
    """

    name: str
    posterior: PosteriorKind = "deterministic"
    discriminator: nn.Module | None = None

    def __init__(self, weight: float, cycle_weight: float = 0.0) -> None:
        self.weight, self.cycle_weight = weight, cycle_weight

    @abstractmethod
    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        """What pulls each of these codes towards the prior, unweighted: `{name}_{code}` → a scalar."""


class NoRegularizer(Regularizer):
    """Nothing pulls the codes."""

    name = "none"

    def __init__(self) -> None:
        super().__init__(0.0)

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        return {}


class KL(Regularizer):
    """KL(q(z|x) ‖ N(0, I)) in nats, summed over the latent dimensions and averaged over the images (VAE).

    Its weight β (Higgins et al., β-VAE, 2017) may rise linearly from 0 over the first `warmup` steps (Bowman et al.,
    Generating Sentences from a Continuous Space, 2016).
    """

    name = "kl"
    posterior = "gaussian"

    def __init__(self, weight: float, *, warmup: int = 0) -> None:
        super().__init__(weight)
        self.warmup = warmup

    def weight_at(self, step: int) -> float:
        """β·min(1, (step + 1)/(warmup + 1)), steps being counted from 0: the learning rate's warm-up, too, is so."""
        return self.weight * min(1.0, (step + 1) / (self.warmup + 1))

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        return {term_name(self, code): closed_form(q).kl().mean() for code, q in codes.items()}


class MeanKL(Regularizer):
    """Twice the KL divergence, averaged over all elements of the code: the form that UNIT's λ1 and λ3 are for.

    With unit variance it is the mean of μ²; with `learned`, of μ² + σ² − log σ² − 1.
    """

    name = "kl"

    def __init__(self, weight: float, cycle_weight: float = 0.0, *, learned: bool = False) -> None:
        super().__init__(weight, cycle_weight)
        self.posterior = "gaussian" if learned else "unit"

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        divergences = {code: closed_form(q) for code, q in codes.items()}
        return {
            term_name(self, code): mean_divergence(q) if isinstance(q, Gaussian) else mean_square(q.mu)
            for code, q in divergences.items()
        }


class GroupMMD(Regularizer):
    """The maximum mean discrepancy between codes (B, d) and N(0, sd²·I), over groups of `group` images (WAE-MMD)."""

    name = "mmd"

    def __init__(self, weight: float, *, group: int, sd: float = 1.0) -> None:
        super().__init__(weight)
        self.group, self.sd = group, sd

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        return {
            term_name(self, code): mmd_in_groups(q.mu, draws.prior(code, tuple(q.mu.shape[1:])), self.group, sd=self.sd)
            for code, q in codes.items()
        }


class SpatialMMD(Regularizer):
    """The maximum mean discrepancy between the codes at an image's places and N(0, I), averaged over the images.

    Of a large code (B, c, h, w) `places` are drawn. An image at a time, so that it is the same on any number of
    processes and needs no batch larger than one.
    """

    name = "mmd"

    def __init__(self, weight: float, cycle_weight: float = 0.0, *, places: int = 256) -> None:
        super().__init__(weight, cycle_weight)
        self.places = places

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        return {term_name(self, code): self.discrepancy(code, q.mu, draws) for code, q in codes.items()}

    def discrepancy(self, code: str, mu: Tensor, draws: PriorDraws) -> Tensor:
        z = mu.flatten(2).transpose(1, 2)
        count = min(self.places, z.shape[1])
        chosen = draws.permutation(z.shape[1])[:count].to(mu.device)
        return mmd(z[:, chosen], draws.prior(code, (count, mu.shape[1]))).mean()


class Adversarial(Regularizer):
    """A discriminator learns to tell samples of the prior from codes, and the encoder to fool it (AAE, WAE-GAN).

    `discriminator` takes the parts of a code and gives a list of logits, one for each part.
    """

    name = "code_gan"

    def __init__(self, discriminator: nn.Module, weight: float, cycle_weight: float = 0.0) -> None:
        super().__init__(weight, cycle_weight)
        self.discriminator: nn.Module = discriminator

    def discriminator_loss(self, discriminator: nn.Module, real: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
        """BCE of samples of the prior against codes, part by part, in one pass through the `discriminator` as it is
        wrapped for distribution: a scalar, summed over the parts. Codes are detached."""
        n = len(real[0])
        logits = discriminator(*(torch.cat([r, c.detach()]) for r, c in zip(real, codes, strict=True)))
        return discriminator_loss([y[:n] for y in logits], [y[n:] for y in logits], "bce")

    def terms(self, codes: Mapping[str, Posterior], draws: PriorDraws) -> dict[str, Tensor]:
        every = [q.mu for q in codes.values()]
        (logits,) = self.discriminator(torch.cat(every))
        parts = logits.split([len(mu) for mu in every])
        return {term_name(self, code): generator_loss([y], "bce") for code, y in zip(codes, parts, strict=True)}


def term_name(regularizer: Regularizer, code: str) -> str:
    return f"{regularizer.name}_{code}" if code else regularizer.name


def kl(q: Posterior, z: Tensor, prior: Prior) -> Tensor:
    """KL(q(z|x) ‖ p(z)) in nats: (B,). Of a normal prior it is in closed form; of a mixture it is log q(z|x) − log p(z)
    at the code z ~ q(z|x) (B, d), whose expectation it is."""
    of_q = closed_form(q)
    if isinstance(prior, Normal):
        return of_q.kl(prior.sd)
    assert isinstance(prior, Mixture) and isinstance(of_q, Gaussian)
    return of_q.log_prob(z) - prior.log_prob(z)


def closed_form(q: Posterior) -> Gaussian | UnitGaussian:
    assert isinstance(q, Gaussian | UnitGaussian), "a point has no KL divergence"
    return q


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
