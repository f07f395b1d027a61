"""VAE: the evidence lower bound (Kingma & Welling, Auto-Encoding Variational Bayes, 2014, equation 3).

With `model.noise` the encoder sees noisy images and the decoder is to give the clean ones (a denoising VAE).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from unit.core.regularizer import KL
from unit.data.batches import Batches
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import AutoencoderMethod, AutoencoderMethodConfig, CodeDraws, read_shape
from unit.methods.base import Phase, detached
from unit.models.autoencoder import ImageAutoencoder, autoencoder


@dataclass(frozen=True)
class VAEConfig(AutoencoderMethodConfig):
    """A variational autoencoder (Kingma & Welling 2014)."""

    method: ClassVar[str] = "vae"


class BoundMethod(AutoencoderMethod):
    """Trains −ELBO = E −log p(x|z) + β·KL(q(z|x) ‖ p(z)), in nats, averaged over the images."""

    regularizer = KL(1.0)

    def bound(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch) -> Phase:
        """One step of encoder and decoder."""
        q = self.encode(wrapped, batch)
        output = self.decode(wrapped, q.sample(self.latent_noise(batch)), batch)
        terms = {"reconstruction": self.reconstruction(output, batch)}
        terms |= self.regularizer.terms({"": q}, CodeDraws(batch, self.autoencoder.prior))
        return Phase("autoencoder", terms["reconstruction"] + self.regularizer.weight * terms["kl"], detached(terms))


class VAE(BoundMethod):
    """The bound, and nothing else."""

    Config = VAEConfig

    def __init__(self, config: VAEConfig, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        model = self.build(config, batches)
        self.use(model, model)

    def build(self, config: Any, batches: Batches[Any, ImageBatch]) -> ImageAutoencoder:
        """A Gaussian posterior of learned variance, and the prior N(0, I)."""
        return autoencoder(config.model, read_shape(batches))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        yield self.bound(wrapped, batch)
