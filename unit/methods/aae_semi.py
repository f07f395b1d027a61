"""Semi-supervised AAE: the encoder gives a category and a style, each with a discriminator of its own (Makhzani et al.
2016, section 5). Without labels it clusters (section 6, aae_cluster.py).

Notation: y is the category's probabilities (B, K), z the style (B, d). With `heads` the decoder gets one point of few
dimensions, y's learned point plus z (section 7).

Three things are not in the paper. With `smoothness` the categories are to be the same all around an image: virtual
adversarial training (Miyato et al., Virtual Adversarial Training, 2018), and with `warp` under small affine maps too.
With `balance` they are to be used alike, which a discriminator that sees one code at a time brings about unsteadily.
With `normalized` the encoder's images are centred and its layers normalised: only so do smooth clusters form.
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
from unit.core.regularizer import imbalance_in_groups
from unit.data.augmentation import warp
from unit.data.batches import Batches, Share
from unit.data.digit_batches import DigitBatch, DigitBatches, open_batches
from unit.losses import fooling_loss
from unit.methods.autoencoder import (
    centred_encoder,
    corrupted,
    digit_decoder,
    digit_encoder,
    grey,
    judging,
    whole_groups,
)
from unit.methods.method import Grid, Method, Phase, Player, detached, sum_of
from unit.networks.digits import Centred, CodeDiscriminators


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
        if self.heads is not None:
            room = config.heads * config.categories ** (1 / config.latent)  # side of a cube for points that far apart
            nn.init.uniform_(self.heads.weight, -room / 2, room / 2)
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
        encoder = centred_encoder if config.normalized else digit_encoder
        self.encoder = encoder(config, size, config.categories + config.latent)
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
    images' cross-entropy in the last; `combined` > 0 puts all but the second into one step."""

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
            if self.supervised:
                players["classifier"] = Player(("encoder",))
        return players

    def open(self, share: Share) -> DigitBatches:
        if self.settings.balance:
            whole_groups(share, self.settings.group)
        batches = open_batches(self.config.data, share)
        for module in self.network.encoder.modules():
            if isinstance(module, Centred):
                images = batches.digits.images
                module.mean.copy_(images.sum(0) / (255 * len(images)))
        return batches

    def encode(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, purpose: str = "noise") -> Code:
        return self.network.split(wrapped["encoder"](corrupted(batch, self.settings.noise, purpose)))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """Reconstruction, discriminators, encoder (as often as the config says), classifier.

        Combined: discriminators, and then all that the encoder learns.
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
            yield self.combined_phase(wrapped, batch, code.y)
            return
        for number in range(self.settings.fooling_steps):
            terms = self.fooling(batch, self.encode(wrapped, batch), f"fooling {number}")
            yield Phase("encoder", sum_of(terms), detached(terms))
        if self.supervised:
            assert batch.labelled is not None
            logits = self.encode(wrapped, batch.labelled, "labelled noise").logits
            loss = F.cross_entropy(logits, batch.labelled.y)
            yield Phase("classifier", loss, {"classification": loss.detach()})

    def reconstruction_phase(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch) -> Phase:
        terms = self.reconstruction(wrapped, batch, self.encode(wrapped, batch))
        return Phase("autoencoder", sum_of(terms), detached(terms))

    def combined_phase(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, y: Tensor) -> Phase:
        """All that the encoder learns, with the config's weights, in one pass through it; y are the batch's categories,
        without their graph."""
        settings, known = self.settings, batch.labelled
        x = corrupted(batch, settings.noise)
        seen = [x]
        if settings.smoothness:
            changed = x + self.perturbation(x, y, batch.normals("perturbation", *x.shape[1:]))
            seen.append(warp(changed, settings.warp, batch.normals("warp", 6)) if settings.warp else changed)
        if known is not None:
            seen.append(corrupted(known, settings.noise, "labelled noise"))
        codes = [self.network.split(part) for part in wrapped["encoder"](torch.cat(seen)).split([*map(len, seen)])]
        terms = self.reconstruction(wrapped, batch, codes[0])
        fooling = self.fooling(batch, codes[0], "fooling")
        loss = sum_of(terms) + settings.combined * sum_of(fooling)
        terms |= fooling
        if settings.balance:
            terms["imbalance"] = imbalance_in_groups(codes[0].y, settings.group)
            loss = loss + settings.balance * terms["imbalance"]
        if settings.smoothness:
            terms["smoothness"] = divergence(y, codes[1].logits)
            loss = loss + settings.smoothness * terms["smoothness"]
        if known is not None:
            terms["classification"] = F.cross_entropy(codes[-1].logits, known.y)
            loss = loss + settings.classification * terms["classification"]
        return Phase("autoencoder", loss, detached(terms))

    def reconstruction(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, code: Code) -> dict[str, Tensor]:
        terms = {"reconstruction": self.network.likelihood.nll(batch.x, wrapped["decoder"](code.y, code.z)).mean()}
        heads = self.network.decoder.heads
        if heads is not None:
            terms["heads"] = closeness(heads.weight.T, self.settings.heads)
        return terms

    def perturbation(self, x: Tensor, y: Tensor, normals: Tensor) -> Tensor:
        """For each image the change of length `radius` that changes its categories y most: radius · g/‖g‖, where g is
        the divergence's gradient at a random change of that length (Miyato et al. 2018, equations 8 to 12)."""
        radius, encoder = self.settings.radius, self.network.encoder
        r = (radius * direction(normals)).requires_grad_()
        encoder.requires_grad_(False)
        (gradient,) = torch.autograd.grad(len(x) * divergence(y, self.network.split(encoder(x + r)).logits), r)
        encoder.requires_grad_(True)
        return radius * direction(gradient)

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
        sd, end = self.settings.judge_noise, self.settings.judge_noise_end
        if end is not None:
            sd += (end - sd) * batch.step / self.config.train.steps
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


def divergence(y: Tensor, logits: Tensor) -> Tensor:
    """KL(y ‖ softmax of the logits), both (B, K), averaged over the images: a scalar."""
    return F.kl_div(logits.log_softmax(1), y, reduction="batchmean")


def direction(x: Tensor) -> Tensor:
    """Images (B, …) scaled to length 1; those of length 0 stay."""
    return F.normalize(x.flatten(1)).view_as(x)


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
