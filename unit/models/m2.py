"""M2: a VAE whose second code is the label, known for some images (Kingma et al. 2014, section 3.1.2).

Notation: L(x, y) = −log p(x|y, z) − log p(y) + KL(q(z|x, y) ‖ p(z)) bounds −log p(x, y); for an image without a label
U(x) = Σ_y q(y|x)·L(x, y) − H(q(y|x)) bounds −log p(x). p(y) is uniform over K classes.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.config.base import ConfigError
from unit.core.likelihood import Likelihood, build_likelihood
from unit.core.posterior import Gaussian
from unit.core.prior import Normal
from unit.data.images import from_intensity, to_intensity
from unit.models.autoencoder import ImageShape, NetsConfig, require_mlp
from unit.models.base import Model
from unit.networks.codes import Activation, ConditionalMLP, mlp, one_hot


class Bounds(NamedTuple):
    """A number for each image: U of those without labels; L and the cross-entropy of those with them, if any."""

    unlabeled: Tensor
    labeled: Tensor | None = None
    classification: Tensor | None = None


class Labeled(NamedTuple):
    """Images with labels: x (B, n), what the classifier sees of them, y int64 (B,), and noise (B, d)."""

    x: Tensor
    seen: Tensor
    y: Tensor
    noise: Tensor


class M2Network(nn.Module):
    """q(y|x), q(z|x, y) and p(x|y, z) of flat x (B, n): perceptrons that mirror each other."""

    def __init__(
        self,
        n: int,
        *,
        classes: int,
        latent: int,
        hidden: tuple[int, ...],
        activations: tuple[Activation, ...],
        likelihood: Likelihood,
        outputs: int,
    ) -> None:
        super().__init__()
        self.classes, self.latent, self.likelihood = classes, latent, likelihood
        self.classifier = mlp(n, hidden, classes, activations)
        self.encoder = ConditionalMLP(n, classes, hidden, 2 * latent, activations)
        self.decoder = ConditionalMLP(latent, classes, hidden[::-1], outputs, activations[::-1])
        self.prior = Normal(latent)

    def bound(self, x: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        """L(x, y) in nats: x (B, n), y one-hot (…, B or 1, K), noise (B, d) → (…, B)."""
        q = self.code(x, y)
        output = at_least_float32(self.decoder(q.sample(noise), y))
        shape = output.shape[:-1]
        nll = self.likelihood.nll(x.expand(*shape, -1).flatten(0, -2), output.flatten(0, -2))
        kl = Gaussian(q.mu.flatten(0, -2), q.log_variance.flatten(0, -2)).kl()
        bound: Tensor = (nll + kl).view(shape) + math.log(self.classes)
        return bound

    def code(self, x: Tensor, y: Tensor) -> Gaussian:
        """q(z|x, y)."""
        mu, log_variance = at_least_float32(self.encoder(x, y)).chunk(2, dim=-1)
        return Gaussian(mu, log_variance)

    def unlabeled_bound(self, x: Tensor, seen: Tensor, noise: Tensor | None) -> Tensor:
        """U(x) in nats, summed over all labels: (B,). The classifier sees `seen` in place of x."""
        log_q = at_least_float32(self.classifier(seen)).log_softmax(1)
        every = torch.eye(self.classes, dtype=x.dtype, device=x.device)[:, None]
        bounds = self.bound(x, every, noise)
        total: Tensor = (log_q.exp() * (bounds.T + log_q)).sum(1)
        return total

    def forward(self, x: Tensor, seen: Tensor, noise: Tensor, labeled: Labeled | None = None) -> Bounds:
        unlabeled = self.unlabeled_bound(x, seen, noise)
        if labeled is None:
            return Bounds(unlabeled)
        x_l, seen_l, y, noise_l = labeled
        bound = self.bound(x_l, one_hot(y, self.classes), noise_l)
        return Bounds(unlabeled, bound, F.cross_entropy(self.classifier(seen_l), y, reduction="none"))


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 where the networks run in bf16 or fp16: the bounds are sums over hundreds of pixels."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@dataclass(frozen=True)
class M2NetsConfig(NetsConfig):
    """p(x|y, z), q(z|x, y) and the classifier q(y|x), all perceptrons of the same hidden widths."""

    latent: int = 50
    hidden: tuple[int, ...] = (500,)
    activations: tuple[Activation, ...] = ("softplus",)
    noise: float = 0.0
    """standard deviation of Gaussian noise on the classifier's input, clipped to [0, 1] (0: none)"""
    salt_pepper: float = 0.0
    """share of the classifier's input that is set to 0 or 1, each as often, in place of Gaussian noise (0: none)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_mlp(self)
        if self.decoder != "mirror":
            raise ConfigError(f"model.decoder: M2's has labels beside its code; expected mirror, got {self.decoder}")


@dataclass(frozen=True)
class M2ModelConfig:
    """What an M2 is built from."""

    images: ImageShape = field(default_factory=ImageShape)
    model: M2NetsConfig = field(default_factory=M2NetsConfig)


class M2Model(Model, name="m2"):
    """The finished network: images are float (B, C, size, size) in [-1, 1], and its networks see intensities."""

    Config = M2ModelConfig

    def __init__(self, config: M2ModelConfig) -> None:
        super().__init__()
        model, images = config.model, config.images
        self.config, self.images, self.latent = config, images, model.latent
        self.m2 = M2Network(
            images.pixels,
            classes=images.classes,
            latent=model.latent,
            hidden=model.hidden,
            activations=model.activations,
            likelihood=build_likelihood(model.likelihood, model.scale),
            outputs=images.pixels,
        )

    def classify(self, x: Tensor) -> Tensor:
        """Logits of q(y|x): (B, K)."""
        logits: Tensor = self.m2.classifier(to_intensity(x))
        return logits

    def code(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean of q(z|x, y): (B, d)."""
        return self.m2.code(to_intensity(x).flatten(1), one_hot(y, self.images.classes)).mu

    def image(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean image of p(x|y, z)."""
        output = self.m2.decoder(z, one_hot(y, self.images.classes))
        shape = (-1, self.images.channels, self.images.size, self.images.size)
        return from_intensity(self.m2.likelihood.mean(output)).view(shape)

    def forward(self, x: Tensor, seen: Tensor, noise: Tensor, labeled: Labeled | None = None) -> Bounds:
        bounds: Bounds = self.m2(x, seen, noise, labeled)
        return bounds
