"""Adversarial losses: each kind by hand, against torch's own, and what it is a mean of."""

import math

import pytest
import torch
import torch.nn.functional as F
from architectures import images

from unit.losses.gan import GanKind, discriminator_loss, gan_fake, gan_generator, gan_real, generator_loss

KINDS: list[GanKind] = ["bce", "lsgan", "hinge"]
LOGIT = math.log(3)  # σ = 3/4
BY_HAND: dict[GanKind, tuple[float, float, float]] = {
    "bce": (-math.log(3 / 4), -math.log(1 / 4), -math.log(3 / 4)),
    "lsgan": ((LOGIT - 1) ** 2, LOGIT**2, (LOGIT - 1) ** 2),
    "hinge": (0.0, 1 + LOGIT, -LOGIT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_losses_by_hand(kind: GanKind) -> None:
    logits = torch.full((2, 1, 3, 3), LOGIT, dtype=torch.float64)
    real, fake, generator = BY_HAND[kind]
    assert gan_real(logits, kind).item() == pytest.approx(real, abs=1e-12)
    assert gan_fake(logits, kind).item() == pytest.approx(fake, abs=1e-12)
    assert gan_generator(logits, kind).item() == pytest.approx(generator, abs=1e-12)


def test_hinge_stops_at_the_margin_for_the_discriminator_but_not_for_the_generator() -> None:
    sure = torch.tensor([[[[2.0, -3.0]]]])
    assert gan_real(sure, "hinge") == (0 + 4) / 2
    assert gan_fake(sure, "hinge") == (3 + 0) / 2
    assert gan_generator(sure, "hinge") == -(2 - 3) / 2


def test_bce_is_torchs_own_and_does_not_overflow() -> None:
    logits = torch.tensor([-2000.0, -1.0, 0.0, 3.0, 2000.0], dtype=torch.float64, requires_grad=True)
    for loss, target in ((gan_real, 1.0), (gan_fake, 0.0), (gan_generator, 1.0)):
        expected = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
        torch.testing.assert_close(loss(logits, "bce"), expected, rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad(loss(logits, "bce"), logits)
        assert gradient.isfinite().all()


def test_the_generators_bce_is_the_non_saturating_one() -> None:
    # Where the discriminator is sure, −log D pulls with the full strength of 1 per patch, log(1 − D) not at all.
    logits = torch.tensor([-30.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(gan_generator(logits, "bce"), logits)
    assert gradient.item() == pytest.approx(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_losses_are_means_over_patches_and_sums_over_scales(kind: GanKind) -> None:
    real = [images(2, 1, 16, 16, seed=1), images(2, 1, 4, 4, seed=2)]
    fake = [images(2, 1, 16, 16, seed=3), images(2, 1, 4, 4, seed=4)]
    expected = sum(gan_real(r, kind) + gan_fake(f, kind) for r, f in zip(real, fake, strict=True))
    torch.testing.assert_close(discriminator_loss(real, fake, kind), expected)
    torch.testing.assert_close(generator_loss(fake, kind), gan_generator(fake[0], kind) + gan_generator(fake[1], kind))
    twice = [torch.cat([f, f]) for f in fake]
    torch.testing.assert_close(generator_loss(twice, kind), generator_loss(fake, kind))
