"""The options of a VAE's objective and of how networks train: by hand, by key, and off where a model is evaluated."""

import math
from typing import Any

import pytest
import torch
from autoencoder_toys import close, gaussian_of, kl_of, made, one_hot, reconstruction_of
from digit_toys import batch_of, noise_of, shared_out
from laws import inputs_of
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.functional import softplus

from unit.core.noise import noisy
from unit.core.regularizer import KL
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.aae import AAE
from unit.methods.autoencoders.vae import VAE
from unit.models.autoencoder import ImageAutoencoder
from unit.networks.norms import BatchNorm


def masks(batch: ImageBatch, network: nn.Module, purpose: str, p: float, count: int = 1) -> list[Tensor]:
    """What each hidden layer of a perceptron is multiplied with in the call of that purpose, in the order of layers."""
    drops = [name for name, layer in network.named_modules() if type(layer).__name__ == "Dropout"]
    assert len(drops) == 2
    threshold = Normal(0.0, 1.0).icdf(torch.tensor(p)).item()
    drawn = [noise_of(batch, f"dropout {purpose} {name} {call}", 8) for name in drops for call in [f"0 {count - 1}"]]
    return [(noise > threshold) / (1 - p) for noise in drawn]


def by_hand(network: nn.Module, x: Tensor, drops: list[Tensor]) -> Tensor:
    """A perceptron of two hidden layers, tanh and softplus or the other way around, with these masks."""
    linears = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    others = [layer for layer in network.modules() if isinstance(layer, nn.Tanh | nn.Softplus)]
    h = x.flatten(1)
    for linear, activation, drop in zip(linears[:-1], others, drops, strict=True):
        h = activation(linear(h)) * drop
    output: Tensor = linears[-1](h)
    return output


@pytest.mark.parametrize("step", [0, 1, 3, 9])
@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_the_weighted_bound_by_hand(name: str, step: int) -> None:
    keys: dict[str, Any] = {"model__posterior": "softplus", "model__beta": 0.5, "model__kl_warmup": 3}
    keys |= {"model__prior_sd": 2.0, "model__salt_pepper": 0.3, "model__dropout": 0.2}
    method, _ = made(VAE, name, **keys)
    batch = batch_of(4, step=step)
    (phase,) = method.phases(method.networks, batch, recompute=False)
    label = one_hot(batch.y) if name == "cvae" else torch.empty(4, 0)
    seen = noisy(batch.intensities, noise_of(batch, "noise", 1, 16, 16), salt_pepper=0.3)
    e, d = method.networks["encoder"], method.networks["decoder"]
    output = by_hand(e, torch.cat([seen.flatten(1), label], dim=1), masks(batch, e, "encode", 0.2))
    q = Normal(output[:, :2], softplus(output[:, 2:]) + 1e-6)
    z = q.mean + q.stddev * noise_of(batch, "latent", 2)
    image = by_hand(d, torch.cat([z, label], dim=1), masks(batch, d, "decode", 0.2))
    law = Bernoulli(logits=image.view(-1, 1, 16, 16), validate_args=False)
    reconstruction = reconstruction_of(law, batch.intensities)
    kl = kl_divergence(q, Normal(torch.zeros(2).double(), torch.full((2,), 2.0).double())).sum(1).mean()
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["kl"], kl)
    close(phase.loss, reconstruction + 0.5 * min(1, (step + 1) / 4) * kl)
    with pytest.raises(AssertionError):
        close(phase.terms["kl"], kl_of(q))  # that to N(0, I) is another


def test_a_mixture_s_divergence_is_that_of_the_drawn_code() -> None:
    method, batch = made(VAE, "vae", model__prior="mixture")
    codes = inputs_of(method.networks["decoder"])
    (phase,) = method.phases(method.networks, batch, recompute=False)
    q, z = gaussian_of(method.networks["encoder"](batch.intensities)), codes[0][0]
    close(z, q.mean + q.stddev * noise_of(batch, "latent", 2))
    angles = 2 * math.pi * torch.arange(10).double() / 10
    turned = torch.complex(z[:, :1], z[:, 1:]) * torch.polar(torch.ones(10).double(), -angles)
    center, along, across = (torch.tensor(value, dtype=torch.float64) for value in (1.4, 0.5, 0.1))
    petals = Normal(center, along).log_prob(turned.real) + Normal(0 * center, across).log_prob(turned.imag)
    log_p = petals.exp().mean(1).log()
    close(phase.terms["kl"], (q.log_prob(z).sum(1) - log_p).mean())
    close(phase.loss, phase.terms["reconstruction"] + phase.terms["kl"])


