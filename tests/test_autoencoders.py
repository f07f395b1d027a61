"""The autoencoders of digits: each objective written out by hand, and the laws that all of them keep.

In float64, but for those that bring float32 constants of their own (M2, and the maximum mean discrepancy).
"""

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from digit_toys import METHODS, batch_of, config_of, noise_of, normals, shared_out, uniforms, write_mnist
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Laplace, Normal, kl_divergence

from unit import draws
from unit.config import Config, ConfigError
from unit.core.likelihood import likelihood_of
from unit.core.regularizer import SCALES, imbalance_in_groups
from unit.data.augmentation import warp
from unit.data.batches import Share
from unit.data.digit_batches import DigitBatch
from unit.methods.aae import AAE
from unit.methods.aae_semi import CategoricalModel, SemiAAE, closeness
from unit.methods.autoencoder import AutoencoderMethod, DigitModel
from unit.methods.build import method_of
from unit.methods.m1 import M1
from unit.methods.m1m2 import M1M2
from unit.methods.m2 import M2, M2Network
from unit.methods.method import Method, Phase
from unit.methods.vae import VAE
from unit.methods.wae import WAE
from unit.networks.digits import Centred, ConditionalMLP
from unit.training import learn

FLOAT32 = ("m2", "m1m2", "wae")
"""Methods, and regularisers, with constants in float32."""

M = TypeVar("M", bound=Method[Any])


def single(config: Config) -> bool:
    return config.method in FLOAT32 and getattr(getattr(config, "model", None), "regularizer", "mmd") == "mmd"


def made(kind: type[M], name: str, **keys: Any) -> tuple[M, DigitBatch]:
    """The method of METHODS[name] for images of 16 × 16, all smooth, and a batch for it."""
    keys = {"data__name": "usps"} | keys
    config = config_of(name, **keys)
    torch.manual_seed(0)
    method = method_of(config)
    assert isinstance(method, kind)
    labels = getattr(getattr(config, "data", None), "labelled", 0)
    batch = batch_of(4, labelled=6 if labels else 0)
    if isinstance(method, M2 | M1M2):
        method.share_labelled = 0.3 if labels else 0.0
    if single(config):
        return method, in_float32(batch)
    for network in method.networks.values():
        network.double()
    return method, batch


def in_float32(batch: DigitBatch) -> DigitBatch:
    return replace(batch, x=batch.x.float(), labelled=None if batch.labelled is None else in_float32(batch.labelled))


def beside(batch: DigitBatch) -> DigitBatch:
    assert batch.labelled is not None
    return batch.labelled


def close(actual: Tensor, expected: Tensor) -> None:
    tolerance = 1e-10 if actual.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=tolerance, atol=tolerance)


def one_hot(y: Tensor, classes: int = 10) -> Tensor:
    return torch.eye(classes, dtype=torch.float64)[y]


