"""AAE: its three losses by hand, what the discriminator sees, and labels for it or for the decoder."""

import math
from dataclasses import replace

import pytest
import torch
from autoencoder_toys import close, descend, gaussian_of, judged, made, one_hot, reconstruction_of
from digit_toys import batch_of, beside, noise_of, shared_out
from laws import inputs_of
from torch import Tensor
from torch.distributions import Normal

from unit import draws
from unit.methods.autoencoders.aae import AAE


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian", "unit"])
def test_an_aaes_three_losses_by_hand(posterior: str) -> None:
    keys = {"model__posterior": posterior, "model__noise": 0.4, "model__likelihood": "gaussian", "model__scale": 0.3}
    method, batch = made(AAE, "aae", **keys, model__generator_steps=3, model__prior_sd=2.5)
    e, d, discriminator = (method.networks[name] for name in ("encoder", "decoder", "discriminator"))
    x = (batch.intensities + 0.4 * noise_of(batch, "noise", 1, 16, 16)).clip(0, 1)

    def code(purpose: str) -> Tensor:
        output = e(x)
        if posterior == "gaussian":
            q = gaussian_of(output)
            return q.mean + q.stddev * noise_of(batch, purpose, 2)
        return output if posterior == "deterministic" else output + noise_of(batch, purpose, 2)

    real = (2.5 * torch.randn(4, 2, generator=draws.generator(7, "prior 0", 3))).double()
    found = []
    for phase in method.phases(method.networks, batch, recompute=False):
        match phase.optimizer:
            case "autoencoder":
                expected = reconstruction_of(Normal(d(code("latent")), math.sqrt(0.3)), batch.intensities)
            case "discriminator":
                # Samples of the prior are real, codes are not.
                fake = code("judged 0")
                expected = judged(discriminator(real)[0], real=True) + judged(discriminator(fake)[0], real=False)
            case "encoder":
                expected = judged(discriminator(code("judged 0"))[0], real=True)
        close(phase.loss, expected)
        found.append((phase.optimizer, list(phase.terms)))
        close(next(iter(phase.terms.values())), expected)
        phase.loss.backward()
        descend(method)
    first = [("autoencoder", ["reconstruction"]), ("discriminator", ["discriminator"])]
    assert found == first + 3 * [("encoder", ["code_gan"])]


def test_the_discriminator_is_shown_samples_of_the_prior_and_then_detached_codes() -> None:
    method, batch = made(AAE, "aae", model__prior="uniform")
    seen = inputs_of(method.discriminator)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
    (both,), (code,), (again,) = seen
    assert both.shape == (8, 2) and not both.requires_grad
    real, codes = both.split(4)
    close(real, (2 * torch.rand(4, 2, generator=draws.generator(7, "prior 0", 3)) - 1).double())
    close(codes, method.networks["encoder"](batch.intensities))
    close(code, codes)
    assert code.requires_grad and again.requires_grad


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_an_informed_discriminator_gets_the_label_or_that_there_is_none(posterior: str) -> None:
    keys = {"model__posterior": posterior, "model__prior": "swiss_roll", "model__noise": 0.0}
    method, batch = made(AAE, "aae informed", **keys, model__generator_steps=1)
    known, seen = beside(batch), inputs_of(method.discriminator)
    for phase in method.phases(method.networks, batch, recompute=False):
        phase.loss.backward()
    (both,), (again,) = seen
    assert both.shape == (20, 2 + 11)
    (real, label_real), (codes, label_fake) = (part.split([2, 11], dim=1) for part in both.split(10))
    none = one_hot(torch.full((4,), 10), 11)  # the eleventh class
    assert torch.equal(label_real[:4], none) and torch.equal(label_fake[:4], none)
    assert torch.equal(label_fake[4:], one_hot(known.y, 11))
    labels = label_real[4:].argmax(1)
    assert torch.equal(label_real[4:], one_hot(labels, 11)) and (labels < 10).all()
    # Piece k of the roll has radius 3√u for u from k/10 to (k + 1)/10.
    assert ((real[4:].norm(dim=1) / 3).square() * 10).floor().tolist() == labels.tolist()
    output = method.networks["encoder"](torch.cat([batch.intensities, known.intensities]))
    noise = torch.cat([noise_of(batch, "judged 0", 2), noise_of(known, "judged 1", 2)])
    q = gaussian_of(output) if posterior == "gaussian" else None
    close(codes, output if q is None else q.mean + q.stddev * noise)
    close(again, both[10:])
    assert again.requires_grad and not both.requires_grad


