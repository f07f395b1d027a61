"""M1+M2: M2 of the codes of M1 (Kingma et al. 2014, section 3.1). p(z₁|y, z₂) is a Gaussian of learned mean and
variance.

The two learn side by side, and M2's loss does not reach M1. M2 may begin when M1's codes have settled, for it keeps
what it took for digits in early ones. M1's KL divergence may be weighted by β (Higgins et al. 2017): codes of the bound
itself are so near to N(0, I) that there is little left for M2 to find.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unit.config.autoencoders import M1M2Config, M1M2ModelConfig
from unit.core.likelihood import DiagonalGaussian
from unit.data.batches import Batches, Share
from unit.data.digit_batches import CLASSES, DigitBatch, DigitBatches
from unit.methods.m2 import Labelled, M2Network, conditional_samples, m2_phase
from unit.methods.method import Grid, Phase, Player
from unit.methods.vae import VAE, vae_model
from unit.networks.digits import Activation, one_hot


class M1M2Model(nn.Module):
    """M1's VAE with codes z₁ (B, latent), and M2 of them with codes z₂ (B, m2_latent); images (B, 1, size, size)."""

    def __init__(self, config: M1M2ModelConfig, *, size: int) -> None:
        super().__init__()
        self.config, self.latent = config, config.m2_latent
        self.vae = vae_model(config, size)
        relu: list[Activation] = ["relu"] * len(config.m2_hidden)
        self.m2 = M2Network(
            config.latent,
            latent=config.m2_latent,
            hidden=config.m2_hidden,
            activations=tuple(relu),
            likelihood=DiagonalGaussian(),
            outputs=2 * config.latent,
        )

    def classify(self, x: Tensor) -> Tensor:
        """Logits of q(y|z₁) at the mean of q(z₁|x): (B, 10)."""
        logits: Tensor = self.m2.classifier(self.vae.code(x))
        return logits

    def code(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean of q(z₂|z₁, y) at the mean of q(z₁|x): (B, m2_latent)."""
        return self.m2.code(self.vae.code(x), one_hot(y, CLASSES)).mu

    def image(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean image of the mean of p(z₁|y, z₂)."""
        return self.vae.image(self.m2.likelihood.mean(self.m2.decoder(z, one_hot(y, CLASSES))))


class M1M2(VAE):
    """M1's bound; then M2's objective for codes drawn from q(z₁|x)."""

    def __init__(self, config: M1M2Config) -> None:
        self.network = M1M2Model(config.model, size=config.data.size)
        super().__init__(config, self.network.vae)
        self.model = self.network
        self.settings, self.beta = config.model, config.model.beta
        self.networks["m2"] = self.network.m2
        self.share_labelled = 0.0

    @torch.no_grad()
    def samples(self, model: nn.Module, batches: Batches[Any, DigitBatch], device: torch.device) -> Grid:
        """Images; their reconstructions with the label that the classifier gives; drawn styles of the ten digits."""
        assert isinstance(model, M1M2Model) and isinstance(batches, DigitBatches)
        return conditional_samples(model, batches, device)

    @property
    def players(self) -> dict[str, Player]:
        return super().players | {"m2": Player(("m2",))}

    def open(self, share: Share) -> DigitBatches:
        batches = super().open(share)
        self.share_labelled = batches.fraction_labelled
        return batches

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of M1; one of M2 after M1's head start."""
        yield self.bound(wrapped, batch)
        if batch.step < self.settings.head_start:
            return
        first, second = self.settings.latent, self.settings.m2_latent
        known = batch.labelled
        with torch.no_grad():
            z = self.network.vae.encode(batch.x).sample(batch.normals("code", first))
            if known is not None:
                z_l = self.network.vae.encode(known.x).sample(known.normals("labelled code", first))
        labelled = None
        if known is not None:
            seen_l = self.disturbed(z_l, known, "labelled code noise")
            labelled = Labelled(z_l, seen_l, known.y, known.normals("labelled latent", second))
        seen = self.disturbed(z, batch, "code noise")
        bounds = wrapped["m2"](z, seen, batch.normals("m2 latent", second), labelled)
        yield m2_phase("m2", bounds, self.settings, self.share_labelled)

    def disturbed(self, z: Tensor, batch: DigitBatch, purpose: str) -> Tensor:
        """The codes with noise, as the classifier sees them."""
        noise = self.settings.m2_noise
        return z + noise * batch.normals(purpose, self.settings.latent) if noise else z