def inputs_of(network: nn.Module) -> list[tuple[Tensor, ...]]:
    """What the network is called with from now on, call by call."""
    seen: list[tuple[Tensor, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    return seen


def descend(method: Method[Any]) -> None:
    """One gradient step of all, so that the next phase sees other networks; then no gradients."""
    with torch.no_grad():
        for network in method.networks.values():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.sub_(1e-3 * parameter.grad)
                parameter.grad = None


def steps(method: Method[Any], batch: DigitBatch, *, recompute: bool = False) -> Iterator[Phase]:
    for phase in method.phases(method.networks, batch, recompute=recompute):
        phase.loss.backward()
        yield phase
        descend(method)


# Laws that all methods keep.

AUTOENCODER, JUDGE, ENCODER = "autoencoder", "judge", "encoder"
PLAYERS = {
    "vae": [AUTOENCODER],
    "cvae": [AUTOENCODER],
    "m1": [AUTOENCODER, "classifier"],
    "m2": ["model"],
    "m1m2": [AUTOENCODER, "m2"],
    "aae": [AUTOENCODER, JUDGE, ENCODER, ENCODER],
    "aae combined": [JUDGE, AUTOENCODER],
    "aae_supervised": [AUTOENCODER, JUDGE, ENCODER, ENCODER],
    "aae_semi": [AUTOENCODER, JUDGE, ENCODER, ENCODER, "classifier"],
    "aae_semi combined": [JUDGE, AUTOENCODER],
    "aae_semi smooth": [JUDGE, AUTOENCODER],
    "aae_cluster": [AUTOENCODER, JUDGE, ENCODER, ENCODER],
    "aae_cluster smooth": [JUDGE, AUTOENCODER],
    "aae_cluster balanced": [JUDGE, AUTOENCODER],
    "wae": [AUTOENCODER],
    "wae adversarial": [JUDGE, AUTOENCODER],
}
"""Who learns, in order; by variant, else by method."""
LEARNING = {
    AUTOENCODER: {"encoder", "decoder"}, JUDGE: {"judge"}, ENCODER: {"encoder"}, "model": {"model"}, "m2": {"m2"},
}  # fmt: skip


def learning(name: str, player: str) -> set[str]:
    if player == "classifier":
        return {"encoder"} if name.startswith("aae_semi") else {"classifier"}
    return LEARNING[player]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_each_phase_gives_its_players_parameters_gradients_and_no_other(name: str, recompute: bool) -> None:
    method, batch = made(Method, name)
    expected = PLAYERS.get(name, PLAYERS[name.split()[0]])
    found: list[str] = []
    moved: set[str] = set()
    for phase in steps(method, batch, recompute=recompute):
        found.append(phase.player)
        assert set(method.players[phase.player].networks) == learning(name, phase.player)
        for key, network in method.networks.items():
            for part, parameter in network.named_parameters():
                if key not in learning(name, phase.player):
                    assert parameter.grad is None, f"{phase.player}: {key} {part}"
                else:
                    assert parameter.grad is not None, f"{phase.player}: {key} {part}"
                    assert parameter.grad.isfinite().all()
                    moved |= {f"{key} {part}"} if parameter.grad.count_nonzero() else set()
    assert found == expected
    assert moved == {f"{key} {part}" for key, net in method.networks.items() for part, _ in net.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_every_step_is_the_first_over_again(name: str) -> None:
    # Whoever stood still at the end of a step learns again in the next.
    method, batch = made(Method, name)
    orders = [[phase.player for phase in steps(method, replace(batch, step=step))] for step in range(2)]
    assert orders[0] == orders[1]
    assert all(network.training for network in method.networks.values())


@pytest.mark.parametrize("name", METHODS)
def test_what_is_logged_holds_no_graph(name: str) -> None:
    method, batch = made(Method, name)
    for phase in steps(method, batch):
        assert phase.loss.requires_grad and phase.loss.shape == ()
        assert phase.terms and all(not term.requires_grad and term.shape == () for term in phase.terms.values())


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_a_function_of_networks_and_batch(name: str) -> None:
    method, batch = made(Method, name)
    again = copy.deepcopy(method)
    first = [phase.loss for phase in steps(method, batch)]
    torch.rand(3)  # whatever was drawn before
    for phase, loss in zip(steps(again, batch, recompute=True), first, strict=True):
        close(phase.loss, loss)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", METHODS)
def test_parts_of_a_batch_train_as_the_whole(name: str, parts: int) -> None:
    # What two processes or two accumulated parts lose, averaged, is what the whole batch loses.
    (whole, batch), (split, _) = made(Method, name), made(Method, name)
    batch = replace(batch, **vars(batch_of(8, labelled=8 if batch.labelled is not None else 0)))
    batch = in_float32(batch) if single(config_of(name)) else batch
    losses = []
    for method, given in ((whole, [batch]), (split, shared_out(batch, parts))):
        optimizers = {
            player: torch.optim.SGD([p for key in it.networks for p in method.networks[key].parameters()], 1e-3)
            for player, it in method.players.items()
        }
        taken = list(learn(method, method.networks, given, Accelerator(cpu=True), optimizers))
        assert all(len(phases) == len(given) for phases in taken)
        losses.append(torch.stack([torch.stack([phase.loss for phase in phases]).mean() for phases in taken]))
    close(losses[1], losses[0])
    for key, network in whole.networks.items():
        for one, other in zip(network.parameters(), split.networks[key].parameters(), strict=True):
            close(other, one)


# The networks.


def test_encoder_and_decoder_are_mirrored() -> None:
    method, _ = made(VAE, "vae", model__hidden=[7, 5], model__latent=3)
    shapes = {
        key: [tuple(m.weight.shape) if isinstance(m, nn.Linear) else type(m).__name__ for m in net.modules()
              if not isinstance(m, nn.Sequential | nn.Flatten | nn.Unflatten)]
        for key, net in method.networks.items()
    }  # fmt: skip
    assert shapes["encoder"] == [(7, 256), "Tanh", (5, 7), "Softplus", (6, 5)]
    assert shapes["decoder"] == [(5, 3), "Softplus", (7, 5), "Tanh", (256, 7)]


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "laplace"])
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("data", ["mnist", "usps"])
def test_codes_have_latent_dimensions_and_images_are_in_zero_to_one(
    likelihood: str, architecture: str, data: str
) -> None:
    keys = {"data__name": data, "model__likelihood": likelihood, "model__architecture": architecture}
    method, _ = made(VAE, "vae", **keys)
    side = {"mnist": 28, "usps": 16}[data]
    model = method.autoencoder
    z = model.code(uniforms(3, 1, side, side, seed=0))
    image = model.image(50 * z)
    assert z.shape == (3, 2) and image.shape == (3, 1, side, side)
    assert image.min() >= 0 and image.max() <= 1
    assert image.std() > 0


# VAE and CVAE.

LIKELIHOODS: dict[str, Any] = {
    "bernoulli": lambda output, scale: Bernoulli(logits=output, validate_args=False),  # of grey levels: cross-entropy
    "gaussian": lambda output, scale: Normal(output, math.sqrt(scale)),
    "laplace": lambda output, scale: Laplace(output, scale),
}


def reconstruction_of(law: Distribution, x: Tensor) -> Tensor:
    return -law.log_prob(x).flatten(1).sum(1).mean()


def gaussian_of(output: Tensor) -> Normal:
    """The encoder's output: the mean, and then the logarithm of the variance."""
    d = output.shape[1] // 2
    return Normal(output[:, :d], torch.exp(output[:, d:] / 2))


def kl_of(q: Normal) -> Tensor:
    return kl_divergence(q, Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))).sum(1).mean()


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_the_bound_is_reconstruction_plus_divergence(name: str, likelihood: str, noise: float) -> None:
    keys = {"model__likelihood": likelihood, "model__scale": 0.3, "model__noise": noise}
    method, batch = made(VAE, name, **keys)
    (phase,) = method.phases(method.networks, batch, recompute=False)
    seen = (batch.x + noise * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1) if noise else batch.x
    label = one_hot(batch.y) if name == "cvae" else torch.empty(4, 0)
    e, d = method.networks["encoder"], method.networks["decoder"]
    q = gaussian_of(e(torch.cat([seen.flatten(1), label], dim=1)))
    z = q.mean + q.stddev * noise_of(batch, "latent", 2)
    law = LIKELIHOODS[likelihood](d(torch.cat([z, label], dim=1)), 0.3)
    reconstruction, kl = reconstruction_of(law, batch.x), kl_of(q)  # against the clean images
    assert phase.player == "autoencoder" and phase.terms.keys() == {"reconstruction", "kl"}
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["kl"], kl)
    close(phase.loss, reconstruction + kl)
    parameters = [*e.parameters(), *d.parameters()]
    found = torch.autograd.grad(phase.loss, parameters)
    for one, other in zip(found, torch.autograd.grad(reconstruction + kl, parameters), strict=True):
        close(one, other)


