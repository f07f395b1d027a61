"""q(z|x): samples, divergences and gradients against torch's own, their law or a sum by hand."""

import math

import pytest
import torch
from laws import close, gradient, normals, worst_z
from torch import distributions

from unit.core.posterior import (
    Deterministic,
    Gaussian,
    Posterior,
    PosteriorKind,
    UnitGaussian,
    build_posterior,
    encoder_channels,
    mean_divergence,
    mean_square,
)

SHAPES = [(5, 7), (3, 4, 2, 5)]
"""A vector or a map of features for each image."""


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kl_divergences_are_torchs_own_summed_for_each_image(shape: tuple[int, ...]) -> None:
    mu, log_variance = normals(*shape, seed=0), normals(*shape, seed=1)
    standard = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    for posterior, sd in (
        (Gaussian(mu, log_variance), torch.exp(log_variance / 2)),
        (UnitGaussian(mu), torch.ones_like(mu)),
    ):
        expected = distributions.kl_divergence(distributions.Normal(mu, sd), standard).flatten(1).sum(1)
        assert expected.shape == (shape[0],)
        close(posterior.kl(), expected)


def test_the_kl_divergence_by_hand() -> None:
    mu, log_variance = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4)], [0.0, 0.0]])
    # ½ (1 + 1 − 0 − 1) + ½ (4 + 4 − log 4 − 1), and nothing where q is the prior
    assert Gaussian(mu, log_variance).kl().tolist() == pytest.approx([0.5 + 3.5 - math.log(2), 0.0])
    assert UnitGaussian(mu).kl().tolist() == [2.5, 0.0]


@pytest.mark.parametrize("sd", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kl_divergence_to_a_prior_of_another_width_is_torchs_own(shape: tuple[int, ...], sd: float) -> None:
    mu, log_variance = normals(*shape, seed=0), normals(*shape, seed=1)
    prior = distributions.Normal(torch.zeros_like(mu), torch.full_like(mu, sd))
    for posterior, of_q in (
        (Gaussian(mu, log_variance), torch.exp(log_variance / 2)),
        (UnitGaussian(mu), torch.ones_like(mu)),
    ):
        expected = distributions.kl_divergence(distributions.Normal(mu, of_q), prior)
        close(posterior.kl(sd), expected.flatten(1).sum(1))


def test_a_sample_s_density_is_torchs_own() -> None:
    mu, log_variance, z = (normals(5, 7, seed=seed) for seed in range(3))
    expected = distributions.Normal(mu, torch.exp(log_variance / 2)).log_prob(z).sum(1)
    close(Gaussian(mu, log_variance).log_prob(z), expected)


def test_the_softplus_of_an_encoders_output_is_the_standard_deviation() -> None:
    output = torch.tensor([[1.0, -2.0, 0.0, -60.0]], dtype=torch.float64)
    q = build_posterior(output, "softplus")
    assert isinstance(q, Gaussian)
    sd = torch.exp(q.log_variance / 2)
    assert q.mu.tolist() == [[1.0, -2.0]]
    assert sd[0].tolist() == pytest.approx([math.log(2) + 1e-6, 1e-6])
    noise = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert q.sample(noise)[0].tolist() == pytest.approx([1 + math.log(2) + 1e-6, -2 + 3e-6])
    law = distributions.Normal(q.mu, torch.nn.functional.softplus(output[:, 2:]) + 1e-6)
    standard = distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
    close(q.kl(), distributions.kl_divergence(law, standard).sum(1))


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_square_is_twice_the_mean_kl_for_each_latent_dimension(shape: tuple[int, ...]) -> None:
    mu = normals(*shape, seed=0)
    close(mean_square(mu), 2 * UnitGaussian(mu).kl().mean() / mu[0].numel())
    assert mean_square(torch.tensor([1.0, -2.0, 4.0])) == 7


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_divergence_is_twice_the_mean_kl_for_each_latent_dimension(shape: tuple[int, ...]) -> None:
    q = Gaussian(normals(*shape, seed=0), normals(*shape, seed=1))
    close(mean_divergence(q), 2 * q.kl().mean() / q.mu[0].numel())
    close(mean_divergence(q._replace(log_variance=torch.zeros_like(q.mu))), mean_square(q.mu))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["gaussian", "softplus", "unit", "deterministic"])
