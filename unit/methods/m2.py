"""M2: a VAE whose second code is the label, known for some images (Kingma et al. 2014, section 3.1.2).

Notation: L(x, y) = −log p(x|y, z) − log p(y) + KL(q(z|x, y) ‖ p(z)) bounds −log p(x, y); for an image without a label
U(x) = Σ_y q(y|x)·L(x, y) − H(q(y|x)) bounds −log p(x). p(y) is uniform. ρ weights L of the labelled
images: in the paper it is their share of all; more of it ties each label to its digits sooner.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit import draws
from unit.config.autoencoders import M1M2ModelConfig, M2Config, M2ModelConfig
from unit.core.likelihood import Likelihood, likelihood_of
from unit.core.posterior import Gaussian
from unit.core.prior import Normal
from unit.data.batches import Batches, Share
from unit.data.digit_batches import CLASSES, DigitBatch, DigitBatches, open_batches
from unit.methods.autoencoder import SAMPLES, corrupted, grey
from unit.methods.method import Grid, Method, Phase, detached
from unit.networks.digits import Activation, ConditionalMLP, mlp, one_hot


class Bounds(NamedTuple):
    """A number for each image: U of those without labels; L and the cross-entropy of those with them, if any."""

    unlabelled: Tensor
    labelled: Tensor | None = None
    classification: Tensor | None = None


class M2Network(nn.Module):
    """q(y|x), q(z|x, y) and p(x|y, z) of flat x (B, n): perceptrons that are mirrored."""

    def __init__(
        self,
        n: int,
        *,
        latent: int,
        hidden: tuple[int, ...],
        activations: tuple[Activation, ...],
        likelihood: Likelihood,
        outputs: int,
    ) -> None:
        super().__init__()
        self.latent, self.likelihood = latent, likelihood
        self.classifier = mlp(n, hidden, CLASSES, activations)
        self.encoder = ConditionalMLP(n, CLASSES, hidden, 2 * latent, activations)
        self.decoder = ConditionalMLP(latent, CLASSES, hidden[::-1], outputs, activations[::-1])
        self.prior = Normal(latent)

    def bound(self, x: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        """L(x, y) in nats: x (B, n), y one-hot (…, B or 1, 10), noise (B, d) → (…, B)."""
        q = self.code(x, y)
        output = exact(self.decoder(q.sample(noise), y))
        shape = output.shape[:-1]
        nll = self.likelihood.nll(x.expand(*shape, -1).flatten(0, -2), output.flatten(0, -2))
        kl = Gaussian(q.mu.flatten(0, -2), q.log_variance.flatten(0, -2)).kl()
        bound: Tensor = (nll + kl).view(shape) + math.log(CLASSES)
        return bound

    def code(self, x: Tensor, y: Tensor) -> Gaussian:
        """q(z|x, y)."""
        mu, log_variance = exact(self.encoder(x, y)).chunk(2, dim=-1)
        return Gaussian(mu, log_variance)

    def unlabelled(self, x: Tensor, seen: Tensor, noise: Tensor | None) -> Tensor:
        """U(x) in nats, summed over all labels: (B,). The classifier sees `seen` in place of x."""
        log_q = exact(self.classifier(seen)).log_softmax(1)
        every = torch.eye(CLASSES, dtype=x.dtype, device=x.device)[:, None]
        bounds = self.bound(x, every, noise)
        total: Tensor = (log_q.exp() * (bounds.T + log_q)).sum(1)
        return total

    def forward(self, x: Tensor, seen: Tensor, noise: Tensor, labelled: "Labelled | None" = None) -> Bounds:
        unlabelled = self.unlabelled(x, seen, noise)
        if labelled is None:
            return Bounds(unlabelled)
        x_l, seen_l, y, noise_l = labelled
        bound = self.bound(x_l, one_hot(y, CLASSES), noise_l)
        return Bounds(unlabelled, bound, F.cross_entropy(self.classifier(seen_l), y, reduction="none"))


def exact(x: Tensor) -> Tensor:
    """At least float32, also where the networks run in bf16: the bounds are sums over hundreds of pixels."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class Labelled(NamedTuple):
    """Images with labels: x (B, n), what the classifier sees of them, y int64 (B,), and noise (B, d)."""

    x: Tensor
    seen: Tensor
    y: Tensor
    noise: Tensor


