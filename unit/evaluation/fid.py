"""FID: the Fréchet distance of two sets of images, taken for normal distributions of Inception's features.

Heusel et al. 2017: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). Of few images it comes out too large, the more so the fewer
there are, so that only figures of equally many can be compared; KID has no such bias.
"""

import torch
from torch import Tensor

from unit import draws
from unit.evaluation.features import compared, unavailable, with_untranslated
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator

RESAMPLES = 30
FULL_RANK = 2048
"""Below as many images the covariance of Inception's features lacks ranks."""


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    for folder in ("testA", "testB"):
        count = len(images.paths(folder))
        if count < 2:
            return f"a covariance needs at least 2 images, and {images.folder(folder)} has {count}"
    return unavailable("inception")


def measure(images: TranslationSet) -> Figures:
    """FID of the translations and the target's test images, and of the source's images as they were."""
    rows, counts, intervals, fewest = {}, {}, {}, FULL_RANK
    for direction in images.model.directions:
        translated, source, target = compared(images, "inception", direction)
        for row, these in with_untranslated(direction, translated, source).items():
            value = frechet(these, target)
            spread = 1.96 * resampled_sd(these, target, seed=images.seed)
            rows[row], counts[row] = {"FID": value}, len(these)
            intervals[row] = {"FID": (value - spread, value + spread)}
            fewest = min(fewest, len(these), len(target))
    notes = [f"of {fewest} images: too large, and comparable with figures of as many alone"]
    return Figures(
        rows, title="FID", notes=notes if fewest < FULL_RANK else [], decimals=2, counts=counts, intervals=intervals
    )


def frechet(x: Tensor, y: Tensor) -> float:
    """The Fréchet distance of features x (N, d) and y (M, d), in float64.

    With the centered features A = (x − μ₁)/√(N − 1) and B likewise, Σ₁ = AᵀA, and tr (Σ₁Σ₂)^½ is the sum of the
    singular values of ABᵀ. That is exact, and of fewer images than features far quicker than the eigenvalues of d × d
    matrices.
    """
    (mean_x, a), (mean_y, b) = factor(x), factor(y)
    root = torch.linalg.svdvals(a @ b.T).sum()
    return float((mean_x - mean_y).square().sum() + a.square().sum() + b.square().sum() - 2 * root)


def factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (d,) of features (N, d), and a matrix A (min(N, d), d) with AᵀA their covariance."""
    x = x.double()
    mean = x.mean(0)
    a = (x - mean) / (len(x) - 1) ** 0.5
    return mean, torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a


def resampled_sd(x: Tensor, y: Tensor, *, seed: int) -> float:
    """The standard deviation of the distance with the images of both sides drawn with replacement. Not percentiles:
    images that are drawn twice make the distance larger, so that all of them would lie above the figure."""
    generator = draws.generator(seed, "fid")

    def again(f: Tensor) -> Tensor:
        return f[torch.randint(len(f), (len(f),), generator=generator)]

    return float(torch.tensor([frechet(again(x), again(y)) for _ in range(RESAMPLES)]).std())


METRIC = Metric(measure, applies, better="lower", by_name=True, folders=True)
