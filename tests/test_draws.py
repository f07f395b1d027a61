"""Random numbers as a function of their key: whatever came before, whoever asks, on however many processes."""

import itertools

import pytest
import torch

from unit import draws

CPU = torch.device("cpu")


def test_a_draw_depends_on_its_key_alone() -> None:
    first = (
        draws.permutation(9, 1, "x"),
        draws.uniforms(9, 1, "x"),
        draws.normals((9,), 1, positions=range(2), device=CPU),
    )
    torch.manual_seed(99)
    torch.rand(5)
    draws.uniforms(3, 2, "other")
    again = (
        draws.permutation(9, 1, "x"),
        draws.uniforms(9, 1, "x"),
        draws.normals((9,), 1, positions=range(2), device=CPU),
    )
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_draws_leave_torchs_own_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    draws.permutation(9, 1)
    draws.uniforms(9, 1)
    draws.normals((9,), 1, positions=range(2), device=CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_different_keys_give_different_seeds() -> None:
    keys = [
        *itertools.product(range(20), ["latent", "order", "augment"], ["a", "b", "ab", "ba"], range(20)),
        (1,), ("1",), (1, 1), (11,), ("1", 1), (1, "1"), ("11",), ("a", "b"), ("ab",), ("b", "a"), (0, -1), (-1, 0),
    ]  # fmt: skip
    seeds = [draws.derive_seed(*key) for key in keys]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_on_every_machine_and_in_every_version() -> None:
    # A resumed run draws on: were these numbers to change, it would no longer equal the unbroken one.
    assert draws.derive_seed(0, "order", "a", 0) == 5365731315389715313
    assert draws.derive_seed() != draws.derive_seed("")


def test_a_permutation_holds_each_number_once() -> None:
    for count in (1, 2, 7, 100):
        assert sorted(draws.permutation(count, 3, count).tolist()) == list(range(count))


def test_uniforms_lie_in_zero_to_one_and_are_uniform() -> None:
    u = draws.uniforms(20_000, 5)
    assert u.min() >= 0 and u.max() < 1
    counts = torch.histc(u, 10, 0, 1)
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert chi_square < 27.9  # 9 degrees of freedom: exceeded once in a thousand seeds


def test_uniforms_of_neighbouring_keys_are_unrelated() -> None:
    # One number of each of many keys must be as uniform as many numbers of one key.
    u = torch.cat([draws.uniforms(2, 5, "augment", "a", step, 0) for step in range(4000)]).view(-1, 2)
    assert torch.corrcoef(u.T)[0, 1].abs() < 5 / 4000**0.5
    assert torch.corrcoef(torch.stack([u[:-1, 0], u[1:, 0]]))[0, 1].abs() < 5 / 4000**0.5
    assert ((torch.histc(u, 10, 0, 1) - 800) ** 2 / 800).sum() < 27.9


def test_normals_are_normal() -> None:
    z = draws.normals((100, 100), 1, positions=range(2), device=CPU).double()
    n = z.numel()
    assert z.mean().abs() < 5 / n**0.5
    assert (z.var() - 1).abs() < 5 * (2 / n) ** 0.5
    assert (z.pow(4).mean() - 3).abs() < 5 * (96 / n) ** 0.5


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_normals_of_any_parts_are_those_of_the_whole_batch(parts: int) -> None:
    whole = draws.normals((3, 2), 1, "latent", "a", 5, positions=range(6), device=CPU)
    size = 6 // parts
    split = [
        draws.normals((3, 2), 1, "latent", "a", 5, positions=range(start, start + size), device=CPU)
        for start in range(0, 6, size)
    ]
    assert torch.equal(torch.cat(split), whole)
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 6
