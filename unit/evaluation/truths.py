"""Translations beside their truths: the images of the same names in the other domain's test folder.

Two answers that look at no image stand beside a model's: one constant color, and another image's truth.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unit.evaluation.bootstrap import mean_interval
from unit.evaluation.extra import missing
from unit.evaluation.metric import Figures
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.models.base import Direction


def answers(
    images: TranslationSet,
    direction: Direction,
    *,
    constant: tuple[int, ...] | None = None,
    other: str = "another image",
) -> dict[str, Iterable[Tensor]]:
    """What is scored against the truths, uint8 (C, H, W) each and in their order, by name: the model's translations,
    one color (by default the truths' mean), and another image's truth, called `other`, which needs two images."""
    truths = images.target(direction)
    color = mean_color(truths) if constant is None else torch.tensor(constant, dtype=torch.uint8)
    found: dict[str, Iterable[Tensor]] = {
        "model": images.translated(direction),
        "constant color": (color.view(-1, 1, 1).expand_as(truth) for truth in truths),
    }
    return found | ({other: other_truths(truths, seed=images.seed)} if len(truths) > 1 else {})


def unpaired(images: EvaluationSet) -> str:
    """Why a metric of torchmetrics that compares translations with truths has no figures of this set, or nothing."""
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    return images.unpaired_because or missing("torchmetrics")


def paired(
    images: TranslationSet, column: str, score: Callable[[Tensor, Tensor], Tensor], *, decimals: int = 3
) -> Figures:
    """The score of translations and truths, averaged over the images, of each direction and of what stands beside it.

    `score` is of uint8 images (B, C, H, W), answer and truth: (B,).
    """
    rows: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = {}
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    by_image: dict[str, dict[str, dict[str, float]]] = {}
    for direction in images.model.directions:
        truths, names = images.target(direction), images.names(f"test{direction[0].upper()}")
        for name, answer in answers(images, direction).items():
            row = direction if name == "model" else f"{direction}, {name}"
            if name == "model" or f"{column} {row}" not in images.kept:
                pairs = zip(answer, truths, strict=True)
                images.kept[f"{column} {row}"] = torch.cat([score(x[None], y[None]) for x, y in pairs]).double()
            values: Tensor = images.kept[f"{column} {row}"]
            rows[row], counts[row] = {column: float(values.mean())}, len(values)
            if len(values) > 1 and values.isfinite().all():
                intervals[row] = {column: mean_interval(values[:, None], seed=images.seed)[0]}
            if name == "model":
                by_image[direction] = {each: {column: v} for each, v in zip(names, values.tolist(), strict=True)}
    return Figures(rows, title=column, decimals=decimals, counts=counts, intervals=intervals, images=by_image)


def mean_color(images: Sequence[Tensor]) -> Tensor:
    """The mean color of all pixels, each image counting alike: uint8 (C,)."""
    return torch.stack([image.double().mean((1, 2)) for image in images]).mean(0).round().to(torch.uint8)


def other_truths(truths: Sequence[Tensor], *, seed: int) -> Iterator[Tensor]:
    """For each image the truth of another one, scaled to its size where they differ in it."""
    for truth, other in zip(truths, derangement(len(truths), seed=seed).tolist(), strict=True):
        image, size = truths[other], truth.shape[1:]
        yield image if image.shape[1:] == size else F.interpolate(image[None], size=size, mode="nearest")[0]


def derangement(count: int, *, seed: int) -> Tensor:
    """A seeded permutation (count,) that leaves nothing in place: one random cycle through all.

    Raises ValueError if `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"another image's truth needs at least 2 images; there is {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other
