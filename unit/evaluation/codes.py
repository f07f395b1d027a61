"""Codes and prior: how far the distribution of codes is from the prior that it was pulled towards."""

import torch
from torch import Tensor

from unit import draws
from unit.core.regularizer import mmd
from unit.data.images import to_intensity
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder

CODES = 2000
"""How many codes are compared with as many samples."""


def applies(images: EvaluationSet) -> str:
    model = images.model
    if isinstance(model, ImageAutoencoder):
        assert isinstance(images, ImageSet)
        return "it needs at least 2 images, there is 1" if len(images.images) < 2 else ""
    return f"a model {model.name} is scored by other figures"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """The maximum mean discrepancy of codes and prior, and, to compare it with, of two samples of the prior. Codes are
    the means of q(z|x); of a VAE, whose KL divergence is of all of q, they are drawn."""
    model = images.model
    assert isinstance(model, ImageAutoencoder)
    generator = draws.generator(0, "evaluate codes") if model.has_bound else None
    z = torch.cat([codes_of(model, x, y, generator) for x, y in images.parts()])[:CODES]
    prior = model.prior.sample(len(z), draws.generator(0, "evaluate prior"))
    again = model.prior.sample(len(z), draws.generator(1, "evaluate prior"))
    sd = float(prior.std())
    rows = {
        "codes and prior": {"MMD": float(mmd(z, prior, sd=sd))},
        "the prior and itself": {"MMD": float(mmd(again, prior, sd=sd))},
    }
    return Figures(rows, title="codes", decimals=4)


def codes_of(model: ImageAutoencoder, x: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
    """The codes of images in [-1, 1], drawn with a generator, or the means: (B, d)."""
    q = model.encode(to_intensity(x), model.encoder_condition(y))
    return q.sample(None if generator is None else torch.randn(q.mu.shape, generator=generator))


METRIC = Metric(measure, applies, better="lower")
