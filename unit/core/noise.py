"""What the encoder of a denoising autoencoder sees: intensities in [0, 1], with noise that keeps them there."""

import math

import torch
from torch import Tensor


def noisy(x: Tensor, normals: Tensor, *, sd: float = 0.0, salt_pepper: float = 0.0) -> Tensor:
    """x with noise of the one kind or the other, made of `normals` ε ~ N(0, I) of x's shape.

    Gaussian noise is x + sd·ε, clipped to [0, 1]. Salt and pepper: a share `salt_pepper` of the pixels, those of the
    largest |ε|, are set to 1 where ε is above 0, else to 0; the others are kept.
    """
    assert not (sd and salt_pepper)
    if sd:
        return (x + sd * normals).clamp(0, 1)
    return torch.where(normals.abs() > tail(salt_pepper), (normals > 0).to(x.dtype), x) if salt_pepper else x


def tail(share: float) -> float:
    """What |ε| of N(0, 1) is above with that probability."""
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - share, dtype=torch.float64)))
