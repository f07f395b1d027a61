"""Codes and prior: how far the distribution of codes is from the prior that it was pulled towards."""

import torch

from unit import draws
from unit.core.regularizer import mmd
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder

CODES = 2000
"""How many codes are compared with as many samples."""


def applies(images: EvaluationSet) -> str:
    model = images.model
    if isinstance(model, ImageAutoencoder) and not model.has_bound:
        assert isinstance(images, ImageSet)
        return "it needs at least 2 images, there is 1" if len(images.images) < 2 else ""
    return f"a model {model.name} trained so is scored by other figures"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """The maximum mean discrepancy of codes and prior, and, to compare it with, of two samples of the prior."""
    model = images.model
    assert isinstance(model, ImageAutoencoder)
    z = torch.cat([model.code(x, y) for x, y in images.parts()])[:CODES]
    prior = model.prior.sample(len(z), draws.generator(0, "evaluate prior"))
    again = model.prior.sample(len(z), draws.generator(1, "evaluate prior"))
    sd = float(prior.std())
    rows = {
        "codes and prior": {"MMD": float(mmd(z, prior, sd=sd))},
        "the prior and itself": {"MMD": float(mmd(again, prior, sd=sd))},
    }
    return Figures(rows, title="codes", decimals=4)


METRIC = Metric(measure, applies)
