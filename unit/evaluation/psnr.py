"""PSNR: how far translations are from their truths, in decibels: 10·log₁₀(255²/MSE), averaged over the images."""

from torch import Tensor

from unit.evaluation.extra import library
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import TranslationSet
from unit.evaluation.truths import paired, unpaired


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """That of uint8 images (B, C, H, W): (B,); infinite of equal ones."""
    ratio = library("torchmetrics.functional.image").peak_signal_noise_ratio
    found: Tensor = ratio(x.double(), y.double(), data_range=255.0, reduction="none", dim=(1, 2, 3))
    return found


def measure(images: TranslationSet) -> Figures:
    """Of both directions, beside a constant color and another image's truth."""
    return paired(images, "PSNR", psnr, decimals=2)


METRIC = Metric(measure, unpaired, better="higher", folders=True)
