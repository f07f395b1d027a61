"""A picture of one's own hand-written digit, made to look like MNIST's: bright ink on black, scaled and placed.

MNIST's digits were scaled into boxes of 20 × 20 pixels, and their centers of mass moved to the center of 28 × 28 (LeCun
et al., Gradient-based learning applied to document recognition, 1998).
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unit.config.data import Channels
from unit.data.decoding import ImageError, decode_image

BOX = 20 / 28
"""The digit's longer side, as a share of the image's."""
INK = 0.25
"""What is less bright than this share of the brightest ink is ground."""
LEAST_CONTRAST = 16
"""The least difference of ink and ground, of 255."""


class OwnDigit(NamedTuple):
    """A digit, uint8 (1 or 3, size, size), and what was done with the picture, in a line."""

    pixels: Tensor
    done: str


def read_own_digit(path: str | Path, *, size: int, channels: Channels = 1) -> OwnDigit:
    """Read a picture of one digit, on paper or on a black ground.

    The ground is the median of the picture's edge; where it is white, the picture is inverted. What is less than a
    quarter as far from the ground as the farthest pixel is ground, too. The digit's box is cut out, scaled and moved as
    MNIST's are.

    Raises:
        ImageError: the file is no image, or there is no digit on it.
    """
    gray = decode_image(path, channels=1).pixels[0].float()
    edge = torch.cat([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    ground = float(edge.median())
    white = ground > 127
    ink = (ground - gray if white else gray - ground).clamp(min=0)
    brightest = float(ink.max())
    if brightest < LEAST_CONTRAST:
        raise ImageError(path, "no digit on it; expected dark ink on a white ground, or bright ink on a black one")
    ink = torch.where(ink < INK * brightest, 0, ink / brightest)
    box = cut_out(ink)
    height, width = box.shape
    digit = place(box, size)
    how = "inverted, since its ground is white" if white else "not inverted, since its ground is black"
    done = f"{Path(path).name}: gray, {how}; the digit's {width}×{height} pixels scaled and centered in {size}×{size}"
    return OwnDigit((255 * digit).round().to(torch.uint8).expand(channels, size, size), done)


def cut_out(ink: Tensor) -> Tensor:
    """The smallest box that holds all ink: (H, W) → (h, w)."""
    rows, columns = ((ink > 0).any(side).nonzero().flatten() for side in (1, 0))
    return ink[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def place(box: Tensor, size: int) -> Tensor:
    """The digit scaled so that its longer side is BOX of `size`, its center of mass as near to the image's center as
    whole pixels and the image's edges let it: (h, w) → (size, size) in [0, 1]."""
    longer = max(1, round(BOX * size))
    height, width = (max(1, round(side * longer / max(box.shape))) for side in box.shape)
    small = F.interpolate(box[None, None], size=(height, width), mode="bicubic", antialias=True)[0, 0].clamp(0, 1)
    small = small / small.max()
    digit = torch.zeros(size, size)
    corner = []
    for axis, side in enumerate((height, width)):
        mass = small.sum(1 - axis)
        center = float((mass * (torch.arange(side) + 0.5)).sum() / mass.sum())
        corner.append(min(max(round(size / 2 - center), 0), size - side))
    top, left = corner
    digit[top : top + height, left : left + width] = small
    return digit
