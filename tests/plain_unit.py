"""UNIT's whole step, written plainly: each network called on each image on its own, after the paper's formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.data.two_domains import TranslationBatch
from unit.losses.gan import GanKind
from unit.methods.unit import Unit
from unit.models.unit import Noise
from unit.networks.discriminator import PatchDiscriminator


def judged_plainly(scales: nn.ModuleList, x: Tensor) -> list[Tensor]:
    logits = []
    for network in scales:
        assert isinstance(network, PatchDiscriminator)
        logits.append(network.shared(network.private(x)))
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return logits


def judged_real(logits: Tensor, kind: GanKind) -> Tensor:
    match kind:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        case "lsgan":
            return F.mse_loss(logits, torch.ones_like(logits))
        case "hinge":
            return torch.clamp(1 - logits, min=0).mean()


def judged_fake(logits: Tensor, kind: GanKind) -> Tensor:
    match kind:
        case "bce":
            return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        case "lsgan":
            return F.mse_loss(logits, torch.zeros_like(logits))
        case "hinge":
            return torch.clamp(1 + logits, min=0).mean()


def plain_discriminators_loss(method: Unit, batch: TranslationBatch, noise: Noise) -> Tensor:
    loss, d = method.loss, method.discriminators
    e_a, e_b = method.translator.a.encoder, method.translator.b.encoder
    g_a, g_b = method.translator.a.decoder, method.translator.b.decoder
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        x_ba, x_ab = g_a(e_b(batch.x_b) + noise.b), g_b(e_a(batch.x_a) + noise.a)
    for network, x, fake in ((d.a, batch.x_a, x_ba), (d.b, batch.x_b, x_ab)):
        for logits in judged_plainly(network, x):
            total = total + loss.gan * judged_real(logits, loss.gan_kind)
        for logits in judged_plainly(network, fake):
            total = total + loss.gan * judged_fake(logits, loss.gan_kind)
    return total


def plain_translators_loss(method: Unit, batch: TranslationBatch, noise: Noise) -> Tensor:
    loss, d = method.loss, method.discriminators
    e_a, e_b = method.translator.a.encoder, method.translator.b.encoder
    g_a, g_b = method.translator.a.decoder, method.translator.b.decoder
    total = torch.zeros((), dtype=torch.float64)
    for e_x, g_x, e_y, g_y, d_y, x, eps_x, eps_xy in (
        (e_a, g_a, e_b, g_b, d.b, batch.x_a, noise.a, noise.ab),
        (e_b, g_b, e_a, g_a, d.a, batch.x_b, noise.b, noise.ba),
    ):
        mu = e_x(x)
        x_xy = g_y(mu + eps_x)  # the translation
        for logits in judged_plainly(d_y, x_xy):
            gan = -logits.mean() if loss.gan_kind == "hinge" else judged_real(logits, loss.gan_kind)
            total = total + loss.gan * gan
        # VAE: λ1 KL(q(z|x) ‖ p) − λ2 log p(x|z)
        total = total + loss.kl * (mu**2).mean() + loss.reconstruction * (g_x(mu + eps_x) - x).abs().mean()
        # CC: λ3 KL(q(z|x) ‖ p) + λ3 KL(q(z|x_xy) ‖ p) − λ4 log p(x|z)
        mu_xy = e_y(x_xy)
        total = total + loss.cycle_kl * (mu**2).mean() + loss.cycle_kl * (mu_xy**2).mean()
        total = total + loss.cycle * (g_x(mu_xy + eps_xy) - x).abs().mean()
        if method.perceptual is not None:
            total = total + loss.perceptual * method.perceptual(x, x_xy)
    return total
