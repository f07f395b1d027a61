"""CycleGAN: two generators, a discriminator for each domain, least-squares GANs and cycle consistency.

Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017
(arXiv 1703.10593). It is UNIT with other defaults: nothing is shared, codes have no noise and no regularizer, nothing
is reconstructed, and an image of the target domain is to be translated to itself. G_ab is UNIT's E_a and G_b, G_ba its
E_b and G_a. With λ = 10, L1 averaged over all elements:

    L = GAN(G_ab, D_b) + GAN(G_ba, D_a) + λ (|G_ba(G_ab(x_a)) − x_a| + |G_ab(G_ba(x_b)) − x_b|)
        + ½ λ (|G_ba(x_a) − x_a| + |G_ab(x_b) − x_b|)
"""

from dataclasses import dataclass, field
from typing import ClassVar

from unit.config.base import OptimConfig
from unit.methods.translation import DiscriminatorConfig, sibling_optim
from unit.methods.unit import LossConfig, Unit, UnitConfig
from unit.models.unit import UnitModelConfig


def generators() -> UnitModelConfig:
    """The paper's for images of 256×256, each of 11,378,179 parameters (6 blocks for 128×128: 7,837,699)."""
    return UnitModelConfig(
        blocks=9,
        generator_blocks=0,
        shared_blocks=0,
        regularizer="none",
        last_kernel=7,
        encoder_norm="instance",
        generator_norm="instance",
        slope=0.0,
        padding="reflect",
        down_padding="zeros",
        bias="always",
    )


def discriminators() -> DiscriminatorConfig:
    """The paper's of 70×70 patches, each of 2,764,737 parameters."""
    return DiscriminatorConfig(
        kind="patchgan", layers=3, kernel=4, slope=0.2, norm="instance", padding="zeros", weight=0.5, pool=50
    )


def losses() -> LossConfig:
    """The release's."""
    return LossConfig(gan_kind="lsgan", gan=1, kl=0, reconstruction=0, cycle_kl=0, cycle=10, identity=5)


@dataclass(frozen=True)
class CycleGANConfig(UnitConfig):
    """A training of CycleGAN."""

    method: ClassVar[str] = "cyclegan"
    optim: OptimConfig = field(default_factory=sibling_optim)
    model: UnitModelConfig = field(default_factory=generators)
    discriminator: DiscriminatorConfig = field(default_factory=discriminators)
    loss: LossConfig = field(default_factory=losses)


class CycleGAN(Unit):
    """The generators' step, then the discriminators' on images of the pool."""

    Config = CycleGANConfig
    generators_first = True
