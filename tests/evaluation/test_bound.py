"""The bound of a VAE and its terms, by hand."""

from typing import Any

import pytest
import torch
from image_sets import domain_of, in_small_parts, model_of, one_hot, set_of
from torch.distributions import Bernoulli, Normal, kl_divergence

from unit import draws
from unit.core.noise import noisy
from unit.core.prior import Mixture
from unit.evaluation.bound import METRIC

small = pytest.fixture(autouse=True)(in_small_parts)


def figures(model: Any) -> dict[str, float]:
    rows = METRIC.measure(set_of(model)).rows
    assert all(row.keys() == {"per image"} for row in rows.values())
    return {name: row["per image"] for name, row in rows.items()}


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("name", ["vae", "cvae"])
def test_the_bound_and_its_terms_by_hand(name: str, noise: float) -> None:
    model, images = model_of(name, model__noise=noise), domain_of()
    generator = draws.generator(0, "evaluate")
    sums = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for start in (0, 4, 8):  # the last part is of two images
            x, y = images.tensor[start : start + 4] / 255, images.class_labels[start : start + 4]
            label = one_hot(y) if name == "cvae" else torch.empty(len(x), 0)
            seen = (x + noise * torch.randn(x.shape, generator=generator)).clip(0, 1) if noise else x
            mu, log_variance = model.encoder(torch.cat([seen.flatten(1), label], dim=1)).chunk(2, dim=1)
            z = mu + torch.exp(log_variance / 2) * torch.randn(len(x), 2, generator=generator)
            law = Bernoulli(logits=model.decoder(torch.cat([z, label], dim=1)), validate_args=False)
            q = Normal(mu, torch.exp(log_variance / 2))
            kl = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()
            clean = model.decoder(torch.cat([mu, label], dim=1)).sigmoid()
            least = Bernoulli(x).entropy().sum()
            sums += torch.stack(
                [-law.log_prob(x).sum(), kl, (seen - x).square().sum(), (clean - x).square().sum(), least]
            )
    reconstruction, divergence, before, after, least = (sums / 10).tolist()
    expected = {
        "-ELBO": reconstruction + divergence, "reconstruction": reconstruction, "KL": divergence,
        "entropy of the images": least,
    }  # fmt: skip
    if noise:
        expected |= {"squared error of the noisy images": before, "squared error, denoised": after}
    found = figures(model)
    assert found == {name: pytest.approx(value, rel=2e-5) for name, value in expected.items()}
    assert found["KL"] > 0.1
    assert found["-ELBO"] == pytest.approx(found["reconstruction"] + found["KL"], rel=1e-6)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_entropy_is_bernoullis_alone(likelihood: str) -> None:
    assert list(figures(model_of("vae", model__likelihood=likelihood))) == ["-ELBO", "reconstruction", "KL"]


def test_m1s_bound_is_its_vaes() -> None:
    model = model_of("m1")
    assert figures(model) == figures(model.vae)


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_the_divergence_from_another_prior_is_in_the_bound(prior: str) -> None:
    model, images = model_of("vae", model__prior=prior, model__prior_sd=3.0), domain_of()
    generator, divergences = draws.generator(0, "evaluate"), []
    with torch.no_grad():
        for x in (images.tensor / 255).split(4):
            mu, log_variance = model.encoder(x).chunk(2, dim=1)
            q = Normal(mu, torch.exp(log_variance / 2))
            z = q.mean + q.stddev * torch.randn(len(x), 2, generator=generator)
            if prior == "normal":
                divergences.append(kl_divergence(q, Normal(torch.zeros_like(mu), torch.full_like(mu, 3.0))).sum(1))
            else:
                divergences.append(q.log_prob(z).sum(1) - Mixture().log_prob(z))
    found = figures(model)
    assert found["KL"] == pytest.approx(torch.cat(divergences).mean().item(), rel=2e-5)
    assert found["-ELBO"] == pytest.approx(found["reconstruction"] + found["KL"], rel=1e-6)


def test_salt_and_pepper_are_what_a_denoising_vae_sees() -> None:
    found = figures(model_of("vae", model__salt_pepper=0.4))
    generator, x = draws.generator(0, "evaluate"), domain_of().tensor / 255
    noise = torch.cat([torch.randn(part.shape, generator=generator) for part in x[:4].split(4)])
    first = (noisy(x[:4], noise, salt_pepper=0.4) - x[:4]).square().sum() / 4
    assert found["squared error of the noisy images"] == pytest.approx(first.item(), rel=0.3)
    assert found["squared error, denoised"] > 0