def test_the_weight_of_the_kl_divergence_rises_to_beta_and_stays() -> None:
    assert [KL(3.0, warmup=2).weight_at(step) for step in (0, 1, 2, 3, 100)] == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert KL(3.0).weight_at(0) == 3.0


@pytest.mark.parametrize("name", ["vae weighted", "aae informed dropped"])
def test_what_is_dropped_is_a_function_of_the_step_and_the_place_in_the_batch(name: str) -> None:
    def outputs(batches: list[ImageBatch]) -> list[Tensor]:
        method, _ = made(VAE if name.startswith("vae") else AAE, name)
        found = []
        for batch in batches:
            seen = inputs_of(method.networks["decoder"])
            next(iter(method.phases(method.networks, batch, recompute=False)))
            found.append(seen[-1][0])
        return found

    labeled = 8 if "informed" in name else 0
    whole = batch_of(8, labeled=labeled)
    (z,) = outputs([whole])
    close(torch.cat(outputs(shared_out(whole, 4))), z)
    (other,) = outputs([batch_of(8, labeled=labeled, step=4)])
    assert not torch.allclose(z, other)


def test_each_pass_through_an_aae_s_encoder_drops_other_units() -> None:
    method, batch = made(AAE, "aae informed dropped", model__dropout=0.5)
    codes = inputs_of(method.networks["discriminator"])
    list(method.phases(method.networks, batch, recompute=False))
    (both,), (first,), (second,) = codes
    judged = both[len(both) // 2 :]
    assert not torch.allclose(judged, first) and not torch.allclose(first, second)
    again = inputs_of(method.networks["discriminator"])
    list(method.phases(method.networks, batch, recompute=False))
    assert torch.equal(again[1][0], first) and torch.equal(again[2][0], second)


def test_a_combined_aae_with_batch_norm_by_hand() -> None:
    method, batch = made(AAE, "aae combined normed", model__dropout=0, model__posterior="deterministic")
    e, d, discriminator = (method.networks[key] for key in ("encoder", "decoder", "discriminator"))
    norms = [layer for layer in e.modules() if isinstance(layer, BatchNorm)]
    assert len(norms) == 2 and all(norm.running is not None and not norm.running.mean.any() for norm in norms)
    _, phase = method.phases(method.networks, batch, recompute=False)
    linear = e.get_submodule("1")
    h = linear(batch.intensities.flatten(1))
    pairs = h.view(2, 2, 8)  # two images are normalized together
    normal = (pairs - pairs.mean(1, keepdim=True)) / (pairs.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    close(norms[0](h), normal.view(4, 8))
    z = e(batch.intensities)
    expected = reconstruction_of(Normal(d(z), 1.0), batch.intensities)
    close(phase.terms["reconstruction"], expected)
    fooled = softplus(-discriminator(z)[0]).mean()
    close(phase.loss, expected + 3.0 * fooled)
    assert norms[0].running is not None and norms[0].running.mean.any()  # for a finished model


@pytest.mark.parametrize("name", ["vae weighted", "aae combined normed"])
def test_a_finished_model_drops_nothing_and_sees_each_image_by_itself(name: str) -> None:
    method, batch = made(VAE if name.startswith("vae") else AAE, name)
    model = method.model.eval()
    assert isinstance(model, ImageAutoencoder)
    with torch.no_grad():
        z = model.code(batch.x)
        assert torch.equal(z, model.code(batch.x))
        close(torch.cat([model.code(x[None]) for x in batch.x]), z)
        close(torch.cat([model.image(code[None]) for code in z]), model.image(z))


def test_all_networks_of_a_method_begin_as_the_config_says() -> None:
    method, _ = made(AAE, "aae combined normed")
    for network in method.networks.values():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                assert layer.weight.abs().max() <= (6 / sum(layer.weight.shape)) ** 0.5
                assert not layer.bias.any()
