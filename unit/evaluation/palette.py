"""The maps score: how much of a translated map has the true map's colors.

A pixel is right if its color is within 16 of the ground truth (UNIT, section 4). The paper names
no norm, so both are given: the greatest difference over the channels, and the L2 norm. That score
rewards painting everything in the color of land, so it is never given alone. Beside it stand the
*balanced* accuracy, the mean over the map's classes of the share of the class's pixels that are
right, and what two answers that look at no photo would score: one constant color, and another
image's map.

Images are uint8 throughout: a tensor or array (N, 3, H, W), or an iterable of (3, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array: TypeAlias = npt.NDArray[np.uint8]
Images: TypeAlias = Tensor | Array | Iterable[Tensor] | Iterable[Array]
Color: TypeAlias = tuple[int, int, int]
Norm: TypeAlias = Literal["max", "l2"]

TOLERANCE = 16.0
MAPS_PALETTE: dict[str, Color] = {
    "land": (236, 228, 220),
    "water": (180, 212, 252),
    "road": (252, 252, 252),
    "park": (204, 220, 172),
    "highway": (252, 156, 36),
}
MAPS_CONSTANT: Color = (242, 239, 233)  # on the real val maps right for 92 % of land, 67 % of road


@dataclass(frozen=True)
class Balanced:
    """Balanced accuracy: `mean` of `recall` over the classes that the truth shows.

    `recall` and `share` give, by class, how many of its pixels are right and how many of all
    pixels it has; `absent` names the classes without a pixel, which are left out of the mean.
    """

    mean: float
    recall: Mapping[str, float]
    share: Mapping[str, float]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class Accuracies:
    """One answer's three scores, each in [0, 1]."""

    max: float
    l2: float
    balanced: Balanced


@dataclass(frozen=True)
class MapsScore:
    """The model's scores beside those of a constant color and of another image's map."""

    model: Accuracies
    constant: Accuracies
    other: Accuracies


def pixel_accuracy(output: Images, truth: Images, *, tolerance: float = TOLERANCE, norm: Norm = "max") -> float:
    """Share of pixels within `tolerance` of the truth, mean per image, then over images.

    |output - truth| <= tolerance, the norm taken over the channels: `max` or `l2`. In [0, 1].
    Raises ValueError if the images are not uint8 or the two differ in shape (UNIT, section 4).
    """
    if norm not in ("max", "l2"):
        raise ValueError(f"norm is {norm!r}; it is 'max' or 'l2'")
    outputs, truths = _pair(output, truth)
    shares = [close(o, t, tolerance, norm).double().mean() for o, t in zip(outputs, truths, strict=True)]
    return float(torch.stack(shares).mean())


def balanced_accuracy(
    output: Images,
    truth: Images,
    *,
    palette: Mapping[str, Color],
    tolerance: float = TOLERANCE,
) -> Balanced:
    """Mean over the palette's classes of the share of the class's pixels that are right.

    A pixel of the truth belongs to a class if it is within `tolerance` of its color in the
    greatest channel difference; one between two colors may belong to both. The pixels of all
    images are pooled. Raises ValueError as `pixel_accuracy` does, and if no class has a pixel.
    """
    outputs, truths = _pair(output, truth)
    colors = torch.tensor(list(palette.values()), dtype=torch.uint8).view(-1, 3, 1, 1)
    counts = torch.zeros(len(palette), dtype=torch.int64)
    hits = torch.zeros(len(palette), dtype=torch.int64)
    for o, t in zip(outputs, truths, strict=True):
        members = close(t.expand(len(palette), -1, -1, -1), colors, tolerance, "max")
        counts += members.sum((1, 2))
        hits += (members & close(o, t, tolerance, "max")).sum((1, 2))
    shown = {n: (h, c) for n, h, c in zip(palette, hits.tolist(), counts.tolist(), strict=True) if c}
    if not shown:
        raise ValueError(f"no pixel of the truth is within {tolerance} of a color in {palette}")
    recall = {name: hit / count for name, (hit, count) in shown.items()}
    pixels = truths.shape[0] * truths.shape[2] * truths.shape[3]
    return Balanced(
        mean=sum(recall.values()) / len(recall),
        recall=recall,
        share={name: count / pixels for name, (_, count) in shown.items()},
        absent=tuple(name for name in palette if name not in shown),
    )


def derangement(count: int, *, seed: int) -> Tensor:
    """A seeded permutation (count,) that leaves nothing in place: one random cycle through all.

    Raises ValueError if `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"another image's map needs at least 2 images; there is {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other


def maps_score(
    outputs: Images,
    truths: Images,
    *,
    palette: Mapping[str, Color] = MAPS_PALETTE,
    constant: Color = MAPS_CONSTANT,
    seed: int = 0,
) -> MapsScore:
    """Score translated maps beside a constant image of one color and the others' maps.

    `seed` chooses whose map stands in for whose. Raises ValueError as `balanced_accuracy` does,
    for fewer than 2 images, and for a constant outside 0 to 255.
    """
    if not all(0 <= channel <= 255 for channel in constant):
        raise ValueError(f"constant is {constant}; each channel is between 0 and 255")
    model, truth = _pair(outputs, truths)
    plain = torch.tensor(constant, dtype=torch.uint8).view(1, 3, 1, 1).expand_as(truth)
    others = truth[derangement(len(truth), seed=seed)]

    def score(answer: Tensor) -> Accuracies:
        return Accuracies(
            max=pixel_accuracy(answer, truth, norm="max"),
            l2=pixel_accuracy(answer, truth, norm="l2"),
            balanced=balanced_accuracy(answer, truth, palette=palette),
        )

    return MapsScore(model=score(model), constant=score(plain), other=score(others))


def close(x: Tensor, y: Tensor, tolerance: float = TOLERANCE, norm: Norm = "max") -> Tensor:
    """Where two images (..., 3, H, W) agree within the tolerance: bool (..., H, W)."""
    difference = x.to(torch.int32) - y.to(torch.int32)
    if norm == "max":
        return difference.abs().amax(-3) <= tolerance
    return difference.square().sum(-3) <= tolerance**2


def _stack(images: Images, name: str) -> Tensor:
    """Images as one uint8 tensor (N, 3, H, W) on the CPU, or a ValueError in one line."""
    stacked: Tensor
    if isinstance(images, Tensor | np.ndarray):
        stacked = torch.as_tensor(images)
    else:
        each: list[Any] = list(images)
        if len({tuple(image.shape) for image in each}) != 1:
            shapes = sorted({tuple(image.shape) for image in each})
            raise ValueError(f"{name} has images of shapes {shapes}; one shape is needed")
        stacked = torch.stack([torch.as_tensor(image) for image in each])
    if stacked.dtype != torch.uint8 or stacked.ndim != 4 or stacked.shape[1] != 3 or not len(stacked):
        given = f"{stacked.dtype} {tuple(stacked.shape)}"
        raise ValueError(f"{name} is {given}; it is torch.uint8 (N, 3, H, W) with N of at least 1")
    return stacked.cpu()


def _pair(output: Images, truth: Images) -> tuple[Tensor, Tensor]:
    outputs, truths = _stack(output, "output"), _stack(truth, "truth")
    if outputs.shape != truths.shape:
        shapes = f"{tuple(outputs.shape)} and {tuple(truths.shape)}"
        raise ValueError(f"output and truth are {shapes}; they are of one shape")
    return outputs, truths
