"""Each regularizer as an object: its posterior, its terms by hand, and what it draws."""

import pytest
import torch
import torch.nn.functional as F
from laws import close, gradient, inputs_of, normals
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from unit.core.posterior import Deterministic, Gaussian, Posterior, UnitGaussian
from unit.core.regularizer import (
    KL,
    Adversarial,
    GroupMMD,
    MeanKL,
    NoRegularizer,
    Regularizer,
    SpatialMMD,
    mmd,
)
from unit.networks.codes import CodeDiscriminators, vector_discriminators
from unit.networks.discriminator import code_discriminator


class Draws:
    """Samples of N(0, I), a function of the code's name and the shape, for `count` images."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    def prior(self, code: str, shape: tuple[int, ...]) -> Tensor:
        self.asked.append((code, shape))
        return normals(self.count, *shape, seed=len(code) + sum(map(ord, code)))

    def permutation(self, count: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(5))


def gaussians(*shape: int) -> dict[str, Posterior]:
    return {
        code: Gaussian(normals(*shape, seed=seed), normals(*shape, seed=seed + 9)) for seed, code in enumerate("ab")
    }


def points(*shape: int) -> dict[str, Posterior]:
    return {code: Deterministic(normals(*shape, seed=seed) + 1) for seed, code in enumerate("ab")}


def judged(logits: Tensor, *, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def torchs_kl(q: Posterior) -> Tensor:
    """Of every element, as torch has it."""
    sd = torch.exp(q.log_variance / 2) if isinstance(q, Gaussian) else torch.ones_like(q.mu)
    return kl_divergence(Normal(q.mu, sd), Normal(torch.zeros_like(q.mu), torch.ones_like(q.mu)))


SOME_CODES: list[tuple[Regularizer, str, dict[str, Posterior]]] = [
    (KL(2.0), "kl", gaussians(4, 3)),
    (MeanKL(2.0, 3.0), "kl", {code: UnitGaussian(q.mu) for code, q in gaussians(4, 3, 2, 2).items()}),
    (MeanKL(2.0, 3.0, learned=True), "kl", gaussians(4, 3, 2, 2)),
    (GroupMMD(2.0, group=2), "mmd", points(4, 3)),
    (SpatialMMD(2.0, 3.0), "mmd", points(4, 3, 2, 2)),
    (Adversarial(code_discriminator(3).double(), 2.0, 3.0), "code_gan", points(4, 3, 2, 2)),
]
KINDS = ["KL", "MeanKL", "MeanKL learned", "GroupMMD", "SpatialMMD", "Adversarial"]


@pytest.mark.parametrize(("regularizer", "name", "codes"), SOME_CODES, ids=KINDS)
def test_each_code_has_a_term_that_is_named_after_it(
    regularizer: Regularizer, name: str, codes: dict[str, Posterior]
) -> None:
    terms = regularizer.terms(codes, Draws(4))
    assert list(terms) == [f"{name}_a", f"{name}_b"]
    assert all(term.shape == () for term in terms.values())
    assert list(regularizer.terms({"": codes["a"]}, Draws(4))) == [name]  # where there is but one


@pytest.mark.parametrize(("regularizer", "name", "codes"), SOME_CODES, ids=KINDS)
def test_a_term_is_of_its_own_code_alone_and_unweighted(
    regularizer: Regularizer, name: str, codes: dict[str, Posterior]
) -> None:
    terms = regularizer.terms(codes, Draws(4))
    for code, q in codes.items():
        (alone,) = regularizer.terms({code: q}, Draws(4)).values()
        close(terms[f"{name}_{code}"], alone)
    assert regularizer.weight == 2.0


@pytest.mark.parametrize(("regularizer", "name", "codes"), SOME_CODES, ids=KINDS)
def test_every_term_pulls_its_code(regularizer: Regularizer, name: str, codes: dict[str, Posterior]) -> None:
    for code, q in codes.items():
        mu = q.mu.clone().requires_grad_()
        moved = q._replace(mu=mu)  # type: ignore[arg-type]
        (term,) = regularizer.terms({code: moved}, Draws(4)).values()
        assert gradient(term, mu).flatten(1).norm(dim=1).min() > 0


def test_each_says_which_posterior_it_needs() -> None:
    assert [regularizer.posterior for regularizer, _, _ in SOME_CODES] == [
        "gaussian", "unit", "gaussian", "deterministic", "deterministic", "deterministic",
    ]  # fmt: skip
    assert NoRegularizer().posterior == "deterministic"


def test_only_an_adversary_has_a_discriminator() -> None:
    for regularizer, name, _ in SOME_CODES:
        assert (regularizer.discriminator is not None) == (name == "code_gan")


def test_without_a_regularizer_there_is_no_weight_and_no_term() -> None:
    none = NoRegularizer()
    assert none.weight == none.cycle_weight == 0
    assert none.terms(points(4, 3), Draws(4)) == {}


# The divergences.


def test_the_kl_is_torchs_own_summed_over_the_code_and_averaged_over_the_images() -> None:
    codes = gaussians(5, 3)
    terms = KL(1.0).terms(codes, Draws(5))
    for code, q in codes.items():
        close(terms[f"kl_{code}"], torchs_kl(q).sum(1).mean())


@pytest.mark.parametrize("learned", [False, True])
def test_the_mean_kl_is_twice_torchs_own_averaged_over_all_elements(learned: bool) -> None:
    codes = gaussians(5, 3, 2, 4)
    if not learned:
        codes = {code: UnitGaussian(q.mu) for code, q in codes.items()}
    terms = MeanKL(1.0, learned=learned).terms(codes, Draws(5))
    for code, q in codes.items():
        close(terms[f"kl_{code}"], 2 * torchs_kl(q).mean())


def test_a_learned_variance_of_one_costs_what_a_fixed_one_does() -> None:
    mu = normals(5, 3, 2, 2, seed=0)
    learned = MeanKL(1.0, learned=True).terms({"a": Gaussian(mu, torch.zeros_like(mu))}, Draws(5))
    fixed = MeanKL(1.0).terms({"a": UnitGaussian(mu)}, Draws(5))
    close(learned["kl_a"], fixed["kl_a"])
    close(fixed["kl_a"], mu.square().mean())


@pytest.mark.parametrize("regularizer", [KL(1.0), MeanKL(1.0), MeanKL(1.0, learned=True)], ids=KINDS[:3])
def test_a_point_has_no_divergence(regularizer: Regularizer) -> None:
    with pytest.raises(AssertionError, match="point"):
        regularizer.terms(points(4, 3), Draws(4))


# The discrepancies.


@pytest.mark.parametrize("sd", [1.0, 2.5])
@pytest.mark.parametrize("group", [2, 3, 6])
def test_the_discrepancy_in_groups_is_against_samples_that_are_drawn_for_the_code(group: int, sd: float) -> None:
    codes, draws = points(6, 3), Draws(6)
    terms = GroupMMD(1.0, group=group, sd=sd).terms(codes, draws)
    assert draws.asked == [("a", (3,)), ("b", (3,))]
    for code, q in codes.items():
        prior = Draws(6).prior(code, (3,))
        expected = [mmd(q.mu[i : i + group], prior[i : i + group], sd=sd) for i in range(0, 6, group)]
        close(terms[f"mmd_{code}"], torch.stack(expected).mean())


@pytest.mark.parametrize("places", [256, 12, 5, 2])
def test_the_spatial_discrepancy_is_of_an_images_own_places(places: int) -> None:
    codes, draws = points(2, 8, 3, 4), Draws(2)
    terms = SpatialMMD(1.0, places=places).terms(codes, draws)
    count = min(places, 12)
    assert draws.asked == [("a", (count, 8)), ("b", (count, 8))]
    chosen = draws.permutation(12)[:count]
    for code, q in codes.items():
        prior, each = Draws(2).prior(code, (count, 8)), []
        for image in range(2):
            z = torch.stack([q.mu[image, :, place // 4, place % 4] for place in chosen])
            each.append(mmd(z, prior[image]))
        close(terms[f"mmd_{code}"], torch.stack(each).mean())


# The adversary.


def test_the_encoder_pays_where_the_discriminator_takes_codes_for_codes() -> None:
    discriminator, codes = code_discriminator(3).double(), points(4, 3, 2, 2)
    seen = inputs_of(discriminator)
    terms = Adversarial(discriminator, 1.0).terms(codes, Draws(4))
    assert [tuple(x.shape) for (x,) in seen] == [(8, 3, 2, 2)]  # one pass for all
    for code, q in codes.items():
        (logits,) = discriminator(q.mu)
        close(terms[f"code_gan_{code}"], judged(logits, real=True))


@pytest.mark.parametrize("dimensions", [[3], [3, 2]])
def test_the_discriminator_learns_that_samples_of_the_prior_are_real_and_codes_are_not(dimensions: list[int]) -> None:
    discriminator = vector_discriminators(dimensions, hidden=[5]).double()
    real = [normals(4, n, seed=n) for n in dimensions]
    codes = [normals(4, n, seed=n + 7).requires_grad_() for n in dimensions]
    seen = inputs_of(discriminator)
    loss = Adversarial(discriminator, 1.0).discriminator_loss(discriminator, real, codes)
    assert len(seen) == 1 and not any(x.requires_grad for x in seen[0])
    expected = [
        judged(part(x), real=True) + judged(part(z), real=False)
        for part, x, z in zip(discriminator.parts, real, codes, strict=True)
    ]
    close(loss, torch.stack(expected).sum())
    loss.backward()
    assert all(z.grad is None for z in codes)
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_the_discriminator_is_called_through_its_wrapper() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, *codes: Tensor) -> list[Tensor]:
            self.calls += 1
            logits: list[Tensor] = self.module(*codes)
            return logits

    discriminator = CodeDiscriminators(nn.Linear(3, 1).double())
    wrapper = Wrapper(discriminator)
    Adversarial(discriminator, 1.0).discriminator_loss(wrapper, [normals(4, 3, seed=0)], [normals(4, 3, seed=1)])
    assert wrapper.calls == 1
