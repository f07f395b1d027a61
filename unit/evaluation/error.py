"""Classification error: the share of images whose class is named wrongly."""

import torch

from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.categorical import CategoricalAutoencoder, log_odds
from unit.models.m1 import M1Model
from unit.models.m1m2 import M1M2Model
from unit.models.m2 import M2Model

Classifier = M1Model | M2Model | M1M2Model


def applies(images: EvaluationSet) -> str:
    model = images.model
    if isinstance(model, Classifier) or (isinstance(model, CategoricalAutoencoder) and model.supervised):
        assert isinstance(images, ImageSet)
        return images.unlabeled_because
    return f"a model {model.name} trained so names no class"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """In [0, 1]."""
    model, wrong = images.model, 0
    for x, y in images.parts():
        if isinstance(model, CategoricalAutoencoder):
            named = log_odds(model.code(x).logits).argmax(1)
        else:
            assert isinstance(model, Classifier)
            named = model.classify(x).argmax(1)
        wrong += int((named != y).sum())
    return Figures({"error": {"share of images": wrong / len(images.images)}}, title="classification", decimals=4)


METRIC = Metric(measure, applies, better="lower")
