"""Clustering AAE: a semi-supervised AAE without labels, whose categories become clusters (Makhzani et al. 2016,
section 6); with `model.heads`, dimensionality reduction (section 7)."""

from dataclasses import dataclass, field
from typing import ClassVar

from unit.config.base import Config
from unit.config.data import ImagesConfig
from unit.methods.autoencoders.aae_semi import CategoricalAAEConfig, SemiAAE


@dataclass(frozen=True)
class ClusterAAEConfig(Config):
    """A clustering AAE: categories are found without labels (section 6); with heads, in few dimensions (section 7)."""

    method: ClassVar[str] = "aae_cluster"
    data: ImagesConfig = field(default_factory=ImagesConfig)
    model: CategoricalAAEConfig = field(default_factory=lambda: CategoricalAAEConfig(categories=16))


class ClusterAAE(SemiAAE):
    """Reconstruction, discriminators, encoder; no classifier."""

    Config = ClusterAAEConfig
    supervised = False
    labels_needed = False
