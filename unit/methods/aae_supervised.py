"""Supervised AAE: the decoder is told the label, so that the code is left with the style.

Makhzani et al. 2016, section 4.
"""

from unit.config.autoencoders import SupervisedAAEConfig, SupervisedAAEModelConfig
from unit.core.prior import Normal
from unit.methods.aae import AAE
from unit.methods.autoencoder import DigitModel


def supervised_aae_model(model: SupervisedAAEModelConfig, size: int) -> DigitModel:
    prior = Normal(model.latent, model.prior_sd)
    return DigitModel(model, size=size, prior=prior, posterior="deterministic", labels_in="decoder")


class SupervisedAAE(AAE):
    """An AAE with the one-hot label concatenated to the decoder's input."""

    def __init__(self, config: SupervisedAAEConfig) -> None:
        super().__init__(config, supervised_aae_model(config.model, config.data.size))
