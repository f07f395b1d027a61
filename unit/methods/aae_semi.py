"""Semi-supervised AAE: the encoder gives a category and a style, each with a discriminator of its own (Makhzani et al.
2016, section 5). Without labels it clusters (section 6, aae_cluster.py).

Notation: y is the category's probabilities (B, K), z the style (B, d). With `heads` the decoder gets one point of few
dimensions, y's learned point plus z (section 7).
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.config.autoencoders import CategoricalAAEModelConfig, ClusterAAEConfig, SemiAAEConfig
from unit.core.likelihood import likelihood_of
from unit.core.prior import Categorical, Normal
from unit.data.batches import Batches, Share
from unit.data.digit_batches import DigitBatch, DigitBatches, open_batches
from unit.losses import fooling_loss
from unit.methods.autoencoder import corrupted, digit_decoder, digit_encoder, grey, judging
from unit.methods.method import Grid, Method, Phase, Player, detached, sum_of
from unit.networks.digits import CodeDiscriminators


class Code(NamedTuple):
    """Logits of the categories (B, K), and the style (B, d)."""

    logits: Tensor
    z: Tensor

    @property
    def y(self) -> Tensor:
        return self.logits.softmax(1)


class Decoder(nn.Module):
    """(y, z) side by side to an image; or, with heads, y's point W·y plus z."""

    def __init__(self, config: CategoricalAAEModelConfig, size: int) -> None:
        super().__init__()
        self.heads = nn.Linear(config.categories, config.latent, bias=False) if config.heads else None
        n_in = config.latent if config.heads else config.categories + config.latent
        self.image = digit_decoder(config, size, n_in)

    def point(self, y: Tensor, z: Tensor) -> Tensor:
        """What the image is made of: (B, d) with heads, else (B, K + d)."""
        return torch.cat([y, z], dim=1) if self.heads is None else self.heads(y) + z

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.image(self.point(y, z))
        return output


class CategoricalModel(nn.Module):
    """The finished network: images are float (B, 1, size, size) in [0, 1]. `supervised`: its categories are digits."""

    def __init__(self, config: CategoricalAAEModelConfig, *, size: int, supervised: bool) -> None:
        super().__init__()
        self.config, self.size, self.supervised = config, size, supervised
        self.encoder = digit_encoder(config, size, config.categories + config.latent)
        self.decoder = Decoder(config, size)
        self.category_prior, self.style_prior = Categorical(config.categories), Normal(config.latent)
        self.likelihood = likelihood_of(config.likelihood, config.scale)

    def code(self, x: Tensor) -> Code:
        return self.split(self.encoder(x))

    def split(self, output: Tensor) -> Code:
        """The encoder's output (B, K + d) as a code."""
        return Code(output[:, : self.config.categories], output[:, self.config.categories :])

    def image(self, y: Tensor, z: Tensor) -> Tensor:
        """The mean image."""
        return self.likelihood.mean(self.decoder(y, z))


