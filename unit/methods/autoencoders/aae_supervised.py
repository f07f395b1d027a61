"""Supervised AAE: the decoder gets the label, so that the code is left with the style.

Makhzani et al. 2016, section 4.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from unit.config.base import above_0
from unit.data.batches import Batches
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.aae import AAE
from unit.methods.autoencoders.base import AdversarialConfig, AutoencoderMethodConfig, read_shape
from unit.models.autoencoder import ImageAutoencoder, TrainedNetsConfig, autoencoder, require_mlp


@dataclass(frozen=True)
class SupervisedAAEModelConfig(AdversarialConfig, TrainedNetsConfig):
    """An AAE's networks; the decoder gets the label."""

    latent: int = 15
    prior_sd: float = 5.0
    """standard deviation of the normal prior"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_mlp(self)
        above_0("model.prior_sd", self.prior_sd)


@dataclass(frozen=True)
class SupervisedAAEConfig(AutoencoderMethodConfig):
    """A supervised AAE: the decoder gets the label, so that the code holds the style alone (section 4)."""

    method: ClassVar[str] = "aae_supervised"
    model: SupervisedAAEModelConfig = field(default_factory=SupervisedAAEModelConfig)


class SupervisedAAE(AAE):
    """An AAE with the one-hot label concatenated to the decoder's input."""

    Config = SupervisedAAEConfig
    labels_needed = True

    def build(self, config: Any, batches: Batches[Any, ImageBatch]) -> ImageAutoencoder:
        """The autoencoder; its encoder gives a point."""
        return autoencoder(
            config.model,
            read_shape(batches),
            posterior="deterministic",
            prior_sd=config.model.prior_sd,
            labels="decoder",
            regularizer="adversarial",
        )
