"""Clouds of codes: where their points are, in which colors, and what lies beside them."""

import math
from typing import Any

import pytest
import torch
from matplotlib.colors import to_rgba
from picture_models import made, some_images
from torch import Tensor

from unit.data.domain import Domain
from unit.data.images import to_float
from unit.models.autoencoder import ImageAutoencoder
from unit.report.autoencoder import class_names, clouds
from unit.report.plots import Cloud, raster, scatter

CLASSES = class_names(some_images())


@pytest.fixture(scope="module")
def images() -> Domain:
    """47 images, whose labels count through the classes, from 7."""
    return some_images()


def in_panel(axes: Any) -> tuple[Tensor, Tensor]:
    """The points of a panel (N, 2) and their colors (N or 1, 4)."""
    (dots,) = axes.collections
    return torch.tensor(dots.get_offsets().data), torch.tensor(dots.get_facecolors())


@pytest.mark.parametrize("name", ["vae of 3", "cvae of 2", "aae"])
def test_codes_lie_beside_samples_of_the_prior(name: str, images: Domain) -> None:
    model: ImageAutoencoder = made(name)
    with torch.inference_mode():
        codes, prior = clouds(model, images)
        expected = model.code(to_float(images.tensor), images.class_labels)[:, :2]
    torch.testing.assert_close(codes.points, expected)
    assert codes.labels is images.class_labels
    assert prior.points.shape == (47, 2)
    assert ("first two of 3" in codes.title) == ("first two of 3" in prior.title) == (name == "vae of 3")
    if name != "aae":
        assert prior.labels is None
    else:
        assert prior.labels is not None
        angle = torch.atan2(prior.points[:, 1], prior.points[:, 0]) - 2 * math.pi * prior.labels / 10
        assert (angle.cos() > 0.8).float().mean() > 0.9  # each in the petal of its label


def test_codes_are_colored_by_label_on_the_axes_of_the_prior() -> None:
    labeled_cloud = Cloud("codes", torch.tensor([[-1.0, 1.0], [3.0, 5.0], [0.0, 1.0]]), torch.tensor([3, 0, 3]))
    plain = Cloud("prior", torch.tensor([[9.0, 1.0]]), None)
    left, right = (panels := scatter(labeled_cloud, plain, names=CLASSES)).axes
    at, colors = in_panel(left)
    assert torch.equal(at, labeled_cloud.points.double())
    assert torch.equal(colors[0], colors[2]) and not torch.equal(colors[0], colors[1])
    legend = {
        text.get_text(): torch.tensor(to_rgba(mark.get_color()))
        for text, mark in zip(panels.legends[0].get_texts(), panels.legends[0].get_lines(), strict=True)
    }
    assert list(legend) == [str(y) for y in range(10)]
    torch.testing.assert_close(colors, torch.stack([legend["3"], legend["0"], legend["3"]]).double())
    at, colors = in_panel(right)
    assert at.tolist() == [[9.0, 1.0]] and colors.tolist() == [[0.0, 0.0, 0.0, 1.0]]
    for axes in (left, right):  # the square around (4, 3) that holds -1 … 9, and a little more
        assert axes.get_xlim() == pytest.approx((4 - 5.3, 4 + 5.3))
        assert axes.get_ylim() == pytest.approx((3 - 5.3, 3 + 5.3))
        assert axes.get_aspect() == 1


def test_a_single_point_can_be_drawn() -> None:
    with torch.inference_mode():
        cloud = Cloud("", torch.zeros(1, 2), torch.tensor([5]))
        grid = raster(scatter(cloud, names=CLASSES))
    assert grid.images.shape == (1, 3, 689, 741)