def test_where_all_labels_are_known_the_discriminator_sees_labeled_codes_alone() -> None:
    method, batch = made(AAE, "aae informed of all", model__generator_steps=1)
    known, seen = beside(batch), inputs_of(method.discriminator)
    list(method.phases(method.networks, batch, recompute=False))
    (both,), (again,) = seen
    assert both.shape == (12, 2 + 11) and len(known.x) == 6
    (real, label_real), (codes, label_fake) = (part.split([2, 11], dim=1) for part in both.split(6))
    assert torch.equal(label_fake, one_hot(known.y, 11)) and not label_real[:, 10].any()
    close(codes, method.networks["encoder"](known.intensities))
    close(again, both[6:])
    # With the standard deviation 5, label 0 lies within 5 of 0, the others in their 40° outside.
    degrees = torch.rad2deg(torch.atan2(real[:, 1], real[:, 0])) % 360
    assert label_real.argmax(1).tolist() == torch.where(real.norm(dim=1) < 5, 0, 1 + degrees // 40).tolist()


def test_prior_samples_with_labels_are_alike_on_all_processes() -> None:
    method, _ = made(AAE, "aae informed", model__prior="swiss_roll")
    whole = method.real_codes(batch_of(8, labeled=8))
    parts = [method.real_codes(part) for part in shared_out(batch_of(8, labeled=8), 4)]
    assert [len(part) for part in parts] == [4] * 4
    close(torch.cat([part[:2] for part in parts]), whole[:8])
    close(torch.cat([part[2:] for part in parts]), whole[8:])
    assert len({tuple(row.tolist()) for row in whole[:, :2]}) == 16


@pytest.mark.parametrize("weight", [0.5, 3.0])
@pytest.mark.parametrize("name", ["aae", "aae_supervised"])
def test_a_combined_step_weighs_what_fools_the_discriminator(name: str, weight: float) -> None:
    method, batch = made(AAE, name, model__combined=weight)
    e, d, discriminator = (method.networks[name] for name in ("encoder", "decoder", "discriminator"))
    phases = method.phases(method.networks, batch, recompute=False)
    next(phases).loss.backward()
    descend(method)
    phase = next(phases)
    z = e(batch.intensities)
    image = d(z if name == "aae" else torch.cat([z, one_hot(batch.y)], dim=1))
    reconstruction = reconstruction_of(Normal(image, 1), batch.intensities)
    code_gan = judged(discriminator(z)[0], real=True)
    close(phase.terms["reconstruction"], reconstruction)
    close(phase.terms["code_gan"], code_gan)
    close(phase.loss, reconstruction + weight * code_gan)
    assert "encoder" not in method.optimizers and next(phases, None) is None


def test_a_supervised_aaes_decoder_alone_gets_the_label() -> None:
    method, batch = made(AAE, "aae_supervised")
    e, d = method.networks["encoder"], method.networks["decoder"]
    to_encoder, to_decoder = inputs_of(e), inputs_of(d)
    phases = method.phases(method.networks, batch, recompute=False)
    phase = next(phases)
    assert torch.equal(to_encoder[0][0], batch.intensities)
    given = to_decoder[0][0]
    assert given.shape == (4, 2 + 10)
    assert torch.equal(given[:, 2:], one_hot(batch.y))
    close(given[:, :2], e(batch.intensities))
    close(phase.loss, reconstruction_of(Normal(d(given), 1), batch.intensities))
    changed = replace(batch, y=(batch.y + 1) % 10)
    other, *rest = method.phases(method.networks, changed, recompute=False)
    assert (other.loss - phase.loss).abs() > 1e-6
    for one, same in zip(phases, rest, strict=True):  # the discriminator sees codes alone
        close(one.loss, same.loss)
