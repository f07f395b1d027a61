"""The sample grid of a training: one row an image, both ways.

Each row shows x_a, x_aa, x_ab, x_aba and then x_b, x_bb, x_ba, x_bab: the image, its reconstruction, its translation
and the translation brought back.
"""

from pathlib import Path

import torch
from torch import Tensor

from unit.data.images import to_uint8, write_grid
from unit.methods.unit import Translator


@torch.no_grad()
def write_samples(path: Path, translator: Translator, x_a: Tensor, x_b: Tensor) -> None:
    """Write the grid of these images, float (N, C, H, W) in [-1, 1], translated without latent noise."""
    out = translator(x_a, x_b)
    columns = [x_a, out.x_aa, out.x_ab, out.x_aba, x_b, out.x_bb, out.x_ba, out.x_bab]
    grid = torch.stack([column.float() for column in columns], dim=1).flatten(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_grid(path, to_uint8(grid), columns=len(columns))
