"""Sets whose figures are worked out by hand: untrained autoencoders, and images of noise."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from digit_toys import method_of, parse_config, uniforms
from torch import Tensor, nn

from unit.data.domain import Domain, domain_of_array
from unit.evaluation import parzen, recognition, sets
from unit.evaluation.sets import ImageSet
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder

SIDE = 16


def in_small_parts() -> Iterator[None]:
    """For a fixture: parts of four images, windows around 60, and as many images drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (sets, parzen):
            patch.setattr(module, "BATCH", 4)
        patch.setattr(parzen, "SAMPLES", 60)
        patch.setattr(recognition, "DRAWN", 60)
        yield


def domain_of(count: int = 10, *, seed: int = 0) -> Domain:
    """Noise, with labels that count in threes."""
    images = (256 * uniforms(count, 1, SIDE, SIDE, seed=seed)).to(torch.uint8)
    return labeled(images, torch.arange(count) * 3 % 10)


def labeled(images: Tensor, labels: Tensor) -> Domain:
    """The images of ten classes, whichever of them there are."""
    made = domain_of_array(images, labels)
    return Domain(made.images, made.names, made.fingerprint, made.labels, classes=10)


def model_of(name: str, **keys: Any) -> Any:
    """METHODS[name]'s model for images of 16 × 16, untrained, with weights large enough for each to count."""
    model = method_of(parse_config(name, **keys), side=SIDE).model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def set_of(model: Model, images: Domain | None = None, seen: Domain | None = None) -> ImageSet:
    return ImageSet(model, domain_of() if images is None else images, domain_of(seed=1) if seen is None else seen)


def one_hot(y: Tensor) -> Tensor:
    return torch.eye(10)[y]


def approx(value: float | Tensor) -> Any:
    return pytest.approx(float(value), rel=2e-5)


def categorical(name: str, logits: Tensor, labels: Tensor, **keys: Any) -> ImageSet:
    """A model whose encoder gives image n the logits of row n, and the style 0; each image is of one brightness, n."""
    model = model_of(name, **keys)
    count, categories = logits.shape

    class Encoder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            numbers = (255 * x[:, 0, 0, 0]).round().long()
            return torch.cat([logits[numbers], torch.zeros(len(x), 2)], dim=1)

    assert isinstance(model, CategoricalAutoencoder) and model.config.model.categories == categories
    model.encoder = Encoder()
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, SIDE, SIDE)
    return set_of(model, labeled(images, labels))
