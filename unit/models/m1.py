"""M1: a VAE and a classifier of its codes (Kingma et al. 2014, section 3.1.1)."""

from dataclasses import dataclass, field

from torch import Tensor

from unit.models.autoencoder import ImageShape, NetsConfig, autoencoder, check_widths
from unit.models.base import Model
from unit.networks.codes import Activation, mlp


@dataclass(frozen=True)
class M1ModelConfig(NetsConfig):
    """A VAE, and a classifier of its codes."""

    latent: int = 50
    classifier: tuple[int, ...] = (100,)
    """widths of the classifier's hidden layers"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.classifier", self.classifier)


@dataclass(frozen=True)
class M1Config:
    """What an M1 is built from."""

    images: ImageShape = field(default_factory=ImageShape)
    model: M1ModelConfig = field(default_factory=M1ModelConfig)


class M1Model(Model, name="m1"):
    """A VAE and a classifier of its codes; images are float (B, C, size, size) in [-1, 1]."""

    Config = M1Config

    def __init__(self, config: M1Config) -> None:
        super().__init__()
        self.config, self.images = config, config.images
        self.vae = autoencoder(config.model, config.images)
        relu: list[Activation] = ["relu"] * len(config.model.classifier)
        self.classifier = mlp(config.model.latent, config.model.classifier, config.images.classes, relu)

    def classify(self, x: Tensor) -> Tensor:
        """Logits at the mean of q(z|x): (B, classes)."""
        logits: Tensor = self.classifier(self.vae.code(x))
        return logits
