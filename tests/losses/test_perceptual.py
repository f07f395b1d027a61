"""The perceptual distance: by hand, and that its network is not trained."""

import pytest
import torch
from architectures import images
from torch import Tensor
from unit_toys import small_features

from unit.losses import perceptual


@pytest.fixture
def vgg16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of VGG16's features."""
    monkeypatch.setattr(perceptual, "_vgg16_features", small_features)


def test_the_perceptual_distance_by_hand(vgg16: None) -> None:
    distance = perceptual.PerceptualDistance().double()
    x, y = images(2, 3, 16, 16, seed=1), images(2, 3, 16, 16, seed=2)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]

    def content(image: Tensor) -> Tensor:
        h = distance.features(((image + 1) / 2 - mean) / std)
        variance, center = torch.var_mean(h, dim=(2, 3), keepdim=True, correction=0)
        return (h - center) / (variance + 1e-5).sqrt()

    torch.testing.assert_close(distance(x, y), (content(x) - content(y)).square().mean(), rtol=1e-6, atol=0)
    assert distance(x, x) == 0
    gray = images(1, 1, 16, 16, seed=3)
    torch.testing.assert_close(
        distance(gray, gray * 0.5), distance(gray.repeat(1, 3, 1, 1), gray.repeat(1, 3, 1, 1) / 2)
    )
