"""Adversarial losses as pure functions of logits. Each is a mean and says over what."""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

GanKind = Literal["bce", "lsgan", "hinge"]


def gan_real(logits: Tensor, kind: GanKind) -> Tensor:
    """The discriminator's loss on logits of real images, averaged over images and patches: a scalar.

    `bce`: −log σ(l) (Goodfellow et al. 2014); `lsgan`: (l − 1)² (Mao et al. 2017); `hinge`: max(0, 1 − l)
    (Lim & Ye 2017).
    """
    match kind:
        case "bce":
            return F.softplus(-logits).mean()
        case "lsgan":
            return (logits - 1).square().mean()
        case "hinge":
            return F.relu(1 - logits).mean()


def gan_fake(logits: Tensor, kind: GanKind) -> Tensor:
    """The discriminator's loss on logits of generated images: −log(1 − σ(l)), l² or max(0, 1 + l), averaged over
    images and patches."""
    match kind:
        case "bce":
            return F.softplus(logits).mean()
        case "lsgan":
            return logits.square().mean()
        case "hinge":
            return F.relu(1 + logits).mean()


def gan_generator(logits: Tensor, kind: GanKind) -> Tensor:
    """The generator's loss on logits of its images, averaged over images and patches: what the discriminator pays
    where it takes them for real (non-saturating), and −l for the hinge."""
    return -logits.mean() if kind == "hinge" else gan_real(logits, kind)


def discriminator_loss(real: Iterable[Tensor], fake: Iterable[Tensor], kind: GanKind) -> Tensor:
    """Real and fake losses added, summed over the scales: (B, 1, h, w) logits a scale → a scalar."""
    scales = [gan_real(r, kind) + gan_fake(f, kind) for r, f in zip(real, fake, strict=True)]
    return torch.stack(scales).sum()


def generator_loss(fake: Iterable[Tensor], kind: GanKind) -> Tensor:
    """The generator's loss summed over the scales: (B, 1, h, w) logits a scale → a scalar."""
    return torch.stack([gan_generator(f, kind) for f in fake]).sum()
