"""p(z): the moments of each prior, its labels, and that one key gives one sample."""

import math
from collections.abc import Callable

import pytest
import torch
from laws import close, in_one_line, worst_z
from torch import Tensor

from unit import draws
from unit.core.prior import Categorical, Mixture, Normal, Prior, PriorKind, SwissRoll, Uniform, build_prior

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
def test_unlabeled_samples_have_all_labels_alike(
    prior: Mixture | SwissRoll | Categorical, label_of: Callable[[Tensor], Tensor]
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
    assert [build_prior(kind, 2).labels for kind in ("normal", "uniform", "mixture", "swiss_roll")] == [0, 0, 10, 10]


@pytest.mark.parametrize("dimensions", [1, 3, 8])
@pytest.mark.parametrize("kind", ["mixture", "swiss_roll"])
def test_a_plane_prior_in_another_dimension_is_refused_in_one_line(kind: PriorKind, dimensions: int) -> None:
    with pytest.raises(ValueError) as refusal:
        build_prior(kind, dimensions)
    line = in_one_line(refusal.value)
    assert kind in line  # what was wrong
    assert f"got {dimensions}" in line  # what was given
    assert "expected 2 latent dimensions" in line  # what is allowed
