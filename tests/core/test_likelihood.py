"""p(x|z): each loss against torch's own log-probability or a sum by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from laws import close, gradient, normals, uniforms
from torch import Tensor, distributions

from unit.core.likelihood import (
    Bernoulli,
    DiagonalGaussian,
    Gaussian,
    Laplace,
    LikelihoodKind,
    build_likelihood,
    entropy,
)

SHAPES = [(5, 7), (3, 4, 2, 5)]
"""Vectors or maps of pixels."""


def law_of(kind: LikelihoodKind, scale: float, output: Tensor) -> distributions.Distribution:
    laws: dict[LikelihoodKind, distributions.Distribution] = {
        "bernoulli": distributions.Bernoulli(logits=output),
        "gaussian": distributions.Normal(output, math.sqrt(scale)),
        "laplace": distributions.Laplace(output, scale),
    }
    return laws[kind]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.392, 1.0])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "laplace"])
def test_each_loss_is_minus_torchs_log_probability_summed(
    kind: LikelihoodKind, scale: float, shape: tuple[int, ...]
) -> None:
    output, x = 2 * normals(*shape, seed=0), normals(*shape, seed=1)
    if kind == "bernoulli":
        x = (x > 0.3).double()
    likelihood, law = build_likelihood(kind, scale), law_of(kind, scale, output)
    close(likelihood.nll(x, output), -law.log_prob(x).flatten(1).sum(1))
    close(likelihood.mean(output), law.mean)


def test_a_gaussian_that_learns_its_variance_is_torchs_own_with_the_mean_first() -> None:
    mu, log_variance, x = (normals(5, 7, seed=seed) for seed in range(3))
    output, law = torch.cat([mu, log_variance], dim=1), distributions.Normal(mu, torch.exp(log_variance / 2))
    close(DiagonalGaussian().nll(x, output), -law.log_prob(x).sum(1))
    assert torch.equal(DiagonalGaussian().mean(output), mu)


def test_each_loss_by_hand() -> None:
    x, output = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])  # σ = 3/4 and 1/2
    assert Bernoulli().nll(x, output).tolist() == pytest.approx([math.log(4 / 3) + math.log(2)])
    off = torch.tensor([[3.0, -1.0]])  # by 2 and by 1
    assert Gaussian(0.5).nll(x, off).tolist() == pytest.approx([4 + 1 + math.log(math.pi)])
    assert Laplace(2.0).nll(x, off).tolist() == pytest.approx([2 / 2 + 1 / 2 + 2 * math.log(4)])
    assert (Gaussian(), Laplace()) == (Gaussian(1.0), Laplace(1.0))


@pytest.mark.parametrize("shape", SHAPES)
def test_gray_levels_are_taken_for_probabilities(shape: tuple[int, ...]) -> None:
    x, output = uniforms(*shape, seed=0), normals(*shape, seed=1)
    expected = F.binary_cross_entropy(output.sigmoid(), x, reduction="none").flatten(1).sum(1)
    close(Bernoulli().nll(x, output), expected)


def test_the_least_cross_entropy_of_gray_levels_is_their_entropy() -> None:
    x = 0.01 + 0.98 * uniforms(4, 1, 3, 5, seed=0)
    best = x.logit().requires_grad_()
    least = Bernoulli().nll(x, best)
    close(least, entropy(x))
    close(gradient(least.sum(), best), torch.zeros_like(x))  # with convexity: the least there is
    for seed in range(5):
        away = best.detach() + 0.1 * normals(*x.shape, seed=seed)
        assert (Bernoulli().nll(x, away) > entropy(x)).all()


def test_entropy_by_hand() -> None:
    x = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.25, 1.0]])
    quarter = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    assert entropy(x).tolist() == pytest.approx([0.0, 2 * math.log(2), quarter])
    assert entropy(x.reshape(3, 1, 1, 2)).shape == (3,)


def test_a_sure_bernoulli_neither_overflows_nor_loses_its_gradient() -> None:
    output = torch.tensor([[2000.0, -2000.0]], requires_grad=True)
    wrong = Bernoulli().nll(torch.tensor([[0.0, 1.0]]), output)
    assert wrong.tolist() == [4000.0]
    assert gradient(wrong.sum(), output).tolist() == [[1.0, -1.0]]


def test_a_thousandfold_mean_squared_error_is_a_gaussian_of_variance_0_392() -> None:
    x, start = uniforms(3, 1, 28, 28, seed=0), uniforms(3, 1, 28, 28, seed=1)
    output = start.requires_grad_()
    weighted = 1000 * (x - output).square().flatten(1).mean(1)
    likely = Gaussian(784 / 2000).nll(x, output)
    close(gradient(likely.sum(), output), gradient(weighted.sum(), output))
    assert 784 / 2000 == 0.392
    close(likely - 784 / 2 * math.log(2 * math.pi * 0.392), 1000 * (x - output).square().flatten(1).mean(1))
