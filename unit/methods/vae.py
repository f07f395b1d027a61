"""VAE: the evidence lower bound (Kingma & Welling, Auto-Encoding Variational Bayes, 2014, equation 3).

With `model.noise` the encoder sees noisy images and the decoder is to give the clean ones (a denoising VAE).
"""

from collections.abc import Iterator, Mapping

from torch import nn

from unit.config.autoencoders import CVAEConfig, M1Config, M1M2Config, NetsConfig, VAEConfig
from unit.core.posterior import Gaussian
from unit.core.prior import Normal
from unit.data.digit_batches import DigitBatch
from unit.methods.autoencoder import AutoencoderMethod, DigitModel
from unit.methods.method import Phase, detached


def vae_model(model: NetsConfig, size: int) -> DigitModel:
    """A Gaussian posterior of learned variance, and the prior N(0, I)."""
    return DigitModel(model, size=size, prior=Normal(model.latent), posterior="gaussian")


class VAE(AutoencoderMethod):
    """−ELBO = E −log p(x|z) + β·KL(q(z|x) ‖ p(z)), in nats, averaged over the images, with β = 1 but in M1+M2."""

    beta = 1.0

    def __init__(self, config: VAEConfig | CVAEConfig | M1Config | M1M2Config, model: DigitModel | None = None) -> None:
        super().__init__(config, model or vae_model(config.model, config.data.size))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of encoder and decoder."""
        yield self.bound(wrapped, batch)

    def bound(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Phase:
        q = self.encode(wrapped, batch)
        assert isinstance(q, Gaussian)
        output = self.decode(wrapped, q.sample(self.latent_noise(batch)), batch)
        terms = {"reconstruction": self.reconstruction(output, batch), "kl": q.kl().mean()}
        return Phase("autoencoder", terms["reconstruction"] + self.beta * terms["kl"], detached(terms))