def test_a_denoising_encoder_sees_noisy_images_that_are_clipped() -> None:
    method, batch = made(VAE, "vae denoising", model__noise=0.7)
    seen = inputs_of(method.networks["encoder"])
    list(method.phases(method.networks, batch, recompute=False))
    ((x,),) = seen
    assert x.min() == 0 and x.max() == 1
    inside = (x > 0) & (x < 1)
    assert 0.2 < inside.double().mean() < 0.8
    close(x[inside], (batch.x + 0.7 * noise_of(batch, "noise", 1, 16, 16))[inside])


def test_without_noise_the_encoder_sees_the_images_themselves() -> None:
    method, batch = made(VAE, "vae")
    seen = inputs_of(method.networks["encoder"])
    list(method.phases(method.networks, batch, recompute=False))
    assert seen[0][0] is batch.x


# M1.


def test_m1s_classifier_learns_the_drawn_codes_of_clean_labelled_images() -> None:
    method, batch = made(M1, "m1", model__noise=0.4)
    known, e = beside(batch), method.networks["encoder"]
    _, phase = method.phases(method.networks, batch, recompute=False)
    q = gaussian_of(e(known.x))
    z = q.mean + q.stddev * noise_of(known, "labelled latent", 2)
    log_p = method.network.classifier(z).log_softmax(1)
    loss = -log_p[torch.arange(6), known.y].mean()
    assert phase.player == "classifier" and phase.terms.keys() == {"classification"}
    close(phase.loss, loss)
    close(phase.terms["classification"], loss)


def test_m1s_vae_is_a_vae_that_sees_no_label() -> None:
    (method, batch), (vae, _) = made(M1, "m1"), made(VAE, "vae")
    vae.model.load_state_dict(method.network.vae.state_dict())
    first = next(method.phases(method.networks, batch, recompute=False))
    (expected,) = vae.phases(vae.networks, batch, recompute=False)
    close(first.loss, expected.loss)


def test_m1_classifies_at_the_mean_of_the_code() -> None:
    method, batch = made(M1, "m1")
    mean = method.networks["encoder"](batch.x)[:, :2]
    close(method.network.classify(batch.x), method.network.classifier(mean))


# M2.


