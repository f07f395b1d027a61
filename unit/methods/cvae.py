"""CVAE: a VAE whose encoder and decoder are told the label, so that the code is left with the style.

Kingma, Rezende, Mohamed, Welling: Semi-supervised Learning with Deep Generative Models, 2014, equation 6.
"""

from unit.config.autoencoders import CVAEConfig, NetsConfig
from unit.core.prior import Normal
from unit.methods.autoencoder import DigitModel
from unit.methods.vae import VAE


def cvae_model(model: NetsConfig, size: int) -> DigitModel:
    """A VAE's network with the one-hot label concatenated to both inputs."""
    return DigitModel(model, size=size, prior=Normal(model.latent), posterior="gaussian", labels_in="both")


class CVAE(VAE):
    """−log p(x|y) ≤ E −log p(x|y, z) + KL(q(z|x, y) ‖ p(z)), in nats, averaged over the images."""

    def __init__(self, config: CVAEConfig) -> None:
        super().__init__(config, cvae_model(config.model, config.data.size))
