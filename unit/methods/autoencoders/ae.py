"""A plain autoencoder: nothing pulls its codes towards a prior, so codes drawn from one need not be any image's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from unit.config.base import above_0
from unit.data.batches import Batches
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import AutoencoderMethod, AutoencoderMethodConfig, read_shape
from unit.methods.base import Phase
from unit.models.autoencoder import TrainedNetsConfig, autoencoder


@dataclass(frozen=True)
class AEModelConfig(TrainedNetsConfig):
    """An autoencoder's networks."""

    prior_sd: float = 1.0
    """standard deviation of the normal distribution that codes are drawn from, to be compared with; it is not trained
    towards"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.prior_sd", self.prior_sd)


@dataclass(frozen=True)
class AEConfig(AutoencoderMethodConfig):
    """A plain autoencoder, without a regularizer."""

    method: ClassVar[str] = "ae"
    model: AEModelConfig = field(default_factory=AEModelConfig)


class AE(AutoencoderMethod):
    """−log p(x|z) of the encoder's point z, in nats, averaged over the images."""

    Config = AEConfig

    def __init__(self, config: AEConfig, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        kind = {"posterior": "deterministic", "prior_sd": config.model.prior_sd, "regularizer": "none"}
        model = autoencoder(config.model, read_shape(batches), **kind)
        self.use(model, model)

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of encoder and decoder."""
        z = self.encode(wrapped, batch).sample(None)
        loss = self.reconstruction(self.decode(wrapped, z, batch), batch)
        yield Phase("autoencoder", loss, {"reconstruction": loss.detach()})
