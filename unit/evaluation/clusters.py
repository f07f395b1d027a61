"""Clustering error: a cluster is named after the class of the image that is surest to be in it.

Makhzani et al. 2016, section 6. Of M2 it is what counts where it was trained without labels: then its classes are
clusters, whatever their numbers.
"""

import torch

from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet
from unit.models.categorical import CategoricalAutoencoder, log_odds
from unit.models.m2 import M2Model


def applies(images: EvaluationSet) -> str:
    model = images.model
    if not isinstance(model, M2Model) and (not isinstance(model, CategoricalAutoencoder) or model.supervised):
        return f"a model {model.name} trained so has no clusters"
    assert isinstance(images, ImageSet)
    return "" if images.images.classes else "the images have no labels to name clusters after"


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """The error, in [0, 1], and how many clusters have images."""
    model = images.model
    assert isinstance(model, CategoricalAutoencoder | M2Model)
    labels = images.images.class_labels
    logits = (model.classify(x) if isinstance(model, M2Model) else model.code(x).logits for x, _ in images.parts())
    sure = log_odds(torch.cat(list(logits)))
    chosen = sure.argmax(1)
    wrong = float((labels[sure.argmax(0)][chosen] != labels).float().mean())
    used = float(len(set(chosen.tolist())))
    return Figures({"error": {"value": wrong}, "clusters in use": {"value": used}}, title="clustering", decimals=4)


METRIC = Metric(measure, applies, better="lower")
