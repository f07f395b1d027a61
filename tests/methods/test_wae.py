"""WAE: both penalties by hand, pair by pair."""

import itertools
import math

import pytest
import torch
from autoencoder_toys import close, descend, judged, made, reconstruction_of
from digit_toys import noise_of, parse_config
from laws import in_one_line
from torch import Tensor
from torch.distributions import Normal

from unit import draws
from unit.config import ConfigError
from unit.core.regularizer import SCALES
from unit.data.batches import Shard
from unit.methods import find_method
from unit.methods.autoencoders.wae import WAE


def plain_mmd(z: Tensor, prior: Tensor, sd: float) -> Tensor:
    """Pair by pair."""
    n, d = z.shape

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        distance = ((x - y) ** 2).sum()
        return torch.stack([2 * d * sd**2 * s / (2 * d * sd**2 * s + distance) for s in SCALES]).sum()

    pairs = list(itertools.permutations(range(n), 2))
    within = sum(kernel(z[i], z[j]) + kernel(prior[i], prior[j]) for i, j in pairs) / (n * (n - 1))
    return within - 2 * sum(kernel(z[i], prior[j]) for i in range(n) for j in range(n)) / n**2


@pytest.mark.parametrize("group", [2, 4])
@pytest.mark.parametrize(("weight", "sd"), [(10.0, 1.0), (3.0, 2.5)])
def test_wae_mmd_by_hand(group: int, weight: float, sd: float) -> None:
    keys = {"model__group": group, "model__weight": weight, "model__prior_sd": sd, "model__noise": 0.4}
    method, batch = made(WAE, "wae", **keys)
    e, d = method.networks["encoder"], method.networks["decoder"]
    (phase,) = method.phases(method.networks, batch, recompute=False)
    z = e((batch.intensities + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1))
    prior = sd * torch.randn(4, 2, generator=draws.generator(7, "prior", 3))
    penalty = torch.stack(
        [plain_mmd(z[start : start + group], prior[start : start + group], sd) for start in range(0, 4, group)]
    ).mean()
    # σ² = 10: 0.05·‖x − x̂‖², and a constant
    squares = (batch.intensities - d(z)).square().flatten(1).sum(1).mean()
    reconstruction = 0.05 * squares + 256 * 0.5 * math.log(2 * math.pi * 10)
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["mmd"], penalty)
    close(phase.loss, reconstruction + weight * penalty)
    assert penalty.abs() > 0.01 and set(method.networks) == {"encoder", "decoder"}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_wae_gan_by_hand(weight: float, recompute: bool) -> None:
    method, batch = made(WAE, "wae adversarial", model__weight=weight, model__prior_sd=2.0, model__noise=0.0)
    e, d, discriminator = (method.networks[name] for name in ("encoder", "decoder", "discriminator"))
    phases = method.phases(method.networks, batch, recompute=recompute)
    first = next(phases)
    real = 2 * torch.randn(4, 2, generator=draws.generator(7, "prior", 3)).double()
    fake = e(batch.intensities)
    close(first.loss, judged(discriminator(real)[0], real=True) + judged(discriminator(fake)[0], real=False))
    first.loss.backward()
    assert all(parameter.grad is None for parameter in e.parameters())
    descend(method)
    second = next(phases)
    z = e(batch.intensities)
    penalty = judged(discriminator(z)[0], real=True)
    reconstruction = reconstruction_of(Normal(d(z), math.sqrt(10)), batch.intensities)
    assert (first.optimizer, second.optimizer) == ("discriminator", "autoencoder")
    close(second.terms["code_gan"], penalty)
    close(second.loss, reconstruction + weight * penalty)


@pytest.mark.parametrize("name", ["wae", "aae_cluster balanced"])
@pytest.mark.parametrize(("processes", "accumulation", "group"), [(1, 1, 8), (2, 1, 4), (1, 4, 2), (2, 2, 5)])
def test_micro_batches_that_are_no_whole_groups_are_refused(
    name: str, processes: int, accumulation: int, group: int
) -> None:
    count = 12 // (processes * accumulation)
    config, shard = parse_config(name, model__group=group), Shard(0, 12, accumulation, 0, processes)
    with pytest.raises(ConfigError) as caught:
        find_method(config.method).check(config, shard)
    assert in_one_line(caught.value) == (
        f"model.group: {count} images per process and micro-batch are no whole groups of {group}; "
        f"expected a divisor of {count} that is at least 2, or a larger train.batch_size"
    )


def test_without_groups_any_micro_batch_will_do() -> None:
    for name, keys in (("wae adversarial", {}), ("aae_cluster balanced", {"model__balance": 0.0})):
        config = parse_config(name, model__group=8, **keys)
        find_method(config.method).check(config, Shard(0, 12))
