"""A picture made of images in rows."""

from typing import NamedTuple

from torch import Tensor


class Grid(NamedTuple):
    """Rows of images: uint8 (N, C, H, W), `columns` of them in each row."""

    images: Tensor
    columns: int
