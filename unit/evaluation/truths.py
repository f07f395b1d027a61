"""Translations beside their truths: the images of the same names in the other domain's test folder.

Two answers that look at no image stand beside a model's: one constant color, and another image's truth.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unit.evaluation.sets import TranslationSet
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
