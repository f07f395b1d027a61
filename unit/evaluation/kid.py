"""KID: the squared distance of two sets of images in a network's features, without bias for their number.

Bińkowski, Sutherland, Arbel, Gretton 2018: the squared maximum mean discrepancy of the features, estimated without
bias, with the kernel k(x, y) = (xᵀy/d + 1)³ of d features, averaged over subsets of the images. 0 where both have one
distribution, and then also below 0 by chance. `kid` is of Inception's features, as in the papers; `kid_efficientnet` of
those of EfficientNet-lite0, whose weights are in a package. A figure of the one says nothing about one of the other.
"""

from functools import partial

import torch
from torch import Tensor

from unit import draws
from unit.evaluation.bootstrap import percentiles
from unit.evaluation.extra import library
from unit.evaluation.features import FEATURES, compared, unavailable, with_untranslated
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator

SUBSETS = 100


def applies(images: EvaluationSet, *, features: str) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    for folder in ("testA", "testB"):
        count = len(images.paths(folder))
        if count < images.subset:
            place = images.folder(folder)
            return f"KID's subsets are of {images.subset} images, and {place} has {count}; --subset takes fewer"
    return unavailable(features)


def measure(images: TranslationSet, *, features: str) -> Figures:
    """KID of the translations and the target's test images, and of the source's images as they were."""
    rows, counts, intervals = {}, {}, {}
    for direction in images.model.directions:
        translated, source, target = compared(images, features, direction)
        for row, these in with_untranslated(direction, translated, source).items():
            values = kid(these, target, subset=images.subset, seed=images.seed)
            rows[row] = {"KID": float(values.mean())}
            counts[row] = len(these)
            interval = subsampling(values, subset=images.subset, count=min(len(these), len(target)))
            intervals[row] = {"KID": interval} if interval else {}
    note = f"mean of {SUBSETS} subsets of {images.subset} images, with the features of {FEATURES[features].title}"
    return Figures(
        rows, title="KID" if features == "inception" else f"KID ({features})", notes=[note], decimals=5, counts=counts,
        intervals=intervals,
    )  # fmt: skip


def kid(x: Tensor, y: Tensor, *, subset: int, seed: int) -> Tensor:
    """KID of each of SUBSETS random subsets: (SUBSETS,), of features x (N, d) and y (M, d), with N, M ≥ subset."""
    mmd = library("torchmetrics.image.kid").poly_mmd
    values = []
    for number in range(SUBSETS):
        rows = [draws.permutation(len(f), seed, "kid", side, number)[:subset] for side, f in (("x", x), ("y", y))]
        values.append(mmd(x[rows[0]], y[rows[1]]))
    return torch.stack(values)


def subsampling(values: Tensor, *, subset: int, count: int) -> tuple[float, float] | None:
    """The 95 % interval of the mean over `count` images, from values of random subsets of them.

    The values of subsets of m of n images deviate from the figure √((n − m)/m) times as far as the figure of n images
    does from the truth (Politis, Romano, Wolf 1999, 2.2; sampling without replacement): the percentiles are drawn in by
    that factor. None where each subset is of all images. A plain bootstrap is no choice here: an image that is drawn
    twice is at no distance from itself, which biases KID upwards.
    """
    if count <= subset:
        return None
    mean = values.mean()
    scaled = mean + (values - mean) * (subset / (count - subset)) ** 0.5
    return percentiles(scaled[:, None])[0]


def metric_of(features: str, *, by_name: bool) -> Metric:
    """KID with these features, a name in FEATURES."""
    return Metric(
        partial(measure, features=features),
        partial(applies, features=features),
        better="lower",
        by_name=by_name,
        folders=True,
        about=f"KID: the squared distance of two sets of images in the features of {FEATURES[features].title}, without "
        "bias for their number.",
    )


EFFICIENTNET = metric_of("efficientnet", by_name=False)
INCEPTION = metric_of("inception", by_name=True)
