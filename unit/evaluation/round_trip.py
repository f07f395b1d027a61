"""Round trip: how far images are from what they were once translated there and back."""

import torch

from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.models.base import REVERSED


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    return "" if len(images.model.directions) == 2 else "the model has one direction"


def measure(images: TranslationSet) -> Figures:
    """Mean absolute difference, in gray levels of 255, averaged over the pixels and then over the images."""
    rows = {}
    for direction in images.model.directions:
        pairs = zip(images.source(direction), images.round_trips(direction), strict=True)
        distances = [(x.double() - y.double()).abs().mean() for x, y in pairs]
        rows[f"{direction}2{REVERSED[direction][-1]}"] = {"levels": float(torch.stack(distances).mean())}
    return Figures(rows, title="round trip", decimals=2)


METRIC = Metric(measure, applies)
