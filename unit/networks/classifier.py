"""A classifier for the images of two domains, and discriminators that share its layers.

Each domain has low layers of its own; the high layers and what names the classes are one module for both, so that what
the images of one domain teach holds for the other's too (UNIT, section 5 and appendix C, after CoGAN's).
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from unit.networks.blocks import Init, initialize, run_shared
from unit.networks.discriminator import DiscriminatorLayers
from unit.networks.dropout import Dropout

PLACES = 2
"""The features' map is averaged down to 2 × 2 places, which the paper's have for images of 32 × 32."""


class DomainClassifier(nn.Module):
    """Convolutions of stride 2 that double the width, of which the two domains share the last `shared_layers`, and a
    linear layer of 2 × 2 places of the features: (B, C, H, W) → logits (B, K).

    `same_start` begins both domains' own layers with the same weights; `dropout` is of what the linear layer sees;
    `more` are the layers' options (`DiscriminatorLayers`).
    """

    def __init__(
        self,
        channels_a: int,
        channels_b: int,
        classes: int,
        *,
        layers: int = 4,
        shared_layers: int = 3,
        dropout: float = 0.0,
        same_start: bool = False,
        init: Init = "normal",
        **more: Any,
    ) -> None:
        super().__init__()
        self.layers = DiscriminatorLayers(layers=layers, **more)
        split = layers - shared_layers
        self.a, self.b = (self.layers.stack(0, split, channels) for channels in (channels_a, channels_b))
        self.shared = self.layers.stack(split, layers, channels_a)
        self.width = self.layers.width << (layers - 1)
        """channels of the features"""
        initialize(self, init)
        if same_start:
            self.b.load_state_dict(self.a.state_dict())
        drop = [Dropout(dropout)] if dropout else []
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(PLACES), nn.Flatten(), *drop, nn.Linear(self.width * PLACES**2, classes)
        )

    def features(self, x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
        """Of images of both domains: (B, c, h, w) each; the shared layers run once."""
        return run_shared(self.shared, self.a(x_a), self.b(x_b))

    def forward(self, x: Tensor, domain: Literal["a", "b"]) -> Tensor:
        low = self.a if domain == "a" else self.b
        logits: Tensor = self.head(self.shared(low(x)))
        return logits


class Judged(NamedTuple):
    """What is made of images of a domain: features (B, c, h, w), logits of the classes (B, K), and, where there are
    discriminators, logits of being real (B, 1, h, w)."""

    features: Tensor
    classes: Tensor
    real: Tensor | None = None

    def parts(self, count: int) -> list["Judged"]:
        """The same of each `count` of the images."""
        features, classes = torch.split(self.features, count), torch.split(self.classes, count)
        real = [None] * len(features) if self.real is None else torch.split(self.real, count)
        return [Judged(*part) for part in zip(features, classes, real, strict=True)]


class ClassifyingDiscriminators(nn.Module):
    """The classifier, and 1×1 convolutions from its features to a logit a patch: is it real? With `own_logits` each
    domain has one of its own, else they share it; without `adversarial` there is none."""

    def __init__(
        self,
        classifier: DomainClassifier,
        *,
        adversarial: bool = True,
        own_logits: bool = False,
        init: Init = "normal",
    ) -> None:
        super().__init__()
        last = classifier.layers.count - 1
        self.real_a = classifier.layers.layer(last, 0) if adversarial else None
        self.real_b = classifier.layers.layer(last, 0) if adversarial and own_logits else self.real_a
        initialize(self, init)
        self.classifier = classifier

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[Judged, Judged]:
        """Of images of both domains."""
        h_a, h_b = self.classifier.features(x_a, x_b)
        y_a, y_b = (
            y.to(torch.promote_types(y.dtype, torch.float32)) for y in run_shared(self.classifier.head, h_a, h_b)
        )
        if self.real_a is None or self.real_b is None:
            return Judged(h_a, y_a), Judged(h_b, y_b)
        return Judged(h_a, y_a, self.real_a(h_a)), Judged(h_b, y_b, self.real_b(h_b))