class SemiAAE(Method[DigitBatch]):
    """−log p(x|y, z) in one step, BCE of both discriminators in the next, fooling both in the third, and the labelled
    images' cross-entropy in the last."""

    def __init__(self, config: SemiAAEConfig | ClusterAAEConfig) -> None:
        self.config, self.settings = config, config.model
        self.supervised = isinstance(config, SemiAAEConfig)
        self.model = self.network = CategoricalModel(config.model, size=config.data.size, supervised=self.supervised)
        self.judge = CodeDiscriminators([config.model.categories, config.model.latent], hidden=config.model.judge)
        self.networks = {"encoder": self.network.encoder, "decoder": self.network.decoder, "judge": self.judge}

    @property
    def players(self) -> dict[str, Player]:
        players = {"autoencoder": Player(("encoder", "decoder")), "judge": Player(("judge",), self.settings.judge_lr)}
        if not self.settings.combined:
            players["encoder"] = Player(("encoder",))
        return players | ({"classifier": Player(("encoder",))} if self.supervised else {})

    def open(self, share: Share) -> DigitBatches:
        return open_batches(self.config.data, share)

    def encode(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, purpose: str = "noise") -> Code:
        return self.network.split(wrapped["encoder"](corrupted(batch, self.settings.noise, purpose)))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """Reconstruction, discriminators, encoder (as often as the config says), classifier.

        Combined: discriminators, reconstruction with the encoder, classifier.
        """
        combined = self.settings.combined
        if not combined:
            yield self.reconstruction_phase(wrapped, batch)
        with torch.no_grad():
            code = self.encode(wrapped, batch)
        self.judge.requires_grad_(True)
        yield judging(wrapped["judge"], self.real(batch), self.judged(batch, code, "codes"))
        self.judge.requires_grad_(False)
        if combined:
            yield self.reconstruction_phase(wrapped, batch)
        for number in range(0 if combined else self.settings.fooling_steps):
            terms = self.fooling(batch, self.encode(wrapped, batch), f"fooling {number}")
            yield Phase("encoder", sum_of(terms), detached(terms))
        if self.supervised:
            assert batch.labelled is not None
            logits = self.encode(wrapped, batch.labelled, "labelled noise").logits
            loss = F.cross_entropy(logits, batch.labelled.y)
            yield Phase("classifier", loss, {"classification": loss.detach()})

    def reconstruction_phase(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Phase:
        code = self.encode(wrapped, batch)
        terms = {"reconstruction": self.network.likelihood.nll(batch.x, wrapped["decoder"](code.y, code.z)).mean()}
        heads = self.network.decoder.heads
        if heads is not None:
            terms["heads"] = closeness(heads.weight.T, self.settings.heads)
        loss = sum_of(terms)
        if self.settings.combined:
            fooling = self.fooling(batch, code, "fooling")
            loss, terms = loss + self.settings.combined * sum_of(fooling), terms | fooling
        return Phase("autoencoder", loss, detached(terms))

    def fooling(self, batch: DigitBatch, code: Code, purpose: str) -> dict[str, Tensor]:
        of_y, of_z = self.judge(*self.judged(batch, code, purpose))
        return {"fooling_category": fooling_loss([of_y], "bce"), "fooling_style": fooling_loss([of_z], "bce")}

    def judged(self, batch: DigitBatch, code: Code, purpose: str) -> list[Tensor]:
        """What the discriminators see of a code."""
        return [self.blurred(batch, code.y, purpose), code.z]

    def real(self, batch: DigitBatch) -> list[Tensor]:
        """Samples of both priors."""
        categories = self.network.category_prior.sample(batch.size, batch.generator("category"))
        styles = self.network.style_prior.sample(batch.size, batch.generator("style"))
        return [self.blurred(batch, batch.own(categories), "categories"), batch.own(styles)]

    def blurred(self, batch: DigitBatch, y: Tensor, purpose: str) -> Tensor:
        """Categories with the noise of `judge_noise`."""
        sd = self.settings.judge_noise
        return y + sd * batch.normals(f"judge {purpose}", y.shape[1]) if sd else y

    @torch.no_grad()
    def samples(self, model: nn.Module, batches: Batches[Any, DigitBatch], device: torch.device) -> Grid:
        """Images, their reconstructions, and each category's image of style 0."""
        assert isinstance(model, CategoricalModel) and isinstance(batches, DigitBatches)
        categories = self.settings.categories
        rows = torch.arange(categories) % len(batches.digits)
        x = batches.digits.images[rows].float().to(device) / 255
        code = model.code(x)
        heads = model.image(torch.eye(categories, device=device), torch.zeros_like(code.z))
        return Grid(grey(torch.cat([x, model.image(code.y, code.z), heads])), categories)


def log_odds(logits: Tensor) -> Tensor:
    """log p/(1 − p) of each category, float64 (B, K): in the order of p, also where p is 1 but for rounding."""
    others = logits.double()[:, None].repeat(1, logits.shape[1], 1)
    others.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return logits.double() - others.logsumexp(2)


def closeness(points: Tensor, threshold: float) -> Tensor:
    """Σ max(0, threshold − ‖wᵢ − wⱼ‖) over the pairs of points (K, d): a scalar (section 7)."""
    pairs = list(itertools.combinations(range(len(points)), 2))
    first, second = (points[list(side)] for side in zip(*pairs, strict=True))
    distances: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return (threshold - distances).clamp(min=0).sum()
