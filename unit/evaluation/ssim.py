"""SSIM: how alike translations and truths are in their local means, contrasts and patterns, at most 1.

Wang, Bovik, Sheikh, Simoncelli 2004: Gaussian windows of 11 × 11 pixels with σ = 1.5, averaged over the places where a
window lies wholly in the image, over the channels, and over the images.
"""

from torch import Tensor

from unit.evaluation.extra import library
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet
from unit.evaluation.truths import paired, unpaired

WINDOW = 11


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """That of uint8 images (B, C, H, W): (B,). (torchmetrics' own average has the places along the border, too, where
    its windows see the image mirrored.)"""
    similarity = library("torchmetrics.functional.image").structural_similarity_index_measure
    _, places = similarity(x.double(), y.double(), data_range=255.0, reduction="none", return_full_image=True)
    border = WINDOW // 2
    found: Tensor = places[..., border:-border, border:-border].mean((1, 2, 3))
    return found


def applies(images: EvaluationSet) -> str:
    reason = unpaired(images)
    if reason or not isinstance(images, TranslationSet):
        return reason
    side = min(min(shape[1:]) for shape in images.test_b.shapes)
    return f"its windows are of {WINDOW} × {WINDOW} pixels, and an image has a side of {side}" if side < WINDOW else ""


def measure(images: TranslationSet) -> Figures:
    """Of both directions, beside a constant color and another image's truth."""
    return paired(images, "SSIM", ssim)


METRIC = Metric(measure, applies, better="higher", folders=True)
