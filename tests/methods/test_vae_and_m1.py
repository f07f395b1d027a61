"""VAE, CVAE and M1: the bound by hand, the noise of a denoising VAE, and M1's classifier."""

import pytest
import torch
from autoencoder_toys import LIKELIHOODS, close, gaussian_of, kl_of, made, one_hot, reconstruction_of
from digit_toys import beside, noise_of
from laws import inputs_of

from unit.methods.autoencoders.m1 import M1
from unit.methods.autoencoders.vae import VAE


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_the_bound_is_reconstruction_plus_divergence(name: str, likelihood: str, noise: float) -> None:
    keys = {"model__likelihood": likelihood, "model__scale": 0.3, "model__noise": noise}
    method, batch = made(VAE, name, **keys)
    (phase,) = method.phases(method.networks, batch, recompute=False)
    seen = (batch.intensities + noise * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1) if noise else batch.intensities
    label = one_hot(batch.y) if name == "cvae" else torch.empty(4, 0)
    e, d = method.networks["encoder"], method.networks["decoder"]
    q = gaussian_of(e(torch.cat([seen.flatten(1), label], dim=1)))
    z = q.mean + q.stddev * noise_of(batch, "latent", 2)
    law = LIKELIHOODS[likelihood](d(torch.cat([z, label], dim=1)), 0.3)
    reconstruction, kl = reconstruction_of(law, batch.intensities), kl_of(q)  # against the clean images
    assert phase.optimizer == "autoencoder" and phase.terms.keys() == {"reconstruction", "kl"}
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
    close(x[inside], (batch.intensities + 0.7 * noise_of(batch, "noise", 1, 16, 16))[inside])


def test_without_noise_the_encoder_sees_the_images_themselves() -> None:
    method, batch = made(VAE, "vae")
    seen = inputs_of(method.networks["encoder"])
    list(method.phases(method.networks, batch, recompute=False))
    assert torch.equal(seen[0][0], batch.intensities)


def test_m1s_classifier_learns_the_drawn_codes_of_clean_labeled_images() -> None:
    method, batch = made(M1, "m1", model__noise=0.4)
    known, e = beside(batch), method.networks["encoder"]
    _, phase = method.phases(method.networks, batch, recompute=False)
    q = gaussian_of(e(known.intensities))
    z = q.mean + q.stddev * noise_of(known, "labelled latent", 2)
    log_p = method.network.classifier(z).log_softmax(1)
    loss = -log_p[torch.arange(6), known.y].mean()
    assert phase.optimizer == "classifier" and phase.terms.keys() == {"classification"}
    close(phase.loss, loss)
    close(phase.terms["classification"], loss)


def test_m1s_vae_is_a_vae_that_sees_no_label() -> None:
    (method, batch), (vae, _) = made(M1, "m1"), made(VAE, "vae")
    vae.autoencoder.load_state_dict(method.network.vae.state_dict())
    first = next(method.phases(method.networks, batch, recompute=False))
    (expected,) = vae.phases(vae.networks, batch, recompute=False)
    close(first.loss, expected.loss)
