"""p(z): the moments of each prior, its labels, and that one key gives one sample."""

import math
from collections.abc import Callable

import pytest
import torch
from laws import close, in_one_line, normals, worst_z
from torch import Tensor
from torch.distributions import MixtureSameFamily, MultivariateNormal

from unit import draws
from unit.core.prior import (
    Categorical,
    Cells,
    Mixture,
    Normal,
    Prior,
    PriorKind,
    Sectors,
    SwissRoll,
    Uniform,
    build_prior,
    draw_labels,
)

CHI_SQUARE_9 = 27.88
"""9 degrees of freedom: one fair sample in a thousand lies above."""

# The swiss roll's mean, ∫₀¹ 6r² cos 4πr dr and ∫₀¹ 6r² sin 4πr dr, and its squares, ∫₀¹ 9r³ (1 ± cos 8πr) dr and, off
# the diagonal, ∫₀¹ 9r³ sin 8πr dr.
ROLL_MEAN = torch.tensor([3 / (4 * math.pi**2), -3 / (2 * math.pi)], dtype=torch.float64)
TURN = 8 * math.pi
ROLL_SQUARES = torch.tensor(
    [[9 / 4 + 27 / TURN**2, 54 / TURN**3 - 9 / TURN], [54 / TURN**3 - 9 / TURN, 9 / 4 - 27 / TURN**2]],
    dtype=torch.float64,
)
# Of the ten cells the centers' columns −¾, −¼, ¼, ¾ have 3, 3, 2 and 2, and the rows 4, 4, 2 and 0; the variances and
# the covariance are those of the centers, and 1/48 within a cell.
CELLS_SQUARES = torch.tensor(
    [[3.125 / 10 - 0.01 + 1 / 48, -0.25 / 10 - 0.035], [-0.25 / 10 - 0.035, 2.625 / 10 - 0.1225 + 1 / 48]],
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
    (Sectors(), ZERO[:2], EYE[:2, :2]),
    (Sectors(3.0), ZERO[:2], 9 * EYE[:2, :2]),
    (Cells(), torch.tensor([-0.1, -0.35], dtype=torch.float64), CELLS_SQUARES),
    (Categorical(5), ZERO + 1 / 5, EYE / 5 - 1 / 25),
]
PRIORS = [prior for prior, _, _ in MOMENTS]


def sampled(prior: Prior | Categorical, count: int, *key: draws.Key, labels: Tensor | None = None) -> Tensor:
    """float64 samples by one key."""
    z = prior.sample(count, draws.generator("laws of priors", *key), labels)
    assert z.shape == (count, prior.dimensions)
    assert z.dtype == torch.float32
    return z.double()


@pytest.mark.parametrize(("prior", "mean", "covariance"), MOMENTS, ids=map(repr, PRIORS))
def test_a_prior_has_its_mean_and_covariance(prior: Prior | Categorical, mean: Tensor, covariance: Tensor) -> None:
    z = sampled(prior, 40_000, "moments")
    assert worst_z(z, mean) < 4
    centered = z - mean
    assert worst_z(centered[:, :, None] * centered[:, None, :], covariance) < 4


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_one_key_gives_one_sample(prior: Prior | Categorical) -> None:
    torch.manual_seed(0)
    first = sampled(prior, 20, 1)
    torch.manual_seed(1)  # what others draw does not matter
    assert torch.equal(sampled(prior, 20, 1), first)
    assert not torch.equal(sampled(prior, 20, 2), first)
    again = draws.generator("laws of priors", 1)
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
    center = torch.tensor([1.4, 0.0], dtype=torch.float64)
    assert worst_z(place, center.expand(10, 2)) < 4
    off = place - center
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


@pytest.mark.parametrize("sd", [1.0, 5.0])
def test_a_label_s_sector_is_where_its_samples_lie(sd: float) -> None:
    labels = torch.arange(50_000) % 10
    z = sampled(Sectors(sd), len(labels), "sectors", labels=labels)
    assert torch.equal(sector_of(z / sd), labels)
    angles = torch.atan2(z[:, 1], z[:, 0])[labels == 0]  # around the disk, all alike
    assert worst_z(torch.stack([angles.cos(), angles.sin()], dim=1), torch.zeros(2).double()) < 4
    # In the disk E r² = 2(1 − ½e^(−½)/(1 − e^(−½))), outside it is 1 + 2, in units of sd.
    square = (z / sd).square().sum(1).view(-1, 10)
    inside = 2 - math.exp(-0.5) / (1 - math.exp(-0.5))
    assert worst_z(square, torch.tensor([inside, *[3.0] * 9]).double()) < 4


