"""Augmentation of a batch on the training device: mirror, enlarge, color jitter, and the cast to [-1, 1]; and for
digits an affine warp.

Every draw comes with the batch as uniform numbers u (B, 10), so that an image's augmentation is a function of its key
(draws.py) and not of the batch that it happens to be in. u[:, :2] placed the crop.
"""

import math

import kornia.enhance as enhance
import kornia.geometry.transform as transform
import torch
import torch.nn.functional as F
from torch import Tensor

from unit.data.images import to_float


def augment(x: Tensor, u: Tensor, *, flip: bool, zoom: float = 1.0, jitter: float = 0.0) -> Tensor:
    """uint8 (B, C, H, W) and its draws → float (B, C, H, W) in [-1, 1].

    `flip` mirrors half of the images; `zoom` > 1 enlarges each by a factor between 1 and `zoom`, log-uniformly, about
    a random point; `jitter` in [0, 1] changes brightness, contrast and saturation by up to that share and hue by up
    to a tenth of it of the color circle.
    """
    y = to_float(x)
    if flip:
        y = torch.where(u[:, 2, None, None, None] < 0.5, y.flip(-1), y)
    if zoom > 1:
        y = enlarge(y, torch.exp(u[:, 3] * math.log(zoom)), u[:, 4:6])
    if jitter > 0:
        y = color_jitter(y, 2 * u[:, 6:10] - 1, jitter)
    return y


def enlarge(x: Tensor, factor: Tensor, place: Tensor) -> Tensor:
    """Resample, bilinearly, the window of 1/factor of the sides that lies at `place` (0, 0: top left; 1, 1: bottom
    right): x (B, C, H, W), factor (B,) ≥ 1, place (B, 2) in [0, 1]."""
    scale = 1 / factor
    shift = (2 * place - 1) * (1 - scale)[:, None]
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = shift.flip(1)  # (top, left) to (x, y)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def warp(x: Tensor, strength: float, normals: Tensor) -> Tensor:
    """Turn, shear, stretch and shift at random about the middle; zeros come in from outside: x (B, C, H, W).

    The standard deviation of the angle (in radians) and of the horizontal shear is `strength`, that of the logs of both
    sides' factors half of it, and that of the shifts an eighth of it in sides; the draws are N(0, 1), (B, 6).
    """
    height, width = x.shape[2:]
    amount = strength * normals.to(x.dtype)
    sides = torch.tensor([width, height], dtype=x.dtype, device=x.device)
    matrix = transform.get_affine_matrix2d(
        translations=amount[:, :2] / 8 * sides,
        center=((sides - 1) / 2).expand(len(x), 2),
        scale=(amount[:, 2:4] / 2).exp(),
        angle=amount[:, 4].rad2deg(),
        sx=amount[:, 5],
    )
    warped: Tensor = transform.warp_affine(x, matrix[:, :2], (height, width), align_corners=True)
    return warped


def color_jitter(x: Tensor, amount: Tensor, strength: float) -> Tensor:
    """Brightness, contrast, saturation and hue changed by `strength` times `amount` (B, 4) in [-1, 1]; gray images
    have no saturation and hue to change."""
    brightness, contrast, saturation, hue = (strength * amount).unbind(1)
    y = enhance.adjust_brightness_accumulative((x + 1) / 2, 1 + brightness)
    y = enhance.adjust_contrast_with_mean_subtraction(y, 1 + contrast)
    if x.shape[1] == 3:
        y = enhance.adjust_saturation_with_gray_subtraction(y, 1 + saturation)
        y = enhance.adjust_hue(y, 0.1 * 2 * math.pi * hue)
    return 2 * y.clamp(0, 1) - 1
