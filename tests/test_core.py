"""The autoencoder core: each divergence, loss, prior and discrepancy against torch's own, its law or a sum by hand."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from unit import draws
from unit.core.autoencoder import Autoencoder, joined
from unit.core.likelihood import Bernoulli, DiagonalGaussian, Gaussian, Laplace, LikelihoodKind, entropy, likelihood_of
from unit.core.posterior import (
    Deterministic,
    Posterior,
    PosteriorKind,
    UnitGaussian,
    encoder_channels,
    mean_square,
    posterior_of,
)
from unit.core.posterior import Gaussian as GaussianPosterior
from unit.core.prior import Categorical, Mixture, Normal, Prior, PriorKind, SwissRoll, Uniform, prior_of
from unit.core.regularizer import SCALES, imbalance_in_groups, imq_kernel, mmd, mmd_in_groups, squared_distances

SHAPES = [(5, 7), (3, 4, 2, 5)]  # a vector or a map of features for each image
CHI_SQUARE_9 = 27.88  # 9 degrees of freedom: one fair sample in a thousand lies above


def normals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniforms(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def worst_z(samples: Tensor, expected: Tensor) -> float:
    """How many standard errors the mean over the first dimension is away from what is expected, where it is worst."""
    error = samples.std(0) / math.sqrt(len(samples))
    return ((samples.mean(0) - expected).abs() / error).max().item()


def gradient(value: Tensor, at: Tensor) -> Tensor:
    (answer,) = torch.autograd.grad(value, at)
    return answer


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


# The posterior.


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kl_divergences_are_torchs_own_summed_for_each_image(shape: tuple[int, ...]) -> None:
    mu, log_variance = normals(*shape, seed=0), normals(*shape, seed=1)
    standard = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    for posterior, sd in (
        (GaussianPosterior(mu, log_variance), torch.exp(log_variance / 2)),
        (UnitGaussian(mu), torch.ones_like(mu)),
    ):
        expected = distributions.kl_divergence(distributions.Normal(mu, sd), standard).flatten(1).sum(1)
        assert expected.shape == (shape[0],)
        close(posterior.kl(), expected)


def test_the_kl_divergence_by_hand() -> None:
    mu, log_variance = torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4)], [0.0, 0.0]])
    # ½ (1 + 1 − 0 − 1) + ½ (4 + 4 − log 4 − 1), and nothing where q is the prior
    assert GaussianPosterior(mu, log_variance).kl().tolist() == pytest.approx([0.5 + 3.5 - math.log(2), 0.0])
    assert UnitGaussian(mu).kl().tolist() == [2.5, 0.0]


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_square_is_twice_the_mean_kl_for_each_latent_dimension(shape: tuple[int, ...]) -> None:
    mu = normals(*shape, seed=0)
    close(mean_square(mu), 2 * UnitGaussian(mu).kl().mean() / mu[0].numel())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["gaussian", "unit", "deterministic"])
def test_an_encoders_output_is_the_mean_and_then_the_log_variance(kind: PosteriorKind, shape: tuple[int, ...]) -> None:
    latent = 4
    output = normals(shape[0], encoder_channels(latent, kind), *shape[2:], seed=0)
    posterior = posterior_of(output, kind)
    assert torch.equal(posterior.mu, output[:, :latent])
    assert posterior.mu.shape[1] == latent
    if isinstance(posterior, GaussianPosterior):
        assert torch.equal(posterior.log_variance, output[:, latent:])
    names = {"gaussian": GaussianPosterior, "unit": UnitGaussian, "deterministic": Deterministic}
    assert type(posterior) is names[kind]


def test_samples_by_hand() -> None:
    mu, log_variance = torch.tensor([[1.0, 2.0]]), torch.tensor([[math.log(4), math.log(9)]])
    noise = torch.tensor([[0.5, -1.0]])
    assert GaussianPosterior(mu, log_variance).sample(noise)[0].tolist() == pytest.approx([1 + 2 * 0.5, 2 - 3])
    assert UnitGaussian(mu).sample(noise).tolist() == [[1.5, 1.0]]
    assert Deterministic(mu).sample(noise).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("kind", ["gaussian", "unit", "deterministic"])
def test_without_noise_the_sample_is_the_mean(kind: PosteriorKind) -> None:
    output = normals(3, encoder_channels(4, kind), seed=0)
    assert torch.equal(posterior_of(output, kind).sample(None), output[:, :4])


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
    z = GaussianPosterior(mu, log_variance).sample(noise)
    by_mu, by_log_variance = torch.autograd.grad(z.sum(), (mu, log_variance))
    assert torch.equal(by_mu, torch.ones_like(mu))
    close(by_log_variance, 0.5 * torch.exp(log_variance.detach() / 2) * noise, 1e-12)
    assert torch.equal(gradient(UnitGaussian(mu).sample(noise).sum(), mu), torch.ones_like(mu))


@pytest.mark.parametrize("learned", [True, False])
def test_reparameterised_gradients_are_those_of_the_expectation(learned: bool) -> None:
    # f(z) = ½ zᵀAz + bᵀz, so E f = ½ μᵀAμ + bᵀμ + ½ Σ A_ii σ_i²: its gradient is Aμ + b by μ, ½ A_ii σ_i² by log σ².
    count, d = 40_000, 3
    half, b = normals(d, d, seed=0), normals(d, seed=1)
    a = half + half.T
    centre, spread = normals(d, seed=2), normals(d, seed=3) if learned else torch.zeros(d, dtype=torch.float64)
    mu = centre.repeat(count, 1).requires_grad_()
    log_variance = spread.repeat(count, 1).requires_grad_()
    posterior: Posterior = GaussianPosterior(mu, log_variance) if learned else UnitGaussian(mu)
    z = posterior.sample(normals(count, d, seed=4))
    f = (0.5 * (z @ a * z).sum(1) + z @ b).sum()
    assert worst_z(torch.autograd.grad(f, mu, retain_graph=True)[0], a @ centre + b) < 4
    if learned:
        assert worst_z(gradient(f, log_variance), 0.5 * a.diagonal() * spread.exp()) < 4


# The likelihood.


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
    likelihood, law = likelihood_of(kind, scale), law_of(kind, scale, output)
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
def test_grey_levels_are_taken_for_probabilities(shape: tuple[int, ...]) -> None:
    x, output = uniforms(*shape, seed=0), normals(*shape, seed=1)
    expected = F.binary_cross_entropy(output.sigmoid(), x, reduction="none").flatten(1).sum(1)
    close(Bernoulli().nll(x, output), expected)


def test_the_least_cross_entropy_of_grey_levels_is_their_entropy() -> None:
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


# The prior.

# The swiss roll's mean, ∫₀¹ 6r² cos 4πr dr and ∫₀¹ 6r² sin 4πr dr, and its squares, ∫₀¹ 9r³ (1 ± cos 8πr) dr and, off
# the diagonal, ∫₀¹ 9r³ sin 8πr dr.
ROLL_MEAN = torch.tensor([3 / (4 * math.pi**2), -3 / (2 * math.pi)], dtype=torch.float64)
TURN = 8 * math.pi
ROLL_SQUARES = torch.tensor(
    [[9 / 4 + 27 / TURN**2, 54 / TURN**3 - 9 / TURN], [54 / TURN**3 - 9 / TURN, 9 / 4 - 27 / TURN**2]],
    dtype=torch.float64,
)
EYE = torch.eye(5, dtype=torch.float64)
ZERO = torch.zeros(5, dtype=torch.float64)
MOMENTS: list[tuple[Prior | Categorical, Tensor, Tensor]] = [
    (Normal(5), ZERO, EYE),
    (Normal(5, 0.7), ZERO, 0.49 * EYE),
    (Uniform(5), ZERO, EYE / 3),
    (Mixture(), ZERO[:2], (1.4**2 + 0.5**2 + 0.1**2) / 2 * EYE[:2, :2]),
    (SwissRoll(), ROLL_MEAN, ROLL_SQUARES - torch.outer(ROLL_MEAN, ROLL_MEAN)),
    (Categorical(5), ZERO + 1 / 5, EYE / 5 - 1 / 25),
]
PRIORS = [prior for prior, _, _ in MOMENTS]


def sampled(prior: Prior | Categorical, count: int, *key: draws.Key, labels: Tensor | None = None) -> Tensor:
    """float64 samples by one key."""
    z = prior.sample(count, draws.generator("test_core", *key), labels)
    assert z.shape == (count, prior.dimensions)
    assert z.dtype == torch.float32
    return z.double()


@pytest.mark.parametrize(("prior", "mean", "covariance"), MOMENTS, ids=map(repr, PRIORS))
def test_a_prior_has_its_mean_and_covariance(prior: Prior | Categorical, mean: Tensor, covariance: Tensor) -> None:
    z = sampled(prior, 40_000, "moments")
    assert worst_z(z, mean) < 4
    centred = z - mean
    assert worst_z(centred[:, :, None] * centred[:, None, :], covariance) < 4


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_one_key_gives_one_sample(prior: Prior | Categorical) -> None:
    torch.manual_seed(0)
    first = sampled(prior, 20, 1)
    torch.manual_seed(1)  # what others draw does not matter
    assert torch.equal(sampled(prior, 20, 1), first)
    assert not torch.equal(sampled(prior, 20, 2), first)
    again = draws.generator("test_core", 1)
    assert torch.equal(prior.sample(20, again).double(), first)
    assert not torch.equal(prior.sample(20, again).double(), first)


def test_the_uniform_prior_fills_its_bounds() -> None:
    z = sampled(Uniform(3), 20_000, "bounds")
    assert z.abs().max() <= 1
    assert z.amin(0).max() < -0.999
    assert z.amax(0).min() > 0.999


def test_each_petal_lies_along_its_ray() -> None:
    labels = torch.arange(100_000) % 10
    z = sampled(Mixture(), len(labels), "petals", labels=labels)
    angle = 2 * math.pi * labels.double() / 10
    upright = torch.polar(torch.ones_like(angle), -angle) * torch.complex(
        z[:, 0], z[:, 1]
    )  # turned back onto the x axis
    place = torch.stack([upright.real, upright.imag], dim=-1).reshape(-1, 10, 2)
    centre = torch.tensor([1.4, 0.0], dtype=torch.float64)
    assert worst_z(place, centre.expand(10, 2)) < 4
    off = place - centre
    covariance = torch.tensor([[0.5**2, 0.0], [0.0, 0.1**2]], dtype=torch.float64)
    assert worst_z(off[..., :, None] * off[..., None, :], covariance.expand(10, 2, 2)) < 4


def test_each_piece_of_the_swiss_roll_lies_in_its_place() -> None:
    labels = torch.arange(50_000) % 10
    z = sampled(SwissRoll(), len(labels), "pieces", labels=labels)
    u = (z.norm(dim=1) / 3).square()
    along = 10 * u - labels  # uniform in [0, 1), but for float32's rounding
    assert along.min() > -1e-5
    assert along.max() < 1 + 1e-5
    pieces = along.reshape(-1, 10)
    ones = torch.ones(10, dtype=torch.float64)
    assert worst_z(pieces, ones / 2) < 4
    assert worst_z(pieces.square(), ones / 3) < 4
    angle = 4 * math.pi * u.sqrt()
    close(z, 3 * u.sqrt()[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1), 1e-4)


def test_the_categorical_prior_is_one_hot_at_its_label() -> None:
    labels = torch.tensor([2, 0, 3, 3])
    assert sampled(Categorical(4), 4, labels=labels).tolist() == [
        [0, 0, 1, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
    ]
    z = sampled(Categorical(4), 100)
    assert z.sort(dim=1).values.tolist() == [[0, 0, 0, 1]] * 100


def nearest_ray(z: Tensor) -> Tensor:
    rays = torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi / 10)
    return rays.round().long() % 10


def piece_of_roll(z: Tensor) -> Tensor:
    return (10 * (z.norm(dim=1) / 3).square()).long().clamp(max=9)


@pytest.mark.parametrize(
    ("prior", "label_of"),
    [(Mixture(), nearest_ray), (SwissRoll(), piece_of_roll), (Categorical(10), lambda z: z.argmax(1))],
    ids=["Mixture", "SwissRoll", "Categorical"],
)
def test_unlabelled_samples_have_all_labels_alike(
    prior: Mixture | SwissRoll | Categorical, label_of: Callable[[Tensor], Tensor]
) -> None:
    count = 20_000
    found = label_of(sampled(prior, count, "labels")).bincount(minlength=10)
    assert found.shape == (prior.labels,)
    expected = count / 10
    assert ((found - expected).square() / expected).sum().item() < CHI_SQUARE_9


def test_a_prior_by_its_name() -> None:
    assert prior_of("normal", 3, sd=0.5) == Normal(3, 0.5)
    assert prior_of("normal", 3) == Normal(3, 1.0)
    assert prior_of("uniform", 4) == Uniform(4)
    assert prior_of("mixture", 2) == Mixture(10)
    assert prior_of("swiss_roll", 2) == SwissRoll(10)
    assert [prior_of(kind, 2).labels for kind in ("normal", "uniform", "mixture", "swiss_roll")] == [0, 0, 10, 10]


@pytest.mark.parametrize("dimensions", [1, 3, 8])
@pytest.mark.parametrize("kind", ["mixture", "swiss_roll"])
def test_a_plane_prior_in_another_dimension_is_refused_in_one_line(kind: PriorKind, dimensions: int) -> None:
    with pytest.raises(ValueError) as refusal:
        prior_of(kind, dimensions)
    line = str(refusal.value)
    assert len(line.splitlines()) == 1
    assert kind in line  # what was wrong
    assert f"got {dimensions}" in line  # what was given
    assert "expected 2 latent dimensions" in line  # what is allowed


# The discrepancy.


def kernel_by_hand(distance: int) -> Fraction:
    """Σ_s 2s/(2s + distance) for d = 1 and sd = 1."""
    scales = [Fraction(1, 10), Fraction(1, 5), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5), Fraction(10)]
    return sum((2 * s / (2 * s + distance) for s in scales), Fraction(0))


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_the_discrepancy_of_two_codes_by_hand() -> None:
    # k(1) = .2/1.2 + .4/1.4 + 1/2 + 2/3 + 4/5 + 10/11 + 20/21
    assert kernel_by_hand(1) == sum(map(Fraction, ("1/6", "2/7", "1/2", "2/3", "4/5", "10/11", "20/21")), Fraction(0))
    # Within the codes the one squared distance is 1, within the prior's samples 4; between them 4, 16, 1 and 9.
    k = kernel_by_hand
    expected = k(1) + k(4) - 2 * (k(4) + k(16) + k(1) + k(9)) / 4
    assert mmd(column(0, 1), column(2, 4)).item() == pytest.approx(float(expected), abs=1e-12)


def test_the_discrepancy_of_three_codes_by_hand() -> None:
    # Codes 0, 1, 3: pairs at 1, 9, 4. Samples 0, 2, 2: at 4, 4, 0. Between: 0, 4, 4; 1, 1, 1; 9, 1, 1.
    k = kernel_by_hand
    within = (k(1) + k(9) + k(4)) / 3 + (2 * k(4) + k(0)) / 3
    expected = within - 2 * (k(0) + 2 * k(4) + 5 * k(1) + k(9)) / 9
    assert mmd(column(0, 1, 3), column(0, 2, 2)).item() == pytest.approx(float(expected), abs=1e-12)


def test_squared_distances_are_torchs_own() -> None:
    x, y = normals(2, 5, 3, seed=0), normals(2, 4, 3, seed=1)
    close(squared_distances(x, y), torch.cdist(x, y).square())


def test_no_kernel_exceeds_its_value_of_a_point_with_itself() -> None:
    far = (normals(200, 8, seed=0) + 100).float()  # where float32's rounding makes some squared distances negative
    assert squared_distances(far, far).min() == 0
    assert imq_kernel(far, far).max() <= len(SCALES) + 1e-5


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_discrepancy_has_the_priors_standard_deviation_for_its_unit(factor: float) -> None:
    z, prior = 1.5 * normals(6, 3, seed=0), normals(6, 3, seed=1)
    close(mmd(factor * z, factor * prior, sd=factor), mmd(z, prior), 1e-12)
    close(mmd_in_groups(factor * z, factor * prior, 3, sd=factor), mmd_in_groups(z, prior, 3), 1e-12)
    assert not torch.isclose(mmd(z, prior, sd=factor), mmd(z, prior))


def test_the_discrepancy_counts_distance_for_each_dimension() -> None:
    z, prior = normals(6, 3, seed=0), normals(6, 3, seed=1)
    close(mmd(z.repeat(1, 2), prior.repeat(1, 2)), mmd(z, prior), 1e-12)  # twice the distance, twice the dimensions


@pytest.mark.parametrize("prior", [Normal(3), Uniform(2), Mixture(), SwissRoll()], ids=repr)
@pytest.mark.parametrize("n", [2, 8])
def test_the_discrepancy_of_one_distribution_is_zero_on_average(prior: Prior, n: int) -> None:
    pairs = 4000
    z, other = sampled(prior, 2 * pairs * n, "unbiased").reshape(2, pairs, n, prior.dimensions)
    values = mmd(z, other)
    assert values.shape == (pairs,)
    assert worst_z(values, torch.zeros((), dtype=torch.float64)) < 4
    assert values.min() < 0 < values.max()


def test_the_discrepancy_grows_with_the_distance_of_the_means() -> None:
    z, other = normals(500, 2, seed=0), normals(500, 2, seed=1)
    shift = torch.tensor([0.6, -0.8], dtype=torch.float64)
    values = [mmd(z, other + distance * shift).item() for distance in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 100.0)]
    assert abs(values[0]) < 0.02
    assert all(nearer + 0.02 < farther for nearer, farther in itertools.pairwise(values))
    assert values[-1] < 2 * len(SCALES)


def test_the_discrepancy_is_symmetric_and_blind_to_order() -> None:
    z, prior = normals(7, 3, seed=0) + 1, normals(7, 3, seed=1)
    value = mmd(z, prior)
    close(mmd(prior, z), value, 1e-12)
    one, two = draws.permutation(7, 0), draws.permutation(7, 1)
    assert not torch.equal(one, two)
    close(mmd(z[one], prior[two]), value, 1e-12)
    close(mmd(z, prior[two]), value, 1e-12)
    assert not torch.isclose(mmd(z + 1, prior), value)


def test_leading_dimensions_are_a_loop() -> None:
    z, prior = normals(2, 3, 5, 4, seed=0), normals(2, 3, 5, 4, seed=1)
    values = mmd(z, prior)
    assert values.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            close(values[i, j], mmd(z[i, j], prior[i, j]), 1e-12)
    assert mmd(z[0, 0], prior[0, 0]).shape == ()


@pytest.mark.parametrize("group", [2, 3, 12])
def test_the_discrepancy_in_groups_is_the_mean_over_consecutive_ones(group: int) -> None:
    z, prior = normals(12, 4, seed=0), normals(12, 4, seed=1)
    parts = [mmd(z[start : start + group], prior[start : start + group]) for start in range(0, 12, group)]
    value = mmd_in_groups(z, prior, group)
    assert value.shape == ()
    close(value, torch.stack(parts).mean(), 1e-12)


@pytest.mark.parametrize("group", [2, 3, 6])
def test_two_processes_have_the_discrepancy_and_gradient_of_one(group: int) -> None:
    z, prior = normals(12, 4, seed=0).requires_grad_(), normals(12, 4, seed=1)
    whole = mmd_in_groups(z, prior, group)
    halves = [mmd_in_groups(z[part], prior[part], group) for part in (slice(0, 6), slice(6, 12))]
    both = (halves[0] + halves[1]) / 2
    close(whole, both, 1e-12)
    assert not torch.isclose(halves[0], halves[1])
    close(gradient(whole, z), gradient(both, z), 1e-12)


def test_a_batch_that_is_no_whole_number_of_groups_is_refused() -> None:
    with pytest.raises(RuntimeError):
        mmd_in_groups(normals(10, 3, seed=0), normals(10, 3, seed=1), 4)


def test_the_imbalance_is_the_divergence_of_the_groups_means_from_equal_shares() -> None:
    y = normals(12, 5, seed=0).softmax(1)
    uniform = torch.distributions.Categorical(torch.ones(5, dtype=torch.float64) / 5)
    means = [torch.distributions.Categorical(y[start : start + 4].mean(0)) for start in (0, 4, 8)]
    expected = torch.stack([torch.distributions.kl_divergence(mean, uniform) for mean in means]).mean()
    close(imbalance_in_groups(y, 4), expected, 1e-12)
    halves = [imbalance_in_groups(y[part], 3) for part in (slice(0, 6), slice(6, 12))]
    close(imbalance_in_groups(y, 3), (halves[0] + halves[1]) / 2, 1e-12)


def test_the_imbalance_is_0_where_sure_categories_are_used_alike_and_log_k_where_one_is() -> None:
    alike = torch.eye(4, dtype=torch.float64).repeat(2, 1)
    close(imbalance_in_groups(alike, 8), torch.zeros((), dtype=torch.float64), 1e-12)
    one = torch.eye(4, dtype=torch.float64)[[2] * 6]
    close(imbalance_in_groups(one, 2), torch.tensor(math.log(4), dtype=torch.float64), 1e-12)
    logits = torch.tensor([[0.0, 200.0, 0.0]] * 2).requires_grad_()  # so sure that the others' shares are 0
    assert gradient(imbalance_in_groups(logits.softmax(1), 2), logits).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_discrepancys_gradient_is_finite_at_identical_points(dtype: torch.dtype) -> None:
    prior = normals(6, 3, seed=0).to(dtype)
    one_point = prior[:1].repeat(6, 1)
    for start in (prior, one_point, torch.zeros_like(prior)):
        z = start.clone().requires_grad_()
        assert gradient(mmd(z, prior), z).isfinite().all()
    # Where all lie at one point, no direction is better than another.
    z = one_point.clone().requires_grad_()
    close(gradient(mmd(z, one_point), z), torch.zeros_like(prior), 1e-6)


def test_the_discrepancys_gradient_is_its_slope() -> None:
    z, prior = normals(4, 2, seed=0).requires_grad_(), normals(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(mmd, (z, prior))


# The autoencoder.


def linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
    layer.weight.data = normals(outputs, inputs, seed=seed)
    return layer


@pytest.mark.parametrize("kind", ["gaussian", "unit", "deterministic"])
def test_an_autoencoder_decodes_the_code_that_it_samples(kind: PosteriorKind) -> None:
    autoencoder = Autoencoder(linear(5, encoder_channels(2, kind), 0), linear(2, 5, 1), posterior=kind)
    x, noise = normals(3, 5, seed=2), normals(3, 2, seed=3)
    codes = x @ autoencoder.encoder.weight.T
    mu = codes[:, :2]
    sd = {"gaussian": torch.exp(codes[:, 2:] / 2), "unit": torch.ones_like(mu), "deterministic": torch.zeros_like(mu)}
    weight = autoencoder.decoder.weight
    close(autoencoder(x), mu @ weight.T)
    close(autoencoder(x, noise), (mu + sd[kind] * noise) @ weight.T)


def test_an_autoencoder_is_unit_variance_where_nothing_is_said() -> None:
    autoencoder = Autoencoder(linear(5, 2, 0), linear(2, 5, 1))
    assert isinstance(autoencoder.encode(normals(3, 5, seed=2)), UnitGaussian)


def test_a_condition_is_concatenated_behind_the_input() -> None:
    autoencoder = Autoencoder(linear(12 + 4, 2, 0), linear(2 + 4, 12, 1))
    x, z = normals(3, 1, 3, 4, seed=2), normals(3, 2, seed=3)
    condition = F.one_hot(torch.tensor([1, 3, 0]), 4).double()
    into_code, into_image = autoencoder.encoder.weight, autoencoder.decoder.weight
    expected = x.flatten(1) @ into_code[:, :12].T + into_code[:, [13, 15, 12]].T  # one more column, the label's own
    close(autoencoder.encode(x, condition).mu, expected)
    close(autoencoder.decode(z, condition), z @ into_image[:, :2].T + into_image[:, [3, 5, 2]].T)


def test_without_a_condition_the_input_keeps_its_shape() -> None:
    x = normals(3, 1, 3, 4, seed=0)
    assert joined(x, None) is x
    assert joined(x, normals(3, 2, seed=1)).shape == (3, 14)


def test_a_shared_module_appears_once_among_the_parameters() -> None:
    shared = linear(2, 3, 0)
    one, two = (Autoencoder(linear(5, 2, seed), nn.Sequential(shared, linear(3, 5, seed + 2))) for seed in (1, 2))
    both = nn.ModuleList([one, two])
    parameters = list(both.parameters())
    assert sum(parameter is shared.weight for parameter in parameters) == 1
    assert len(parameters) == 5  # two encoders, two ends of decoders, and what they share
    assert len(list(one.parameters())) == len(list(two.parameters())) == 3
    x_one, x_two = normals(4, 5, seed=5), normals(4, 5, seed=6)
    alone = gradient(one(x_one).square().sum(), shared.weight), gradient(two(x_two).square().sum(), shared.weight)
    together = gradient(one(x_one).square().sum() + two(x_two).square().sum(), shared.weight)
    close(together, alone[0] + alone[1])
    assert alone[0].abs().max() > 0
    assert alone[1].abs().max() > 0
