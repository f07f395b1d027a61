"""PatchNCE: a place of a translation should be told by its features from the other places of its source (Park et al.
2020, arXiv 2007.15651, equations 2 to 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def places(features: Tensor, order: Tensor) -> Tensor:
    """The features at these places: (B, C, H, W), int64 (n,) of H·W → (B, n, C)."""
    return features.flatten(2)[:, :, order].transpose(1, 2)


def patch_contrast(query: Tensor, key: Tensor, *, temperature: float = 0.07) -> Tensor:
    """−log exp(qᵢ·kᵢ/τ) / Σⱼ exp(qᵢ·kⱼ/τ), averaged over places and images: a scalar.

    Args:
        query: of the translation, unit vectors (B, n, c).
        key: of the source at the same places, which gets no gradient: (B, n, c). The other places of the same image
            are the negatives.
        temperature: τ.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):  # τ multiplies the rounding of 16 bits, too
        logits = query.to(wide) @ key.detach().to(wide).transpose(1, 2) / temperature
    positive = torch.arange(query.shape[1], device=query.device).expand(len(query), -1)
    return F.cross_entropy(logits.flatten(0, 1), positive.flatten())