class M2Model(nn.Module):
    """The finished network: images are float (B, 1, size, size) in [0, 1]."""

    def __init__(self, config: M2ModelConfig, *, size: int) -> None:
        super().__init__()
        self.config, self.size, self.latent = config, size, config.latent
        self.m2 = M2Network(
            size * size,
            latent=config.latent,
            hidden=config.hidden,
            activations=config.activations,
            likelihood=likelihood_of(config.likelihood, config.scale),
            outputs=size * size,
        )

    def classify(self, x: Tensor) -> Tensor:
        """Logits of q(y|x): (B, 10)."""
        logits: Tensor = self.m2.classifier(x)
        return logits

    def code(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean of q(z|x, y): (B, d)."""
        return self.m2.code(x.flatten(1), one_hot(y, CLASSES)).mu

    def image(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean image of p(x|y, z)."""
        output = self.m2.decoder(z, one_hot(y, CLASSES))
        return self.m2.likelihood.mean(output).view(-1, 1, self.size, self.size)

    def forward(self, x: Tensor, seen: Tensor, noise: Tensor, labelled: Labelled | None = None) -> Bounds:
        bounds: Bounds = self.m2(x, seen, noise, labelled)
        return bounds


class M2(Method[DigitBatch]):
    """U of all images + ρ·L of the labelled ones + their cross-entropy, weighted, each averaged over its images."""

    def __init__(self, config: M2Config) -> None:
        self.config, self.settings = config, config.model
        self.model = self.network = M2Model(config.model, size=config.data.size)
        self.networks = {"model": self.network}
        self.share_labelled = 0.0

    def open(self, share: Share) -> DigitBatches:
        batches = open_batches(self.config.data, share)
        self.share_labelled = batches.fraction_labelled
        return batches

    def phases(self, wrapped: Mapping[str, nn.Module], batch: DigitBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of all networks."""
        noise, latent = self.settings.noise, self.settings.latent
        seen = corrupted(batch, noise).flatten(1)
        labelled = None
        if (known := batch.labelled) is not None:
            labelled = Labelled(
                known.x.flatten(1),
                corrupted(known, noise, "labelled noise").flatten(1),
                known.y,
                known.normals("labelled latent", latent),
            )
        bounds = wrapped["model"](batch.x.flatten(1), seen, batch.normals("latent", latent), labelled)
        yield m2_phase("model", bounds, self.settings, self.share_labelled)

    @torch.no_grad()
    def samples(self, model: nn.Module, batches: Batches[Any, DigitBatch], device: torch.device) -> Grid:
        """Images; their reconstructions with the label that the classifier gives; drawn styles of the ten digits."""
        assert isinstance(model, M2Model) and isinstance(batches, DigitBatches)
        return conditional_samples(model, batches, device)


def m2_phase(player: str, bounds: Bounds, settings: M2ModelConfig | M1M2ModelConfig, share_labelled: float) -> Phase:
    """The objective of M2 from the bounds of a batch (equation 9)."""
    terms = {"unlabelled": bounds.unlabelled.mean()}
    loss = terms["unlabelled"]
    if bounds.labelled is not None and bounds.classification is not None:
        terms |= {"labelled": bounds.labelled.mean(), "classification": bounds.classification.mean()}
        rho = share_labelled if settings.rho is None else settings.rho
        loss = loss + rho * terms["labelled"] + settings.classification * terms["classification"]
    return Phase(player, loss, detached(terms))


class Conditional(Protocol):
    """A network that names the digit of an image and separates it from its style."""

    latent: int

    def classify(self, x: Tensor) -> Tensor: ...
    def code(self, x: Tensor, y: Tensor) -> Tensor: ...
    def image(self, z: Tensor, y: Tensor) -> Tensor: ...


def conditional_samples(model: Conditional, batches: DigitBatches, device: torch.device) -> Grid:
    """Images; their reconstructions with the label that the classifier gives; drawn styles of the ten digits."""
    x = batches.digits.images[:SAMPLES].float().to(device) / 255
    y = model.classify(x).argmax(1)
    z = torch.randn(len(x), model.latent, generator=draws.generator(0, "samples")).to(device)
    drawn = model.image(z, torch.arange(len(x), device=device) % CLASSES)
    return Grid(grey(torch.cat([x, model.image(model.code(x, y), y), drawn])), len(x))
