"""The maps score: how much of a translated map has the true map's colors.

A pixel is right if its color is within 16 of the ground truth (UNIT, section 4). The paper names no norm, so both are
given: the greatest difference over the channels, and the L2 norm. That score rewards painting everything in the color
of land, so it is never given alone. Beside it stands the *balanced* accuracy, the mean over the map's classes of the
share of the class's pixels that are right.

Images are uint8 (3, H, W). All of it is worked out of one tally an image, so that any number of images can be scored.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

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


def tally(output: Tensor, truth: Tensor, palette: Mapping[str, Color], *, tolerance: float = TOLERANCE) -> Tensor:
    """What one image adds to the score: float64 (2 + 2K,) for a palette of K classes.

    First the share of its pixels within `tolerance` of the truth by the greatest channel difference, then by the L2
    norm; then of each class how many pixels are right (by the greatest difference), then how many there are. A pixel of
    the truth belongs to a class if it is within `tolerance` of its color in the greatest difference; one between two
    colors may belong to both, and one of no class counts in the first two numbers alone.

    Args:
        output, truth: uint8 (3, H, W), both of one size.

    Raises:
        ValueError: for images of another kind, and of two shapes.
    """
    for name, image in (("output", output), ("truth", truth)):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"{name}: expected torch.uint8 (3, H, W), got {image.dtype} {tuple(image.shape)}")
    if output.shape != truth.shape:
        raise ValueError(f"output and truth: expected one shape, got {tuple(output.shape)} and {tuple(truth.shape)}")
    colors = torch.tensor(list(palette.values()), dtype=torch.uint8).view(-1, 3, 1, 1)
    members = close(truth.expand(len(palette), -1, -1, -1), colors, tolerance, "max")
    right = close(output, truth, tolerance, "max")
    shares = [right.double().mean(), close(output, truth, tolerance, "l2").double().mean()]
    return torch.cat([torch.stack(shares), (members & right).sum((1, 2)).double(), members.sum((1, 2)).double()])


def accuracies(tallies: Tensor) -> Tensor:
    """Sums or means of images' tallies, (R, 2 + 2K), as accuracies (R, 3): max, L2, balanced, each in [0, 1] of means.

    Shares are averaged image by image; the pixels of a class are pooled over the images. Classes without a pixel are
    left out of the balanced accuracy, which is NaN where no class has one.
    """
    right, pixels = tallies[:, 2:].chunk(2, dim=1)
    return torch.cat([tallies[:, :2], (right / pixels).nanmean(1, keepdim=True)], dim=1)


def close(x: Tensor, y: Tensor, tolerance: float = TOLERANCE, norm: Norm = "max") -> Tensor:
    """Where two images (..., 3, H, W) agree within the tolerance: bool (..., H, W)."""
    difference = x.to(torch.int32) - y.to(torch.int32)
    if norm == "max":
        return difference.abs().amax(-3) <= tolerance
    return difference.square().sum(-3) <= tolerance**2
