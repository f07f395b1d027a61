"""VAE: the evidence lower bound (Kingma & Welling, Auto-Encoding Variational Bayes, 2014, equation 3).

With `model.noise` or `model.salt_pepper` the encoder sees noisy images and the decoder is to give the clean ones (a
denoising VAE). With `model.beta` other than 1 the bound is that of β-VAE (Higgins et al. 2017).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import nn

from unit.config.base import above_0, at_least
from unit.core.regularizer import KL, kl
from unit.data.batches import Batches
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import AutoencoderMethod, AutoencoderMethodConfig, read_shape
from unit.methods.base import Phase, detached
from unit.models.autoencoder import ImageAutoencoder, TrainedNetsConfig, autoencoder, check_prior


@dataclass(frozen=True)
class VAEModelConfig(TrainedNetsConfig):
    """A VAE's networks, posterior and prior, and the weight of its KL divergence."""

    posterior: Literal["gaussian", "softplus"] = "gaussian"
    """how the encoder gives σ: by log σ², or as softplus + 10⁻⁶"""
    prior: Literal["normal", "mixture"] = "normal"
    """p(z): N(0, sd²·I), whose KL divergence is in closed form; or a flower of ten Gaussians in the plane, whose is of
    one sample"""
    prior_sd: float = 1.0
    """standard deviation of the normal prior"""
    beta: float = 1.0
    """β, weight of the KL divergence: below 1, codes keep more of the image; above, they are nearer to the prior"""
    kl_warmup: int = 0
    """steps over which the KL divergence's weight rises to β"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.prior_sd", self.prior_sd)
        check_prior(self.prior, self.latent)
        above_0("model.beta", self.beta)
        at_least("model.kl_warmup", self.kl_warmup, 0)


@dataclass(frozen=True)
class VAEConfig(AutoencoderMethodConfig):
    """A variational autoencoder (Kingma & Welling 2014)."""

    method: ClassVar[str] = "vae"
    model: VAEModelConfig = field(default_factory=VAEModelConfig)


def prior_of(model: VAEModelConfig) -> dict[str, Any]:
    """What of the posterior and the prior is kept in the model."""
    return {"posterior": model.posterior, "prior": model.prior, "prior_sd": model.prior_sd}


class BoundMethod(AutoencoderMethod):
    """Trains −ELBO = E −log p(x|z) + β·KL(q(z|x) ‖ p(z)), in nats, averaged over the images."""

    regularizer = KL(1.0)

    def bound(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch) -> Phase:
        """One step of encoder and decoder."""
        q = self.encode(wrapped, batch)
        z = q.sample(self.latent_noise(batch))
        terms = {"reconstruction": self.reconstruction(self.decode(wrapped, z, batch), batch)}
        terms["kl"] = kl(q, z, self.autoencoder.prior).mean()
        weight = self.regularizer.weight_at(batch.step)
        return Phase("autoencoder", terms["reconstruction"] + weight * terms["kl"], detached(terms))


class VAE(BoundMethod):
    """The bound, and nothing else."""

    Config = VAEConfig

    def __init__(self, config: VAEConfig, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        model, settings = self.build(config, batches), config.model
        self.use(model, model)
        self.regularizer = KL(settings.beta, warmup=settings.kl_warmup)

    def build(self, config: Any, batches: Batches[Any, ImageBatch]) -> ImageAutoencoder:
        """A Gaussian posterior of learned variance, and the config's prior."""
        return autoencoder(config.model, read_shape(batches), **prior_of(config.model))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        yield self.bound(wrapped, batch)
