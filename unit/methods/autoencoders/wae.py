"""WAE: reconstruction and a penalty on the distribution of all codes.

Tolstikhin et al., Wasserstein Auto-Encoders, 2018. WAE-MMD (algorithm 2) takes the maximum mean discrepancy for the
penalty, WAE-GAN (algorithm 1) a discriminator of codes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from unit.config.base import above_0, at_least
from unit.core.regularizer import Adversarial, GroupMMD, Regularizer
from unit.data.batches import Batches, Shard
from unit.data.labeled import ImageBatch
from unit.methods.autoencoders.base import (
    AdversaryConfig,
    AutoencoderMethod,
    AutoencoderMethodConfig,
    CodeDraws,
    code_discriminator_phase,
    read_shape,
)
from unit.methods.base import OptimizerGroup, Phase, check_groups, detached, sum_terms
from unit.models.autoencoder import TrainedNetsConfig, autoencoder
from unit.networks.codes import initialize, vector_discriminators


@dataclass(frozen=True)
class WAEModelConfig(AdversaryConfig, TrainedNetsConfig):
    """A WAE's networks and penalty."""

    scale: float = 10.0
    regularizer: Literal["mmd", "adversarial"] = "mmd"
    """the penalty D_z: the maximum mean discrepancy, or a discriminator of codes"""
    weight: float = 10.0
    """λ, the penalty's weight"""
    prior_sd: float = 1.0
    """standard deviation of the normal prior"""
    group: int = 100
    """the discrepancy is taken over groups of this many images; a process's micro-batch must hold whole groups"""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_0("model.weight", self.weight)
        at_least("model.group", self.group, 2)
        above_0("model.prior_sd", self.prior_sd)


@dataclass(frozen=True)
class WAEConfig(AutoencoderMethodConfig):
    """A Wasserstein autoencoder (Tolstikhin et al. 2018)."""

    method: ClassVar[str] = "wae"
    model: WAEModelConfig = field(default_factory=WAEModelConfig)


class WAE(AutoencoderMethod):
    """−log p(x|z) + λ·D_z, averaged over the images; with a Gaussian likelihood of σ² = 10 that is
    0.05·‖x − x̂‖² + λ·D_z, but for a constant."""

    Config = WAEConfig

    def __init__(self, config: WAEConfig, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        settings = config.model
        model = autoencoder(
            settings,
            read_shape(batches),
            posterior="deterministic",
            prior_sd=settings.prior_sd,
            regularizer=settings.regularizer,
        )
        self.use(model, model)
        self.regularizer: Regularizer = GroupMMD(settings.weight, group=settings.group, sd=settings.prior_sd)
        if settings.regularizer == "adversarial":
            discriminator = vector_discriminators([settings.latent], hidden=settings.discriminator)
            self.regularizer = Adversarial(discriminator, settings.weight)
            initialize(discriminator, settings.init)
            self.networks["discriminator"] = discriminator

    @classmethod
    def check(cls, config: WAEConfig, shard: Shard) -> None:
        super().check(config, shard)
        if config.model.regularizer == "mmd":
            check_groups(shard, config.model.group)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        groups = super().optimizers
        if "discriminator" in self.networks:
            groups["discriminator"] = OptimizerGroup(("discriminator",), self.config.model.discriminator_lr)
        return groups

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """WAE-GAN: the discriminator of codes; then both: encoder and decoder."""
        draws, regularizer = CodeDraws(batch, self.autoencoder.prior), self.regularizer
        with torch.set_grad_enabled(not recompute or regularizer.discriminator is None):
            q = self.encode(wrapped, batch)
        if isinstance(regularizer, Adversarial):
            regularizer.discriminator.requires_grad_(True)
            real = draws.prior("", tuple(q.mu.shape[1:]))
            yield code_discriminator_phase(regularizer, wrapped["discriminator"], [real], [q.mu])
            if recompute:
                q = self.encode(wrapped, batch)
            regularizer.discriminator.requires_grad_(False)
        terms = {"reconstruction": self.reconstruction(self.decode(wrapped, q.mu, batch), batch)}
        penalties = regularizer.terms({"": q}, draws)
        loss = terms["reconstruction"] + regularizer.weight * sum_terms(penalties)
        yield Phase("autoencoder", loss, detached(terms | penalties))
