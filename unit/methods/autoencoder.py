"""What all autoencoders of digits share: the finished network, the data, the noisy input and the sample grid."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unit import draws
from unit.config.autoencoders import AutoencoderConfig, NetsConfig
from unit.config.base import ConfigError
from unit.core.autoencoder import Autoencoder, joined
from unit.core.likelihood import likelihood_of
from unit.core.posterior import Posterior, PosteriorKind, encoder_channels, posterior_of
from unit.core.prior import Prior
from unit.data.batches import Batches, Share
from unit.data.digit_batches import CLASSES, DigitBatch, DigitBatches, open_batches
from unit.data.images import to_uint8
from unit.losses import discriminator_loss
from unit.methods.method import Grid, Method, Phase, Player
from unit.networks.digits import Centred, conv_decoder, conv_encoder, mlp, one_hot

SAMPLES = 20
"""Columns of a sample grid."""

LabelsIn = Literal["none", "decoder", "both"]


def digit_encoder(config: NetsConfig, size: int, n_out: int, *, conditions: int = 0) -> nn.Module:
    """(B, 1, size, size), or flat with a condition behind it, → (B, n_out)."""
    if config.architecture == "conv":
        return conv_encoder(size, n_out)
    return mlp(size * size + conditions, config.hidden, n_out, config.activations)


def centred_encoder(config: NetsConfig, size: int, n_out: int) -> nn.Sequential:
    """A perceptron with layer normalisation, of images less their mean: (B, 1, size, size) → (B, n_out)."""
    return nn.Sequential(
        Centred(1, size, size), mlp(size * size, config.hidden, n_out, config.activations, normalized=True)
    )


def digit_decoder(config: NetsConfig, size: int, n_in: int) -> nn.Module:
    """(B, n_in) → (B, 1, size, size): logits for the Bernoulli likelihood, else means in [0, 1]."""
    if config.architecture == "conv":
        layers: list[nn.Module] = [conv_decoder(n_in, size)]
    else:
        hidden, activations = config.hidden[::-1], config.activations[::-1]
        layers = [mlp(n_in, hidden, size * size, activations), nn.Unflatten(1, (1, size, size))]
    return nn.Sequential(*layers, *([] if config.likelihood == "bernoulli" else [nn.Sigmoid()]))


class DigitModel(Autoencoder[nn.Module, nn.Module]):
    """The finished network of an autoencoder of digits: images are float (B, 1, size, size) in [0, 1], codes (B, d).

    `labels_in` says whether the decoder, or the encoder too, is told the label.
    """

    def __init__(
        self,
        config: NetsConfig,
        *,
        size: int,
        prior: Prior,
        posterior: PosteriorKind,
        labels_in: LabelsIn = "none",
    ) -> None:
        in_encoder, in_decoder = (CLASSES if labels_in in kinds else 0 for kinds in (("both",), ("both", "decoder")))
        n_out = encoder_channels(config.latent, posterior)
        super().__init__(
            digit_encoder(config, size, n_out, conditions=in_encoder),
            digit_decoder(config, size, config.latent + in_decoder),
            posterior=posterior,
        )
        self.config, self.size, self.prior, self.labels_in = config, size, prior, labels_in
        self.likelihood = likelihood_of(config.likelihood, config.scale)

    def encoder_condition(self, y: Tensor | None) -> Tensor | None:
        return None if y is None or self.labels_in != "both" else one_hot(y, CLASSES)

    def decoder_condition(self, y: Tensor | None) -> Tensor | None:
        return None if y is None or self.labels_in == "none" else one_hot(y, CLASSES)

    def code(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z|x): (B, d)."""
        return self.encode(x, self.encoder_condition(y)).sample(None)

    def image(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean image of p(x|z)."""
        return self.likelihood.mean(self.decode(z, self.decoder_condition(y)))


class AutoencoderMethod(Method[DigitBatch]):
    """A method that trains a DigitModel, which is its finished model or part of it.

    Encoder and decoder are wrapped apart, since some steps use but one.
    """

    def __init__(self, config: AutoencoderConfig, model: DigitModel) -> None:
        self.config = config
        self.model = self.autoencoder = model
        self.networks: dict[str, nn.Module] = {"encoder": model.encoder, "decoder": model.decoder}

    @property
    def players(self) -> dict[str, Player]:
        return {"autoencoder": Player(("encoder", "decoder"))}

    def open(self, share: Share) -> DigitBatches:
        return open_batches(self.config.data, share)

    def encode(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Posterior:
        """q(z|x) of the batch's images, or of noisy ones where the config has noise."""
        x = corrupted(batch, self.config.model.noise)
        return posterior_of(
            wrapped["encoder"](joined(x, self.autoencoder.encoder_condition(batch.y))), self.autoencoder.posterior
        )

    def decode(self, wrapped: Mapping[str, nn.Module], z: Tensor, batch: DigitBatch) -> Tensor:
        """The decoder's output of these codes."""
        output: Tensor = wrapped["decoder"](joined(z, self.autoencoder.decoder_condition(batch.y)))
        return output

    def reconstruction(self, output: Tensor, batch: DigitBatch) -> Tensor:
        """−log p(x|z) in nats, averaged over the images: a scalar."""
        return self.autoencoder.likelihood.nll(batch.x, output).mean()

    def latent_noise(self, batch: DigitBatch) -> Tensor:
        return batch.normals("latent", self.config.model.latent)

    @torch.no_grad()
    def samples(self, model: nn.Module, batches: Batches[Any, DigitBatch], device: torch.device) -> Grid:
        """Images, their reconstructions, and images of codes drawn from the prior."""
        assert isinstance(model, DigitModel) and isinstance(batches, DigitBatches)
        digits = batches.digits.part(0, SAMPLES)
        x, y = digits.images.float().to(device) / 255, digits.labels.to(device)
        z = model.prior.sample(len(x), draws.generator(0, "samples")).to(device)
        return Grid(grey(torch.cat([x, model.image(model.code(x, y), y), model.image(z, y)])), len(x))


def judging(judge: nn.Module, real: Sequence[Tensor], codes: Sequence[Tensor]) -> Phase:
    """The discriminator's step: samples of the prior against codes, part by part of the code, in one pass."""
    n = len(real[0])
    logits = judge(*(torch.cat([r, c.detach()]) for r, c in zip(real, codes, strict=True)))
    loss = discriminator_loss([y[:n] for y in logits], [y[n:] for y in logits], "bce")
    return Phase("judge", loss, {"judge": loss.detach()})


def whole_groups(share: Share, group: int) -> None:
    """Raises ConfigError where a process's part of the batch isn't made of whole groups of `group` images."""
    part = len(share.positions(0))
    if part % group:
        raise ConfigError(
            f"model.group: {part} images a process and part are no whole groups of {group}; "
            f"expected a divisor of {part} that is at least 2, or a larger train.batch_size"
        )


def corrupted(batch: DigitBatch, noise: float, purpose: str = "noise") -> Tensor:
    """The images with Gaussian noise of that standard deviation, clipped to [0, 1]."""
    return noisy(batch.x, noise, batch.normals(purpose, *batch.x.shape[1:])) if noise else batch.x


def noisy(x: Tensor, sd: float, normals: Tensor) -> Tensor:
    return (x + sd * normals).clamp(0, 1)


def grey(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8."""
    return to_uint8(2 * images.clamp(0, 1) - 1)