@pytest.fixture
def doubles() -> Iterator[None]:
    """torch.eye and their like in float64, as the networks are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def concatenating(network: ConditionalMLP) -> nn.Sequential:
    """The same as an ordinary perceptron of cat([x, y])."""
    first = nn.Linear(network.x.in_features, network.x.out_features)
    first.weight, first.bias = network.x.weight, network.x.bias
    return nn.Sequential(first, *network.rest)


def plain_l(m2: M2Network, x: Tensor, y: Tensor, noise: Tensor, likelihood: str = "bernoulli") -> Tensor:
    """−log p(x|y, z) − log p(y) + KL for each image; x (B, n), y one-hot (B, 10)."""
    q = gaussian_of(concatenating(m2.encoder)(torch.cat([x, y], dim=1)))
    output = concatenating(m2.decoder)(torch.cat([q.mean + q.stddev * noise, y], dim=1))
    law = Bernoulli(logits=output, validate_args=False) if likelihood == "bernoulli" else gaussian_of(output)
    kl = kl_divergence(q, Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))).sum(1)
    return -law.log_prob(x).sum(1) + math.log(10) + kl


def plain_u(m2: M2Network, x: Tensor, seen: Tensor, noise: Tensor, likelihood: str = "bernoulli") -> Tensor:
    """Σ_y q(y|x)·L(x, y) − H(q(y|x)) for each image."""
    q = m2.classifier(seen).softmax(1)
    total = torch.zeros(len(x), dtype=x.dtype)
    for digit in range(10):
        y = one_hot(torch.full((len(x),), digit)).to(x.dtype)
        total = total + q[:, digit] * plain_l(m2, x, y, noise, likelihood)
    return total - (-q * q.log()).sum(1)


def m2_network() -> M2Network:
    method, _ = made(M2, "m2", model__hidden=[7, 5], model__latent=3)
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.mul_(2)
    return method.network.m2.double()


def test_the_bound_without_a_label_is_the_sum_over_ten_labels(doubles: None) -> None:
    m2, x, seen, noise = m2_network(), uniforms(4, 256, seed=1), uniforms(4, 256, seed=2), normals(4, 3, seed=3)
    found, expected = m2.unlabelled(x, seen, noise), plain_u(m2, x, seen, noise)
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
    close(m2.unlabelled(x, x, noise), m2.bound(x, one_hot(torch.tensor([6] * 4)), noise))


@pytest.mark.parametrize(("share", "keys"), [(0.0, {}), (0.3, {}), (0.7, {"model__rho": 0.7})])
@pytest.mark.parametrize("weight", [0.1, 0.25])
def test_m2s_objective_by_hand(share: float, keys: dict[str, float], weight: float) -> None:
    method, batch = made(M2, "m2", model__classification=weight, **keys)
    method.share_labelled = 0.3 if keys else share
    (phase,) = method.phases(method.networks, batch, recompute=False)
    known, m2 = beside(batch), copy.deepcopy(method.network.m2).double()
    x, x_l = batch.x.double().flatten(1), known.x.double().flatten(1)
    seen = (batch.x + 0.2 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1).double().flatten(1)
    seen_l = (known.x + 0.2 * noise_of(known, "labelled noise", 1, 16, 16)).clip(0, 1).double().flatten(1)
    terms = {
        "unlabelled": plain_u(m2, x, seen, noise_of(batch, "latent", 2)).mean(),
        "labelled": plain_l(m2, x_l, one_hot(known.y), noise_of(known, "labelled latent", 2)).mean(),
        "classification": -m2.classifier(seen_l).log_softmax(1)[torch.arange(6), known.y].mean(),
    }
    assert phase.player == "model" and phase.terms.keys() == terms.keys()
    for key, value in terms.items():
        close(phase.terms[key], value)
    close(phase.loss, terms["unlabelled"] + share * terms["labelled"] + weight * terms["classification"])
    assert phase.loss - terms["unlabelled"] > 0 or share == weight == 0


@pytest.mark.parametrize("name", ["m2", "m1m2"])
def test_m2_weighs_labelled_images_by_their_share_of_the_training_images(name: str, tmp_path: Path) -> None:
    method = method_of(config_of(name, data__root=write_mnist(tmp_path / "mnist"), data__held_out=12))
    assert isinstance(method, M2 | M1M2)
    method.open(Share(0, 4))
    assert method.share_labelled == 10 / 48


@pytest.mark.parametrize("name", ["m2", "m1m2"])
def test_without_labels_m2_has_the_unlabelled_bound_alone(name: str) -> None:
    method, batch = made(Method, name, data__labelled=0)
    *_, phase = method.phases(method.networks, batch, recompute=False)
    assert batch.labelled is None and phase.terms.keys() == {"unlabelled"}
    close(phase.loss, phase.terms["unlabelled"])


def test_m2_separates_style_from_label() -> None:
    method, batch = made(M2, "m2")
    model = method.network
    y = torch.tensor([1, 2, 3, 4])
    plain = model.m2
    flat = torch.cat([batch.x.flatten(1), one_hot(y).float()], dim=1)
    close(model.code(batch.x, y), concatenating(plain.encoder)(flat)[:, :2])
    z = normals(4, 2, seed=0).float()
    image = concatenating(plain.decoder)(torch.cat([z, one_hot(y).float()], dim=1)).sigmoid()
    close(model.image(z, y), image.view(4, 1, 16, 16))
    close(model.classify(batch.x), plain.classifier(batch.x.flatten(1)))


# M1+M2.


@pytest.mark.parametrize(("name", "noise", "rho", "beta"), [("m1m2", 0, 0.3, 1), ("m1m2 weighted", 0.5, 0.7, 0.2)])
def test_m1m2s_second_step_is_m2_of_the_drawn_codes(name: str, noise: float, rho: float, beta: float) -> None:
    method, batch = made(M1M2, name, model__classification=0.25)
    known, e = beside(batch), method.networks["encoder"]
    first, phase = method.phases(method.networks, batch, recompute=False)
    assert first.terms.keys() == {"reconstruction", "kl"}
    close(first.loss, first.terms["reconstruction"] + beta * first.terms["kl"])
    q, q_l = gaussian_of(e(batch.x)), gaussian_of(e(known.x))
    z = (q.mean + q.stddev * noise_of(batch, "code", 2)).detach().double()
    z_l = (q_l.mean + q_l.stddev * noise_of(known, "labelled code", 2)).detach().double()
    m2 = copy.deepcopy(method.network.m2).double()
    seen = z + noise * noise_of(batch, "code noise", 2)
    seen_l = z_l + noise * noise_of(known, "labelled code noise", 2)
    u = plain_u(m2, z, seen, noise_of(batch, "m2 latent", 3), "gaussian").mean()
    labelled = plain_l(m2, z_l, one_hot(known.y), noise_of(known, "labelled latent", 3), "gaussian").mean()
    classification = -m2.classifier(seen_l).log_softmax(1)[torch.arange(6), known.y].mean()
    assert phase.player == "m2"
    for key, value in {"unlabelled": u, "labelled": labelled, "classification": classification}.items():
        close(phase.terms[key], value)
    close(phase.loss, u + rho * labelled + 0.25 * classification)


@pytest.mark.parametrize(("step", "players"), [(2, ["autoencoder"]), (3, ["autoencoder", "m2"])])
def test_m2_begins_after_m1s_head_start(step: int, players: list[str]) -> None:
    method, batch = made(M1M2, "m1m2", model__head_start=3)
    assert [phase.player for phase in steps(method, replace(batch, step=step))] == players


def test_m1m2_goes_through_the_means_of_both_codes() -> None:
    method, batch = made(M1M2, "m1m2")
    model, y = method.network, torch.tensor([1, 2, 3, 4])
    z1 = method.networks["encoder"](batch.x)[:, :2]
    close(model.classify(batch.x), model.m2.classifier(z1))
    close(model.code(batch.x, y), concatenating(model.m2.encoder)(torch.cat([z1, one_hot(y).float()], dim=1))[:, :3])
    z2 = normals(4, 3, seed=0).float()
    mean = concatenating(model.m2.decoder)(torch.cat([z2, one_hot(y).float()], dim=1))[:, :2]
    close(model.image(z2, y), method.networks["decoder"](mean).sigmoid())


# AAE.


def judged(logits: Tensor, *, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian", "unit"])
def test_an_aaes_three_losses_by_hand(posterior: str) -> None:
    keys = {"model__posterior": posterior, "model__noise": 0.4, "model__likelihood": "gaussian", "model__scale": 0.3}
    method, batch = made(AAE, "aae", **keys, model__fooling_steps=3, model__prior_sd=2.5)
    e, d, judge = (method.networks[name] for name in ("encoder", "decoder", "judge"))
    x = (batch.x + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1)

    def code(purpose: str) -> Tensor:
        output = e(x)
        if posterior == "gaussian":
            q = gaussian_of(output)
            return q.mean + q.stddev * noise_of(batch, purpose, 2)
        return output if posterior == "deterministic" else output + noise_of(batch, purpose, 2)

    real = (2.5 * torch.randn(4, 2, generator=draws.generator(7, "prior 0", 3))).double()
    found = []
    for phase in method.phases(method.networks, batch, recompute=False):
        match phase.player:
            case "autoencoder":
                expected = reconstruction_of(Normal(d(code("latent")), math.sqrt(0.3)), batch.x)
            case "judge":
                # Samples of the prior are real, codes are not.
                expected = judged(judge(real)[0], real=True) + judged(judge(code("judged 0"))[0], real=False)
            case "encoder":
                expected = judged(judge(code("judged 0"))[0], real=True)
        close(phase.loss, expected)
        found.append((phase.player, list(phase.terms)))
        close(next(iter(phase.terms.values())), expected)
        phase.loss.backward()
        descend(method)
    assert found == [("autoencoder", ["reconstruction"]), ("judge", ["judge"])] + 3 * [("encoder", ["fooling"])]


def test_the_judge_is_shown_samples_of_the_prior_and_then_detached_codes() -> None:
    method, batch = made(AAE, "aae", model__prior="uniform")
    seen = inputs_of(method.judge)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
    (both,), (code,), (again,) = seen
    assert both.shape == (8, 2) and not both.requires_grad
    real, codes = both.split(4)
    close(real, (2 * torch.rand(4, 2, generator=draws.generator(7, "prior 0", 3)) - 1).double())
    close(codes, method.networks["encoder"](batch.x))
    close(code, codes)
    assert code.requires_grad and again.requires_grad


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_an_informed_judge_is_told_the_label_or_that_there_is_none(posterior: str) -> None:
    keys = {"model__posterior": posterior, "model__prior": "swiss_roll", "model__noise": 0.0}
    method, batch = made(AAE, "aae informed", **keys, model__fooling_steps=1)
    known, seen = beside(batch), inputs_of(method.judge)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
    (both,), (fooling,) = seen
    assert both.shape == (20, 2 + 11)
    (real, told_real), (codes, told) = (part.split([2, 11], dim=1) for part in both.split(10))
    none = one_hot(torch.full((4,), 10), 11)  # the eleventh class
    assert torch.equal(told_real[:4], none) and torch.equal(told[:4], none)
    assert torch.equal(told[4:], one_hot(known.y, 11))
    labels = told_real[4:].argmax(1)
    assert torch.equal(told_real[4:], one_hot(labels, 11)) and (labels < 10).all()
    # Piece k of the roll has radius 3√u for u from k/10 to (k + 1)/10.
    assert ((real[4:].norm(dim=1) / 3).square() * 10).floor().tolist() == labels.tolist()
    output = method.networks["encoder"](torch.cat([batch.x, known.x]))
    noise = torch.cat([noise_of(batch, "judged 0", 2), noise_of(known, "judged 1", 2)])
    q = gaussian_of(output) if posterior == "gaussian" else None
    close(codes, output if q is None else q.mean + q.stddev * noise)
    close(fooling, both[10:])
    assert fooling.requires_grad and not both.requires_grad


def test_prior_samples_with_labels_are_alike_on_all_processes() -> None:
    method, _ = made(AAE, "aae informed", model__prior="swiss_roll")
    whole = method.real(batch_of(8, labelled=8))
    parts = [method.real(part) for part in shared_out(batch_of(8, labelled=8), 4)]
    assert [len(part) for part in parts] == [4] * 4
    close(torch.cat([part[:2] for part in parts]), whole[:8])
    close(torch.cat([part[2:] for part in parts]), whole[8:])
    assert len({tuple(row.tolist()) for row in whole[:, :2]}) == 16


@pytest.mark.parametrize("weight", [0.5, 3.0])
@pytest.mark.parametrize("name", ["aae", "aae_supervised"])
def test_a_combined_step_fools_with_the_given_weight(name: str, weight: float) -> None:
    method, batch = made(AAE, name, model__combined=weight)
    e, d, judge = (method.networks[name] for name in ("encoder", "decoder", "judge"))
    phases = method.phases(method.networks, batch, recompute=False)
    next(phases).loss.backward()
    descend(method)
    phase = next(phases)
    z = e(batch.x)
    image = d(z if name == "aae" else torch.cat([z, one_hot(batch.y)], dim=1))
    reconstruction, fooling = reconstruction_of(Normal(image, 1), batch.x), judged(judge(z)[0], real=True)
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["fooling"], fooling)
    close(phase.loss, reconstruction + weight * fooling)
    assert "encoder" not in method.players and next(phases, None) is None


def test_a_supervised_aaes_decoder_alone_is_told_the_label() -> None:
    method, batch = made(AAE, "aae_supervised")
    e, d = method.networks["encoder"], method.networks["decoder"]
    to_encoder, to_decoder = inputs_of(e), inputs_of(d)
    phases = method.phases(method.networks, batch, recompute=False)
    phase = next(phases)
    assert to_encoder[0][0] is batch.x
    given = to_decoder[0][0]
    assert given.shape == (4, 2 + 10)
    assert torch.equal(given[:, 2:], one_hot(batch.y))
    close(given[:, :2], e(batch.x))
    close(phase.loss, reconstruction_of(Normal(d(given), 1), batch.x))
    changed = replace(batch, y=(batch.y + 1) % 10)
    other, *rest = method.phases(method.networks, changed, recompute=False)
    assert (other.loss - phase.loss).abs() > 1e-6
    for one, same in zip(phases, rest, strict=True):  # the judge sees codes alone
        close(one.loss, same.loss)


# Semi-supervised and clustering AAE.


@pytest.mark.parametrize("combined", [0.0, 2.5])
@pytest.mark.parametrize("blur", [0.0, 0.3])
@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster", "aae_cluster heads"])
def test_the_categorical_aaes_losses_by_hand(name: str, blur: float, combined: float) -> None:
    keys = {"model__noise": 0.4, "model__latent": 3, "model__fooling_steps": 1}
    keys |= {"model__judge_noise": blur, "model__combined": combined, "model__classification": 7.0}
    method, batch = made(SemiAAE, name, **keys)
    e, d = method.networks["encoder"], method.network.decoder
    judge_y, judge_z = method.judge.parts
    k = method.settings.categories

    def noisy(part: DigitBatch) -> Tensor:
        return (part.x + 0.4 * noise_of(part, "noise", 1, 16, 16)).clip(0, 1)

    def blurred(categories: Tensor, purpose: str) -> Tensor:
        return categories + blur * noise_of(batch, f"judge {purpose}", k)

    def classification() -> dict[str, Tensor]:
        known = beside(batch)
        logits = e((known.x + 0.4 * noise_of(known, "labelled noise", 1, 16, 16)).clip(0, 1))[:, :10]
        return {"classification": F.cross_entropy(logits, known.y)}

    for phase in method.phases(method.networks, batch, recompute=False):
        output = e(noisy(batch))
        y, z = output[:, :k].softmax(1), output[:, k:]
        of_y = judged(judge_y(blurred(y, "fooling" if combined else "fooling 0")), real=True)
        fooling = {"fooling_category": of_y, "fooling_style": judged(judge_z(z), real=True)}
        weights = dict.fromkeys(fooling, combined or 1.0) | {"classification": 7.0 if combined else 1.0}
        match phase.player:
            case "autoencoder":
                point = torch.cat([y, z], dim=1) if d.heads is None else y @ d.heads.weight.T + z
                terms = {"reconstruction": reconstruction_of(Normal(d.image(point), 1), batch.x)}
                if d.heads is not None:
                    w = d.heads.weight.T
                    pairs = [(w[i] - w[j]).norm() for i in range(k) for j in range(i)]
                    terms["heads"] = torch.stack([(3.0 - distance).clamp(min=0) for distance in pairs]).sum()
                terms |= fooling if combined else {}
                terms |= classification() if combined and method.supervised else {}
            case "judge":
                category = torch.randint(k, (4,), generator=draws.generator(7, "category", 3))
                style = torch.randn(4, 3, generator=draws.generator(7, "style", 3)).double()
                sample = blurred(one_hot(category, k).float(), "categories").double()
                of_real = judged(judge_y(sample), real=True)
                of_code = judged(judge_y(blurred(y, "codes")), real=False)
                of_z = judged(judge_z(style), real=True) + judged(judge_z(z), real=False)
                terms = {"judge": of_real + of_code + of_z}
            case "encoder":
                assert not combined
                terms = fooling
            case "classifier":
                terms = classification()
        assert phase.terms.keys() == terms.keys()
        for key, value in terms.items():
            close(phase.terms[key], value)
        close(phase.loss, torch.stack([weights.get(key, 1.0) * value for key, value in terms.items()]).sum())
        phase.loss.backward()
        descend(method)


def test_the_heads_begin_with_room_for_all() -> None:
    method, _ = made(SemiAAE, "aae_cluster heads", model__categories=400, model__latent=2)
    assert method.network.decoder.heads is not None
    points = method.network.decoder.heads.weight.detach()  # (2, 400), 3 apart in a square of side 60
    assert points.abs().max() <= 30 and (points.std(dim=1) - 60 / math.sqrt(12)).abs().max() < 1.5


@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster"])
def test_smoothness_is_the_divergence_under_the_change_that_changes_categories_most(name: str) -> None:
    keys = {"model__noise": 0.4, "model__combined": 2.0, "model__radius": 1e-3}
    method, batch = made(SemiAAE, name, **keys, model__smoothness=3.0)
    plain, _ = made(SemiAAE, name, **keys)
    e, k = method.networks["encoder"], method.settings.categories
    x = (batch.x + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1)

    def divergences(changes: Tensor) -> Tensor:
        p, q = (e(images)[:, :k].softmax(1) for images in (x, x + changes))
        return (p * (p / q).log()).sum(1)

    def scaled(changes: Tensor) -> Tensor:
        return 1e-3 * changes / changes.flatten(1).norm(dim=1)[:, None, None, None]

    random = scaled(noise_of(batch, "perturbation", 1, 16, 16)).requires_grad_()
    (gradient,) = torch.autograd.grad(divergences(random).sum(), random)
    worst = divergences(scaled(gradient))
    assert (worst > divergences(random)).all()
    (_, without), (_, phase) = (list(m.phases(m.networks, batch, recompute=False)) for m in (plain, method))
    close(phase.terms["smoothness"], worst.mean())
    close(phase.loss, without.loss + 3 * worst.mean())
    assert all(parameter.requires_grad for parameter in e.parameters())


def test_with_a_warp_smoothness_is_the_divergence_under_both() -> None:
    keys = {"model__combined": 2.0, "model__smoothness": 3.0, "model__radius": 0.5}
    method, batch = made(SemiAAE, "aae_cluster", **keys, model__warp=0.2)
    e, k, x = method.networks["encoder"], method.settings.categories, batch.x
    y = e(x)[:, :k].softmax(1)
    change = method.perturbation(x, y.detach(), noise_of(batch, "perturbation", 1, 16, 16))
    moved = e(warp(x + change, 0.2, noise_of(batch, "warp", 6)))[:, :k].softmax(1)
    *_, phase = method.phases(method.networks, batch, recompute=False)
    close(phase.terms["smoothness"], (y * (y / moved).log()).sum(1).mean())


def test_balance_adds_the_imbalance_of_the_categories() -> None:
    method, batch = made(SemiAAE, "aae_cluster balanced", model__balance=5.0)
    plain, _ = made(SemiAAE, "aae_cluster balanced", model__balance=0.0)
    expected = imbalance_in_groups(method.network.code(batch.x).y, 2)
    (_, without), (_, phase) = (list(m.phases(m.networks, batch, recompute=False)) for m in (plain, method))
    close(phase.terms["imbalance"], expected)
    close(phase.loss, without.loss + 5 * expected)


def test_a_normalised_encoder_sees_images_less_the_mean_of_those_it_trains_on(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"data__root": write_mnist(tmp_path / "mnist", train=60), "data__held_out": 20}
    method = method_of(config_of("aae_cluster balanced", **keys))
    assert isinstance(method, SemiAAE)
    batches = method.open(Share(0, 4, 1, 0, 1))
    centred, perceptron = method.network.encoder.children()
    assert isinstance(centred, Centred) and len(batches.digits) == 40
    images = batches.digits.images.double() / 255
    torch.testing.assert_close(centred.mean.double(), images.mean(0), rtol=0, atol=1e-7)
    first, norm = list(perceptron.children())[1:3]
    assert isinstance(first, nn.Linear) and isinstance(norm, nn.LayerNorm)
    x = images[:3].float()
    hidden = first((x - centred.mean).flatten(1))
    scaled = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(hidden), scaled)
    torch.testing.assert_close(method.network.encoder(x), nn.Sequential(*list(perceptron.children())[3:])(scaled))


def test_the_judges_noise_goes_to_its_end_linearly() -> None:
    method, batch = made(SemiAAE, "aae_cluster smooth", model__judge_noise=0.4, model__judge_noise_end=0.0)
    y = uniforms(4, 4, seed=2)
    for step, sd in ((0, 0.4), (1, 0.3), (3, 0.1)):  # of 4
        at = replace(batch, step=step)
        close(method.blurred(at, y, "codes"), y + sd * noise_of(at, "judge codes", 4))


def test_an_image_of_flat_categories_is_not_changed_to_nan() -> None:
    method, batch = made(SemiAAE, "aae_semi smooth")
    with torch.no_grad():
        for parameter in method.networks["encoder"].parameters():
            parameter.zero_()
    phase = list(method.phases(method.networks, batch, recompute=False))[-1]
    assert phase.terms["smoothness"].item() == pytest.approx(0, abs=1e-12) and phase.loss.isfinite()


def test_the_classifiers_step_uses_labelled_images_alone() -> None:
    method, batch = made(SemiAAE, "aae_semi", model__noise=0.0)
    seen = inputs_of(method.networks["encoder"])
    last = list(method.phases(method.networks, batch, recompute=False))[-1]
    assert last.player == "classifier" and seen[-1][0] is beside(batch).x
    other = replace(batch, x=uniforms(4, 1, 16, 16, seed=9), y=(batch.y + 1) % 10)
    close(list(method.phases(method.networks, other, recompute=False))[-1].loss, last.loss)


def test_labels_reach_no_step_but_the_classifiers() -> None:
    method, batch = made(SemiAAE, "aae_semi")
    other = replace(batch, y=(batch.y + 1) % 10, labelled=replace(beside(batch), y=(beside(batch).y + 1) % 10))
    ours, theirs = (list(method.phases(method.networks, given, recompute=False)) for given in (batch, other))
    for one, same in zip(ours[:-1], theirs[:-1], strict=True):
        close(one.loss, same.loss)
    assert (ours[-1].loss - theirs[-1].loss).abs() > 1e-6


def test_closeness_by_hand() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    # Distances 5, 1 and √18.
    for threshold, expected in ((0.5, 0.0), (2.0, 1.0), (6.0, 1 + 5 + 6 - math.sqrt(18))):
        assert closeness(points, threshold).item() == pytest.approx(expected, abs=1e-12)
    (gradient,) = torch.autograd.grad(closeness(points, 2.0), points)
    assert gradient.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, -1.0]]  # downhill, the two near ones part


def test_the_decoders_point_by_hand() -> None:
    y, z = torch.tensor([[0.25, 0.75], [1.0, 0.0]]).double(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    plain, _ = made(SemiAAE, "aae_cluster", model__categories=2)
    assert plain.network.decoder.point(y, z).tolist() == [[0.25, 0.75, 1.0, 2.0], [1.0, 0.0, 3.0, 4.0]]
    heads, _ = made(SemiAAE, "aae_cluster heads", model__categories=2)
    assert heads.network.decoder.heads is not None
    with torch.no_grad():
        heads.network.decoder.heads.weight.copy_(torch.tensor([[4.0, 8.0], [0.0, -4.0]]))  # points (4, 0) and (8, −4)
    assert heads.network.decoder.point(y, z).tolist() == [[1 + 6 + 1, -3.0 + 2], [7.0, 4.0]]


@pytest.mark.parametrize("name", ["aae_semi", "aae_cluster heads"])
def test_a_categorical_code_is_logits_and_then_the_style(name: str) -> None:
    method, batch = made(SemiAAE, name)
    model, k = method.network, method.settings.categories
    output = model.encoder(batch.x)
    code = model.code(batch.x)
    assert torch.equal(code.logits, output[:, :k]) and torch.equal(code.z, output[:, k:])
    close(code.y, output[:, :k].exp() / output[:, :k].exp().sum(1, keepdim=True))
    close(model.image(code.y, code.z), model.decoder(code.y, code.z))
    assert isinstance(method.model, CategoricalModel) and method.model.supervised == (name == "aae_semi")


# WAE.


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
    z = e((batch.x + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1))
    prior = sd * torch.randn(4, 2, generator=draws.generator(7, "prior", 3))
    penalty = torch.stack(
        [plain_mmd(z[start : start + group], prior[start : start + group], sd) for start in range(0, 4, group)]
    ).mean()
    # σ² = 10: 0.05·‖x − x̂‖², and a constant
    squares = (batch.x - d(z)).square().flatten(1).sum(1).mean()
    reconstruction = 0.05 * squares + 256 * 0.5 * math.log(2 * math.pi * 10)
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["penalty"], penalty)
    close(phase.loss, reconstruction + weight * penalty)
    assert penalty.abs() > 0.01 and set(method.networks) == {"encoder", "decoder"}


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_wae_gan_by_hand(weight: float, recompute: bool) -> None:
    method, batch = made(WAE, "wae adversarial", model__weight=weight, model__prior_sd=2.0, model__noise=0.0)
    e, d, judge = (method.networks[name] for name in ("encoder", "decoder", "judge"))
    phases = method.phases(method.networks, batch, recompute=recompute)
    first = next(phases)
    real = 2 * torch.randn(4, 2, generator=draws.generator(7, "prior", 3)).double()
    close(first.loss, judged(judge(real)[0], real=True) + judged(judge(e(batch.x))[0], real=False))
    first.loss.backward()
    assert all(parameter.grad is None for parameter in e.parameters())
    descend(method)
    second = next(phases)
    z = e(batch.x)
    penalty, reconstruction = judged(judge(z)[0], real=True), reconstruction_of(Normal(d(z), math.sqrt(10)), batch.x)
    assert (first.player, second.player) == ("judge", "autoencoder")
    close(second.terms["penalty"], penalty)
    close(second.loss, reconstruction + weight * penalty)


@pytest.mark.parametrize(("processes", "accumulation", "group"), [(1, 1, 8), (2, 1, 4), (1, 4, 2), (2, 2, 5)])
def test_parts_that_are_no_whole_groups_are_refused(processes: int, accumulation: int, group: int) -> None:
    part = 12 // (processes * accumulation)
    method, _ = made(WAE, "wae", model__group=group)
    with pytest.raises(ConfigError) as caught:
        method.open(Share(0, 12, accumulation, 0, processes))
    assert str(caught.value) == (
        f"model.group: {part} images a process and part are no whole groups of {group}; "
        f"expected a divisor of {part} that is at least 2, or a larger train.batch_size"
    )


# The finished network.


@pytest.mark.parametrize("name", ["vae", "cvae", "aae", "aae_supervised", "wae"])
def test_the_finished_network_codes_and_decodes_without_noise(name: str) -> None:
    method, batch = made(AutoencoderMethod, name)
    model = method.autoencoder
    assert isinstance(model, DigitModel) and method.model is model
    label = one_hot(batch.y).to(batch.x.dtype)
    in_encoder, in_decoder = name == "cvae", name in ("cvae", "aae_supervised")
    x = torch.cat([batch.x.flatten(1), label], dim=1) if in_encoder else batch.x
    z = model.encoder(x)[:, :2]
    close(model.code(batch.x, batch.y), z)
    output = model.decoder(torch.cat([z, label], dim=1) if in_decoder else z)
    close(model.image(z, batch.y), output.sigmoid() if model.config.likelihood == "bernoulli" else output)


def test_points_in_one_place_are_driven_apart_without_nan() -> None:
    points = torch.zeros(3, 2, requires_grad=True)
    closeness(points, 2.0).backward()
    assert points.grad is not None and points.grad.isfinite().all()


def test_labelled_and_unlabelled_images_get_noise_of_their_own() -> None:
    method, batch = made(SemiAAE, "aae_semi", model__noise=0.4)
    known = beside(batch)
    same = replace(batch, x=known.x, y=known.y, positions=known.positions, size=known.size)
    one, other = method.encode(method.networks, same), method.encode(method.networks, known, "labelled noise")
    assert not torch.equal(one.logits, other.logits)
    torch.testing.assert_close(one.logits, method.encode(method.networks, known).logits)


def test_m2s_bounds_are_summed_in_float32_where_its_networks_run_in_bf16() -> None:
    torch.manual_seed(0)
    bernoulli = likelihood_of("bernoulli", 1.0)
    network = M2Network(784, latent=4, hidden=(16,), activations=("relu",), likelihood=bernoulli, outputs=784)
    x, noise = torch.rand(3, 784), torch.randn(3, 4)
    whole = network.unlabelled(x, x, noise)
    with torch.autocast("cpu", torch.bfloat16):
        half = network.unlabelled(x, x, noise)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=2e-4, atol=0)
