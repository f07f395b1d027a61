"""Clustering AAE: a semi-supervised AAE without labels, whose categories become clusters (Makhzani et al. 2016,
section 6); with `model.heads`, dimensionality reduction (section 7)."""

from unit.config.autoencoders import ClusterAAEConfig
from unit.methods.aae_semi import SemiAAE


class ClusterAAE(SemiAAE):
    """Reconstruction, discriminators, encoder; no classifier."""

    def __init__(self, config: ClusterAAEConfig) -> None:
        super().__init__(config)