def test_an_encoders_output_is_the_mean_and_then_what_gives_the_variance(
    kind: PosteriorKind, shape: tuple[int, ...]
) -> None:
    latent = 4
    output = normals(shape[0], encoder_channels(latent, kind), *shape[2:], seed=0)
    posterior = build_posterior(output, kind)
    assert torch.equal(posterior.mu, output[:, :latent])
    assert posterior.mu.shape[1] == latent
    if kind == "gaussian":
        assert isinstance(posterior, Gaussian) and torch.equal(posterior.log_variance, output[:, latent:])
    names = {"gaussian": Gaussian, "softplus": Gaussian, "unit": UnitGaussian, "deterministic": Deterministic}
    assert type(posterior) is names[kind]


def test_samples_by_hand() -> None:
    mu, log_variance = torch.tensor([[1.0, 2.0]]), torch.tensor([[math.log(4), math.log(9)]])
    noise = torch.tensor([[0.5, -1.0]])
    assert Gaussian(mu, log_variance).sample(noise)[0].tolist() == pytest.approx([1 + 2 * 0.5, 2 - 3])
    assert UnitGaussian(mu).sample(noise).tolist() == [[1.5, 1.0]]
    assert Deterministic(mu).sample(noise).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("kind", ["gaussian", "softplus", "unit", "deterministic"])
def test_without_noise_the_sample_is_the_mean(kind: PosteriorKind) -> None:
    output = normals(3, encoder_channels(4, kind), seed=0)
    assert torch.equal(build_posterior(output, kind).sample(None), output[:, :4])


def test_a_deterministic_code_has_no_divergence_and_passes_its_gradient_on_whole() -> None:
    mu = normals(3, 4, seed=0).requires_grad_()
    posterior = Deterministic(mu)
    assert not hasattr(posterior, "kl")
    assert torch.equal(gradient(posterior.sample(normals(3, 4, seed=1)).sum(), mu), torch.ones_like(mu))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_samples_derivatives_are_one_and_half_its_noise(shape: tuple[int, ...]) -> None:
    mu = normals(*shape, seed=0).requires_grad_()
    log_variance = normals(*shape, seed=1).requires_grad_()
    noise = normals(*shape, seed=2)
    z = Gaussian(mu, log_variance).sample(noise)
    by_mu, by_log_variance = torch.autograd.grad(z.sum(), (mu, log_variance))
    assert torch.equal(by_mu, torch.ones_like(mu))
    close(by_log_variance, 0.5 * torch.exp(log_variance.detach() / 2) * noise, 1e-12)
    assert torch.equal(gradient(UnitGaussian(mu).sample(noise).sum(), mu), torch.ones_like(mu))


@pytest.mark.parametrize("learned", [True, False])
def test_reparameterized_gradients_are_those_of_the_expectation(learned: bool) -> None:
    # f(z) = ½ zᵀAz + bᵀz, so E f = ½ μᵀAμ + bᵀμ + ½ Σ A_ii σ_i²: its gradient is Aμ + b by μ, ½ A_ii σ_i² by log σ².
    count, d = 40_000, 3
    half, b = normals(d, d, seed=0), normals(d, seed=1)
    a = half + half.T
    center, spread = normals(d, seed=2), normals(d, seed=3) if learned else torch.zeros(d, dtype=torch.float64)
    mu = center.repeat(count, 1).requires_grad_()
    log_variance = spread.repeat(count, 1).requires_grad_()
    posterior: Posterior = Gaussian(mu, log_variance) if learned else UnitGaussian(mu)
    z = posterior.sample(normals(count, d, seed=4))
    f = (0.5 * (z @ a * z).sum(1) + z @ b).sum()
    assert worst_z(torch.autograd.grad(f, mu, retain_graph=True)[0], a @ center + b) < 4
    if learned:
        assert worst_z(gradient(f, log_variance), 0.5 * a.diagonal() * spread.exp()) < 4
