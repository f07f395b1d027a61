"""M1: a VAE of all images, and a classifier of its codes that learns on those with labels (Kingma et al. 2014, section
3.1.1). The two learn side by side; the classifier's loss does not reach the VAE."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.config.autoencoders import M1Config, M1ModelConfig
from unit.data.batches import Batches
from unit.data.digit_batches import CLASSES, DigitBatch
from unit.methods.method import Grid, Phase, Player
from unit.methods.vae import VAE, vae_model
from unit.networks.digits import Activation, mlp


class M1Model(nn.Module):
    """A VAE and a classifier of its codes."""

    def __init__(self, config: M1ModelConfig, *, size: int) -> None:
        super().__init__()
        self.vae = vae_model(config, size)
        relu: list[Activation] = ["relu"] * len(config.classifier)
        self.classifier = mlp(config.latent, config.classifier, CLASSES, relu)

    def classify(self, x: Tensor) -> Tensor:
        """Logits at the mean of q(z|x): (B, 10)."""
        logits: Tensor = self.classifier(self.vae.code(x))
        return logits


class M1(VAE):
    """The VAE's bound; then the cross-entropy of the labelled images' drawn codes."""

    def __init__(self, config: M1Config) -> None:
        self.network = M1Model(config.model, size=config.data.size)
        super().__init__(config, self.network.vae)
        self.model = self.network
        self.networks["classifier"] = self.network.classifier

    def samples(self, model: nn.Module, batches: Batches[Any, DigitBatch], device: torch.device) -> Grid:
        """The VAE's."""
        assert isinstance(model, M1Model)
        return super().samples(model.vae, batches, device)

    @property
    def players(self) -> dict[str, Player]:
        return super().players | {"classifier": Player(("classifier",))}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of the VAE, one of the classifier."""
        yield self.bound(wrapped, batch)
        known = batch.labelled
        assert known is not None
        with torch.no_grad():
            z = self.network.vae.encode(known.x).sample(known.normals("labelled latent", self.config.model.latent))
        loss = F.cross_entropy(wrapped["classifier"](z), known.y)
        yield Phase("classifier", loss, {"classification": loss.detach()})
