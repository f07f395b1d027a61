"""The maximum mean discrepancy and the imbalance of categories: by hand, and the laws that they obey."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from laws import close, gradient, normals, worst_z
from torch import Tensor

from unit import draws
from unit.core.prior import Mixture, Normal, Prior, SwissRoll, Uniform
from unit.core.regularizer import SCALES, imbalance_in_groups, imq_kernel, mmd, mmd_in_groups, squared_distances


def sampled(prior: Prior, count: int) -> Tensor:
    """float64 samples by one key."""
    return prior.sample(count, draws.generator("laws of the discrepancy")).double()


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
    z, other = sampled(prior, 2 * pairs * n).reshape(2, pairs, n, prior.dimensions)
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
