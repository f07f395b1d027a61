"""M1: a VAE of all images, and a classifier of its codes that learns on those with labels (Kingma et al. 2014, section
3.1.1). The two learn side by side; the classifier's loss does not reach the VAE."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from unit.data.batches import Batches
from unit.data.grid import Grid
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import SemiSupervisedConfig, read_shape, require_labels
from unit.methods.autoencoders.vae import BoundMethod
from unit.methods.base import OptimizerGroup, Phase
from unit.models import m1
from unit.models.base import Model


@dataclass(frozen=True)
class M1Config(SemiSupervisedConfig):
    """M1: a VAE's codes, and a classifier that learns on those with labels (Kingma et al. 2014)."""

    method: ClassVar[str] = "m1"
    model: m1.M1ModelConfig = field(default_factory=m1.M1ModelConfig)

    def __post_init__(self) -> None:
        require_labels(self.data)


class M1(BoundMethod):
    """The VAE's bound; then the cross-entropy of the labeled images' drawn codes."""

    Config = M1Config
    labels_needed = True

    def __init__(self, config: M1Config, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        self.network = m1.M1Model(m1.M1Config(read_shape(batches), config.model))
        self.use(self.network, self.network.vae)
        self.networks["classifier"] = self.network.classifier

    def samples(self, model: Model, batches: Batches[Any, ImageBatch], device: torch.device) -> Grid:
        """The VAE's."""
        assert isinstance(model, m1.M1Model)
        return super().samples(model.vae, batches, device)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        return super().optimizers | {"classifier": OptimizerGroup(("classifier",))}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of the VAE, one of the classifier."""
        yield self.bound(wrapped, batch)
        known = batch.labeled
        assert known is not None
        with torch.no_grad():
            z = self.network.vae.encode(known.intensities).sample(
                known.normals("labelled latent", self.config.model.latent)
            )
        loss = F.cross_entropy(wrapped["classifier"](z), known.y)
        yield Phase("classifier", loss, {"classification": loss.detach()})
