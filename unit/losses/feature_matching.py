"""Feature matching: generated images should have the mean features of real ones (Salimans et al. 2016; DiscoGAN)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor], *, group: int) -> Tensor:
    """Σ over layers of (mean of real − mean of fake)²: features (B, C, H, W) a layer → a scalar.

    Each mean is over `group` images, of which B is a multiple, and the square is averaged over channels, places and
    groups. Real features get no gradient.
    """
    layers = []
    for r, f in zip(real, fake, strict=True):
        wide = torch.promote_types(f.dtype, torch.float32)  # under autocast features are of 16 bits
        difference = r.detach().to(wide) - f.to(wide)
        layers.append(difference.reshape(-1, group, *f.shape[1:]).mean(1).square().mean())
    return torch.stack(layers).sum()
