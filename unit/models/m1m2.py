"""M1+M2: M2 of the codes of M1 (Kingma et al. 2014, section 3.1). p(z₁|y, z₂) is a Gaussian of learned mean and
variance."""

from dataclasses import dataclass, field

from torch import Tensor

from unit.config.base import MAX_WIDTH, within
from unit.core.likelihood import DiagonalGaussian
from unit.models.autoencoder import ImageShape, NetsConfig, autoencoder, check_widths
from unit.models.base import Model
from unit.models.m2 import M2Network
from unit.networks.codes import Activation, one_hot


@dataclass(frozen=True)
class M1M2NetsConfig(NetsConfig):
    """M1's VAE, and M2 of its codes."""

    latent: int = 50
    m2_latent: int = 50
    """dimensions of M2's code"""
    m2_hidden: tuple[int, ...] = (500,)
    """widths of M2's hidden layers"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("model.m2_latent", self.m2_latent, 1, MAX_WIDTH)
        check_widths("model.m2_hidden", self.m2_hidden)


@dataclass(frozen=True)
class M1M2ModelConfig:
    """What an M1+M2 is built from."""

    images: ImageShape = field(default_factory=ImageShape)
    model: M1M2NetsConfig = field(default_factory=M1M2NetsConfig)


class M1M2Model(Model, name="m1m2"):
    """M1's VAE with codes z₁ (B, latent), and M2 of them with codes z₂ (B, m2_latent); images are float
    (B, C, size, size) in [-1, 1]."""

    Config = M1M2ModelConfig

    def __init__(self, config: M1M2ModelConfig) -> None:
        super().__init__()
        model, images = config.model, config.images
        self.config, self.images, self.latent = config, images, model.m2_latent
        self.vae = autoencoder(model, images)
        relu: list[Activation] = ["relu"] * len(model.m2_hidden)
        self.m2 = M2Network(
            model.latent,
            classes=images.classes,
            latent=model.m2_latent,
            hidden=model.m2_hidden,
            activations=tuple(relu),
            likelihood=DiagonalGaussian(),
            outputs=2 * model.latent,
        )

    def classify(self, x: Tensor) -> Tensor:
        """Logits of q(y|z₁) at the mean of q(z₁|x): (B, K)."""
        logits: Tensor = self.m2.classifier(self.vae.code(x))
        return logits

    def code(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean of q(z₂|z₁, y) at the mean of q(z₁|x): (B, m2_latent)."""
        return self.m2.code(self.vae.code(x), one_hot(y, self.images.classes)).mu

    def image(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean image of the mean of p(z₁|y, z₂)."""
        return self.vae.image(self.m2.likelihood.mean(self.m2.decoder(z, one_hot(y, self.images.classes))))
