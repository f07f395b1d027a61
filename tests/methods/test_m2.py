"""M2 and M1+M2: the bounds summed over all labels by hand, the objective, and what the two stages learn from."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from autoencoder_toys import close, gaussian_of, made, one_hot, plain_l, plain_u, steps
from digit_toys import beside, noise_of, normals, parse_config, uniforms, write_mnist
from torch import nn

from unit.core.likelihood import build_likelihood
from unit.data.batches import Shard
from unit.methods import find_method
from unit.methods.autoencoders.m1m2 import M1M2
from unit.methods.autoencoders.m2 import M2
from unit.methods.base import Method
from unit.models.m2 import M2Network


@pytest.fixture
def doubles() -> Iterator[None]:
    """torch.eye and their like in float64, as the networks are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def m2_network() -> M2Network:
    method, _ = made(M2, "m2", model__hidden=[7, 5], model__latent=3)
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.mul_(2)
    return method.network.m2.double()


def test_the_bound_without_a_label_is_the_sum_over_ten_labels(doubles: None) -> None:
    m2, x, seen, noise = m2_network(), uniforms(4, 256, seed=1), uniforms(4, 256, seed=2), normals(4, 3, seed=3)
    found, expected = m2.unlabeled_bound(x, seen, noise), plain_u(m2, x, seen, noise)
    assert found.shape == (4,)
    close(found, expected)
    parameters = list(m2.parameters())
    one, other = (torch.autograd.grad(bound.sum(), parameters) for bound in (found, expected))
    for mine, plain in zip(one, other, strict=True):
        close(mine, plain)


def test_the_bound_with_a_label_by_hand() -> None:
    m2, x, y, noise = m2_network(), uniforms(4, 256, seed=1), one_hot(torch.tensor([3, 0, 9, 3])), normals(4, 3, seed=3)
    close(m2.bound(x, y, noise), plain_l(m2, x, y, noise))


def test_the_two_bounds_agree_where_the_classifier_is_sure(doubles: None) -> None:
    m2, x, noise = m2_network(), uniforms(4, 256, seed=1), normals(4, 3, seed=3)
    last = m2.classifier[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(1000 * one_hot(torch.tensor(6)))
    close(m2.unlabeled_bound(x, x, noise), m2.bound(x, one_hot(torch.tensor([6] * 4)), noise))


@pytest.mark.parametrize(("fraction", "keys"), [(0.0, {}), (0.3, {}), (0.7, {"model__rho": 0.7})])
@pytest.mark.parametrize("weight", [0.1, 0.25])
def test_m2s_objective_by_hand(fraction: float, keys: dict[str, float], weight: float) -> None:
    method, batch = made(M2, "m2", fraction_labeled=0.3 if keys else fraction, model__classification=weight, **keys)
    (phase,) = method.phases(method.networks, batch, recompute=False)
    known, m2 = beside(batch), copy.deepcopy(method.network.m2).double()
    x, x_l = batch.intensities.double().flatten(1), known.intensities.double().flatten(1)
    seen = (batch.intensities + 0.2 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1).double().flatten(1)
    seen_l = (known.intensities + 0.2 * noise_of(known, "labelled noise", 1, 16, 16)).clip(0, 1).double().flatten(1)
    terms = {
        "unlabeled": plain_u(m2, x, seen, noise_of(batch, "latent", 2)).mean(),
        "labeled": plain_l(m2, x_l, one_hot(known.y), noise_of(known, "labelled latent", 2)).mean(),
        "classification": -m2.classifier(seen_l).log_softmax(1)[torch.arange(6), known.y].mean(),
    }
    assert phase.optimizer == "model" and phase.terms.keys() == terms.keys()
    for key, value in terms.items():
        close(phase.terms[key], value)
    close(phase.loss, terms["unlabeled"] + fraction * terms["labeled"] + weight * terms["classification"])
    assert phase.loss - terms["unlabeled"] > 0 or fraction == weight == 0


@pytest.mark.parametrize("name", ["m2", "m1m2"])
def test_m2_weighs_labeled_images_by_their_share_of_the_training_images(name: str, tmp_path: Path) -> None:
    config = parse_config(name, data__root=write_mnist(tmp_path / "mnist"), data__held_out=12)
    kind = find_method(config.method)
    method = kind(config, kind.open(config, Shard(0, 4)))
    assert isinstance(method, M2 | M1M2) and method.fraction_labeled == 10 / 48


@pytest.mark.parametrize("name", ["m2", "m1m2"])
def test_without_labels_m2_has_the_unlabeled_bound_alone(name: str) -> None:
    method, batch = made(Method, name, data__labeled=0)
    *_, phase = method.phases(method.networks, batch, recompute=False)
    assert batch.labeled is None and phase.terms.keys() == {"unlabeled"}
    close(phase.loss, phase.terms["unlabeled"])


@pytest.mark.parametrize(("name", "noise", "rho", "beta"), [("m1m2", 0, 0.3, 1), ("m1m2 weighted", 0.5, 0.7, 0.2)])
def test_m1m2s_second_step_is_m2_of_the_drawn_codes(name: str, noise: float, rho: float, beta: float) -> None:
    method, batch = made(M1M2, name, model__classification=0.25)
    known, e = beside(batch), method.networks["encoder"]
    first, phase = method.phases(method.networks, batch, recompute=False)
    assert first.terms.keys() == {"reconstruction", "kl"}
    close(first.loss, first.terms["reconstruction"] + beta * first.terms["kl"])
    q, q_l = gaussian_of(e(batch.intensities)), gaussian_of(e(known.intensities))
    z = (q.mean + q.stddev * noise_of(batch, "code", 2)).detach().double()
    z_l = (q_l.mean + q_l.stddev * noise_of(known, "labelled code", 2)).detach().double()
    m2 = copy.deepcopy(method.network.m2).double()
    seen = z + noise * noise_of(batch, "code noise", 2)
    seen_l = z_l + noise * noise_of(known, "labelled code noise", 2)
    u = plain_u(m2, z, seen, noise_of(batch, "m2 latent", 3), "gaussian").mean()
    labeled = plain_l(m2, z_l, one_hot(known.y), noise_of(known, "labelled latent", 3), "gaussian").mean()
    classification = -m2.classifier(seen_l).log_softmax(1)[torch.arange(6), known.y].mean()
    assert phase.optimizer == "m2"
    for key, value in {"unlabeled": u, "labeled": labeled, "classification": classification}.items():
        close(phase.terms[key], value)
    close(phase.loss, u + rho * labeled + 0.25 * classification)


@pytest.mark.parametrize(("step", "optimizers"), [(2, ["autoencoder"]), (3, ["autoencoder", "m2"])])
def test_m2_begins_after_m1s_head_start(step: int, optimizers: list[str]) -> None:
    method, batch = made(M1M2, "m1m2", model__head_start=3)
    assert [phase.optimizer for phase in steps(method, replace(batch, step=step))] == optimizers


def test_m2s_bounds_are_summed_in_float32_where_its_networks_run_in_bf16() -> None:
    torch.manual_seed(0)
    bernoulli = build_likelihood("bernoulli", 1.0)
    network = M2Network(
        784, classes=10, latent=4, hidden=(16,), activations=("relu",), likelihood=bernoulli, outputs=784
    )
    x, noise = torch.rand(3, 784), torch.randn(3, 4)
    whole = network.unlabeled_bound(x, x, noise)
    with torch.autocast("cpu", torch.bfloat16):
        half = network.unlabeled_bound(x, x, noise)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=2e-4, atol=0)