def sector_of(z: Tensor) -> Tensor:
    """0 inside radius 1, else 1 to 9, sectors of 40° from the angle 0 on."""
    degrees = torch.rad2deg(torch.atan2(z[:, 1], z[:, 0])) % 360
    return torch.where(z.norm(dim=1) < 1, 0, 1 + (degrees / 40).long().clamp(max=8))


def test_labels_of_sectors_are_as_likely_as_their_parts_of_the_normal_prior() -> None:
    normal = sector_of(sampled(Normal(2), 100_000, "normal")).bincount(minlength=10)
    drawn = draw_labels(Sectors(), 100_000, draws.generator("laws of priors", "labels")).bincount(minlength=10)
    shares = torch.tensor([1 - math.exp(-0.5), *[math.exp(-0.5) / 9] * 9])
    for found in (normal, drawn):
        expected = 100_000 * shares
        assert ((found - expected).square() / expected).sum().item() < CHI_SQUARE_9


def test_each_label_has_its_cell_of_four_by_four() -> None:
    labels = torch.arange(20_000) % 10
    z = sampled(Cells(), len(labels), "cells", labels=labels)
    column, row = ((z + 1) * 2).floor().long().unbind(1)
    assert torch.equal(4 * row + column, labels)
    within = ((z + 1) * 2 - torch.stack([column, row], dim=1)).view(-1, 10, 2)
    half = torch.full((10, 2), 0.5).double()
    assert worst_z(within, half) < 4 and worst_z(within.square(), half / 1.5) < 4


def test_the_mixture_s_density_is_that_of_ten_gaussians() -> None:
    z = normals(50, 2, seed=0)
    angles = 2 * math.pi * torch.arange(10).double() / 10
    rays = torch.stack([angles.cos(), angles.sin()], dim=1)
    across = torch.stack([-angles.sin(), angles.cos()], dim=1)
    covariance = 0.25 * rays[:, :, None] * rays[:, None] + 0.01 * across[:, :, None] * across[:, None]
    petals = MultivariateNormal(1.4 * rays, covariance)
    flower = MixtureSameFamily(torch.distributions.Categorical(torch.ones(10).double()), petals)
    close(Mixture().log_prob(z), flower.log_prob(z))


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
    [
        (Mixture(), nearest_ray),
        (SwissRoll(), piece_of_roll),
        (Cells(), lambda z: (4 * ((z[:, 1] + 1) * 2).floor() + ((z[:, 0] + 1) * 2).floor()).long()),
        (Categorical(10), lambda z: z.argmax(1)),
    ],
    ids=["Mixture", "SwissRoll", "Cells", "Categorical"],
)
def test_unlabeled_samples_have_all_labels_alike(
    prior: Mixture | SwissRoll | Cells | Categorical, label_of: Callable[[Tensor], Tensor]
) -> None:
    count = 20_000
    found = label_of(sampled(prior, count, "labels")).bincount(minlength=10)
    assert found.shape == (prior.labels,)
    expected = count / 10
    assert ((found - expected).square() / expected).sum().item() < CHI_SQUARE_9


def test_a_prior_by_its_name() -> None:
    assert build_prior("normal", 3, sd=0.5) == Normal(3, 0.5)
    assert build_prior("normal", 3) == Normal(3, 1.0)
    assert build_prior("uniform", 4) == Uniform(4)
    assert build_prior("mixture", 2) == Mixture(10)
    assert build_prior("swiss_roll", 2) == SwissRoll(10)
    assert build_prior("sectors", 2, sd=5) == Sectors(5, 10) and build_prior("cells", 2) == Cells(10)
    assert [build_prior(kind, 2).labels for kind in ("normal", "uniform", "mixture", "swiss_roll")] == [0, 0, 10, 10]


@pytest.mark.parametrize("dimensions", [1, 3, 8])
@pytest.mark.parametrize("kind", ["mixture", "swiss_roll", "sectors", "cells"])
def test_a_plane_prior_in_another_dimension_is_refused_in_one_line(kind: PriorKind, dimensions: int) -> None:
    with pytest.raises(ValueError) as refusal:
        build_prior(kind, dimensions)
    line = in_one_line(refusal.value)
    assert kind in line  # what was wrong
    assert f"got {dimensions}" in line  # what was given
    assert "expected 2 latent dimensions" in line  # what is allowed
