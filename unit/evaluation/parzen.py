"""The log-likelihood of test images under a Gaussian Parzen window around images of the prior's codes.

Goodfellow et al., Generative Adversarial Networks, 2014. The window's width is chosen on images that the
model has seen.
"""

import math

import torch
from torch import Tensor

from unit import draws
from unit.data.domain import Domain
from unit.data.images import to_intensity
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import BATCH, EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder

SAMPLES = 10_000
VALIDATION = 1000
"""Images that the width is chosen on."""
WIDTHS = [0.1 + 0.01 * step for step in range(16)]


def applies(images: EvaluationSet) -> str:
    model = images.model
    if not isinstance(model, ImageAutoencoder):
        return f"a model {model.name} is scored by other figures"
    return "" if model.labels == "none" else "its decoder needs labels, which the prior does not give"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """log p(x) in nats, averaged over the images, and the best of WIDTHS."""
    model = images.model
    assert isinstance(model, ImageAutoencoder)
    z = model.prior.sample(SAMPLES, draws.generator(0, "parzen"))
    samples = torch.cat([to_intensity(model.image(part)).flatten(1) for part in torch.split(z, BATCH)])
    some = images.seen.part(max(0, len(images.seen) - VALIDATION), len(images.seen))
    best = max(WIDTHS, key=lambda width: log_likelihood(samples, images, some, width))
    rows = {
        "log-likelihood": {"value": log_likelihood(samples, images, images.images, best)},
        "width of the window": {"value": best},
    }
    return Figures(rows, title="Parzen", decimals=2)


def log_likelihood(samples: Tensor, images: ImageSet, domain: Domain, width: float) -> float:
    """log p(x) of intensities x, in nats, averaged: under equal Gaussians of standard deviation `width` around the
    samples (N, n)."""
    total = 0.0
    for x, _ in images.parts(domain):
        distance = torch.cdist(to_intensity(x).flatten(1), samples).square()
        total += float(torch.logsumexp(-distance / (2 * width**2), dim=1).double().sum())
    n = samples.shape[1]
    return total / len(domain) - math.log(len(samples)) - n * math.log(width * math.sqrt(2 * math.pi))


METRIC = Metric(measure, applies, better="higher")
