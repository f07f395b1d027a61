"""CVAE: a VAE whose encoder and decoder get the label, so that the code is left with the style.

Kingma, Rezende, Mohamed, Welling: Semi-supervised Learning with Deep Generative Models, 2014, equation 6.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from unit.data.batches import Batches
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import read_shape
from unit.methods.autoencoders.vae import VAE, VAEConfig, prior_of
from unit.models.autoencoder import ImageAutoencoder, autoencoder, require_mlp


@dataclass(frozen=True)
class CVAEConfig(VAEConfig):
    """A VAE whose encoder and decoder get the label."""

    method: ClassVar[str] = "cvae"

    def __post_init__(self) -> None:
        require_mlp(self.model)


class CVAE(VAE):
    """−log p(x|y) ≤ E −log p(x|y, z) + KL(q(z|x, y) ‖ p(z)), in nats, averaged over the images."""

    Config = CVAEConfig
    labels_needed = True

    def build(self, config: Any, batches: Batches[Any, ImageBatch]) -> ImageAutoencoder:
        """A VAE's network with the one-hot label concatenated to both inputs."""
        return autoencoder(config.model, read_shape(batches), **prior_of(config.model), labels="both")
