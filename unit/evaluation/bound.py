"""The bound of a VAE: −ELBO and its terms, in nats per image, averaged over the images; and what denoising does."""

import torch
from torch import Tensor

from unit import draws
from unit.core.likelihood import Bernoulli, entropy
from unit.core.noise import noisy
from unit.core.posterior import Gaussian
from unit.core.regularizer import kl
from unit.data.images import to_intensity
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder
from unit.models.m1 import M1Model


def find_vae(images: EvaluationSet) -> ImageAutoencoder | None:
    """The VAE that the model is, or that M1 has."""
    model = images.model.vae if isinstance(images.model, M1Model) else images.model
    return model if isinstance(model, ImageAutoencoder) and model.has_bound else None


def applies(images: EvaluationSet) -> str:
    return "" if find_vae(images) is not None else f"a model {images.model.name} trained so has no such bound"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """−ELBO with one sample of z per image, its two terms, and the least that a Bernoulli loss can be."""
    model = find_vae(images)
    assert model is not None
    settings = model.config.model
    sums: dict[str, float] = {}
    generator = draws.generator(0, "evaluate")

    def add(name: str, values: Tensor) -> None:
        sums[name] = sums.get(name, 0.0) + float(values.double().sum())

    for image, y in images.parts():
        x = to_intensity(image)
        sd, share = settings.noise, settings.salt_pepper
        seen = noisy(x, torch.randn(x.shape, generator=generator), sd=sd, salt_pepper=share) if sd or share else x
        q = model.encode(seen, model.encoder_condition(y))
        assert isinstance(q, Gaussian)
        z = q.sample(torch.randn(q.mu.shape, generator=generator))
        output = model.decode(z, model.decoder_condition(y))
        nll, divergence = model.likelihood.nll(x, output), kl(q, z, model.prior)
        if sd or share:
            clean = to_intensity(model.image(q.mu, y))
            add("squared error of the noisy images", (seen - x).square().flatten(1).sum(1))
            add("squared error, denoised", (clean - x).square().flatten(1).sum(1))
        add("-ELBO", nll + divergence)
        add("reconstruction", nll)
        add("KL", divergence)
        if isinstance(model.likelihood, Bernoulli):
            add("entropy of the images", entropy(x))
    count = len(images.images)
    return Figures({name: {"per image": total / count} for name, total in sums.items()}, title="bound", decimals=2)


METRIC = Metric(measure, applies, better="lower")
