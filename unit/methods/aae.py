"""AAE: a discriminator makes the codes' distribution the prior's (Makhzani et al., Adversarial Autoencoders, 2016).

Three kinds of steps: encoder and decoder learn to reconstruct; the discriminator learns to tell samples of the prior
from codes; the encoder learns to fool it. With `model.informed` the discriminator is told the label too, or that there
is none, so that each digit gets its own part of the prior (section 2.3).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from unit.config.autoencoders import AAEConfig, AAEModelConfig, SupervisedAAEConfig
from unit.core.autoencoder import joined
from unit.core.posterior import posterior_of
from unit.core.prior import prior_of
from unit.data.digit_batches import CLASSES, DigitBatch
from unit.losses import fooling_loss
from unit.methods.autoencoder import AutoencoderMethod, DigitModel, corrupted, judging
from unit.methods.method import Phase, Player, detached
from unit.networks.digits import CodeDiscriminators, one_hot


def aae_model(model: AAEModelConfig, size: int) -> DigitModel:
    prior = prior_of(model.prior, model.latent, sd=model.prior_sd)
    return DigitModel(model, size=size, prior=prior, posterior=model.posterior)


class AAE(AutoencoderMethod):
    """−log p(x|z) in one step, BCE of prior against codes in the next, and fooling in the last, which `combined` > 0
    puts into the first with that weight."""

    def __init__(self, config: AAEConfig | SupervisedAAEConfig, model: DigitModel | None = None) -> None:
        if model is None:
            assert isinstance(config, AAEConfig)
            model = aae_model(config.model, config.data.size)
        super().__init__(config, model)
        self.settings = config.model
        self.informed = isinstance(config.model, AAEModelConfig) and config.model.informed
        self.combined = config.model.combined
        labels = CLASSES + 1 if self.informed else 0
        self.judge = CodeDiscriminators([config.model.latent + labels], hidden=config.model.judge)
        self.networks["judge"] = self.judge

    @property
    def players(self) -> dict[str, Player]:
        players = super().players | {"judge": Player(("judge",), self.settings.judge_lr)}
        return players if self.combined else players | {"encoder": Player(("encoder",))}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """Reconstruction, discriminator, encoder (as often as the config says); combined: discriminator, then both."""
        if not self.combined:
            yield self.reconstruction_phase(wrapped, batch)
        with torch.no_grad():
            codes = self.codes(wrapped, batch)
        self.judge.requires_grad_(True)
        yield judging(wrapped["judge"], [self.real(batch)], [codes])
        self.judge.requires_grad_(False)
        if self.combined:
            yield self.reconstruction_phase(wrapped, batch)
            return
        for _ in range(self.settings.fooling_steps):
            loss = fooling_loss(self.judge(self.codes(wrapped, batch)), "bce")
            yield Phase("encoder", loss, {"fooling": loss.detach()})

    def reconstruction_phase(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Phase:
        z = self.encode(wrapped, batch).sample(self.latent_noise(batch))
        terms = {"reconstruction": self.reconstruction(self.decode(wrapped, z, batch), batch)}
        loss = terms["reconstruction"]
        if self.combined:
            terms["fooling"] = fooling_loss(self.judge(self.told(z, [])), "bce")
            loss = loss + self.combined * terms["fooling"]
        return Phase("autoencoder", loss, detached(terms))

    def parts(self, batch: DigitBatch) -> list[DigitBatch]:
        """The images whose codes are judged: all, and where the discriminator is told labels the labelled ones too."""
        return [batch] if batch.labelled is None or not self.informed else [batch, batch.labelled]

    def codes(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Tensor:
        """What the discriminator is to take for samples of the prior."""
        parts = self.parts(batch)
        purposes = ("noise", "labelled noise")[: len(parts)]
        seen = [corrupted(part, self.settings.noise, name) for part, name in zip(parts, purposes, strict=True)]
        noise = torch.cat([part.normals(f"judged {i}", self.settings.latent) for i, part in enumerate(parts)])
        z = posterior_of(wrapped["encoder"](torch.cat(seen)), self.autoencoder.posterior).sample(noise)
        return self.told(z, [part.y for part in parts[1:]])

    def real(self, batch: DigitBatch) -> Tensor:
        """Samples of the prior: of all of it for the images without a label, of the label's part for those with one."""
        samples: list[Tensor] = []
        labels: list[Tensor] = []
        for i, part in enumerate(self.parts(batch)):
            generator = part.generator(f"prior {i}")
            y = torch.randint(CLASSES, (part.size,), generator=generator) if i else None
            samples.append(part.own(self.autoencoder.prior.sample(part.size, generator, y)))
            labels += [] if y is None else [part.own(y)]
        return self.told(torch.cat(samples), labels)

    def told(self, z: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """Codes with one-hot labels behind them, the last codes those given; no label is a class of its own."""
        if not self.informed:
            return z
        none = torch.full((len(z) - sum(map(len, labels)),), CLASSES, device=z.device)
        return joined(z, one_hot(torch.cat([none, *labels]), CLASSES + 1))
