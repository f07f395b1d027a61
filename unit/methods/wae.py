"""WAE: reconstruction and a penalty on the distribution of all codes.

Tolstikhin et al., Wasserstein Auto-Encoders, 2018. WAE-MMD (algorithm 2) takes the maximum mean discrepancy for the
penalty, WAE-GAN (algorithm 1) a discriminator of codes.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from unit.config.autoencoders import WAEConfig, WAEModelConfig
from unit.core.prior import Normal
from unit.core.regularizer import mmd_in_groups
from unit.data.batches import Share
from unit.data.digit_batches import DigitBatch, DigitBatches
from unit.losses import fooling_loss
from unit.methods.autoencoder import AutoencoderMethod, DigitModel, judging, whole_groups
from unit.methods.method import Phase, Player, detached
from unit.networks.digits import CodeDiscriminators


def wae_model(model: WAEModelConfig, size: int) -> DigitModel:
    """A deterministic encoder, and the prior N(0, sd²·I)."""
    return DigitModel(model, size=size, prior=Normal(model.latent, model.prior_sd), posterior="deterministic")


class WAE(AutoencoderMethod):
    """−log p(x|z) + λ·D_z, averaged over the images; with a Gaussian likelihood of σ² = 10 that is
    0.05·‖x − x̂‖² + λ·D_z, but for a constant."""

    def __init__(self, config: WAEConfig) -> None:
        super().__init__(config, wae_model(config.model, config.data.size))
        self.settings = config.model
        self.judge = CodeDiscriminators([config.model.latent], hidden=config.model.judge)
        if config.model.regularizer == "adversarial":
            self.networks["judge"] = self.judge

    @property
    def players(self) -> dict[str, Player]:
        judge = {"judge": Player(("judge",), self.settings.judge_lr)} if "judge" in self.networks else {}
        return super().players | judge

    def open(self, share: Share) -> DigitBatches:
        if self.settings.regularizer == "mmd":
            whole_groups(share, self.settings.group)
        return super().open(share)

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """WAE-GAN: the discriminator of codes; then both: encoder and decoder."""
        real = batch.own(self.autoencoder.prior.sample(batch.size, batch.generator("prior")))
        with torch.set_grad_enabled(not recompute or "judge" not in self.networks):
            z = self.encode(wrapped, batch).sample(None)
        if self.settings.regularizer == "adversarial":
            self.judge.requires_grad_(True)
            yield judging(wrapped["judge"], [real], [z])
            if recompute:
                z = self.encode(wrapped, batch).sample(None)
            self.judge.requires_grad_(False)
            penalty = fooling_loss(self.judge(z), "bce")
        else:
            penalty = mmd_in_groups(z, real, self.settings.group, sd=self.settings.prior_sd)
        reconstruction = self.reconstruction(self.decode(wrapped, z, batch), batch)
        terms = {"reconstruction": reconstruction, "penalty": penalty}
        yield Phase("autoencoder", reconstruction + self.settings.weight * penalty, detached(terms))
