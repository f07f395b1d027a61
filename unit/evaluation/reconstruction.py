"""Reconstruction: the squared error of images that go through the code's mean, summed over pixels."""

import torch
from torch import Tensor

from unit.data.images import to_intensity
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder


def applies(images: EvaluationSet) -> str:
    model = images.model
    if isinstance(model, ImageAutoencoder | CategoricalAutoencoder):
        return ""
    return f"a model {model.name} is scored by other figures"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """Averaged over the images, of intensities in [0, 1]."""
    total = 0.0
    for x, y in images.parts():
        difference = to_intensity(reconstruct(images.model, x, y)) - to_intensity(x)
        total += float(difference.square().sum())
    rows = {"squared error": {"per image": total / len(images.images)}}
    return Figures(rows, title="reconstruction", decimals=2)


def reconstruct(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The mean image of the code's mean."""
    if isinstance(model, CategoricalAutoencoder):
        code = model.code(x)
        return model.image(code.y, code.z)
    assert isinstance(model, ImageAutoencoder)
    return model.image(model.code(x, y), y)


METRIC = Metric(measure, applies, better="lower")
