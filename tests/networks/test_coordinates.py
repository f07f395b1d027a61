"""The decoder of coordinates: places by hand, images of several sizes, and pixels that stand alone."""

import math

import pytest
import torch

from unit.networks import coordinates as module
from unit.networks.coordinates import REACH, CoordinateDecoder, coordinates


def decoder(channels: int = 1, side: int = 6) -> CoordinateDecoder:
    torch.manual_seed(0)
    return CoordinateDecoder(3, side, [8, 7], ["tanh", "relu"], channels=channels).double()


def test_places_by_hand() -> None:
    half = REACH / 2
    expected = [(-half, -half), (half, -half), (-half, half), (half, half)]
    assert coordinates(2).tolist() == [pytest.approx([x, y, half * math.sqrt(2)]) for x, y in expected]
    assert coordinates(1).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_is_the_perceptrons_of_place_and_code(channels: int) -> None:
    network, z = decoder(channels), torch.randn(2, 3, dtype=torch.float64)
    image = network(z)
    assert image.shape == (2, channels, 6, 6)
    pixel = network.pixel
    for row, column in ((0, 0), (2, 5)):
        place = coordinates(6)[6 * row + column].double()
        first = pixel.x(torch.cat([z, place.expand(2, 3)], dim=1))
        torch.testing.assert_close(image[:, :, row, column], pixel.rest(first), rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [3, 5])
def test_a_larger_image_has_the_same_pixels_in_its_blocks_centers(factor: int) -> None:
    network, z = decoder(), torch.randn(2, 3, dtype=torch.float64)
    large = network(z, 6 * factor)
    assert large.shape == (2, 1, 6 * factor, 6 * factor)
    torch.testing.assert_close(large[..., factor // 2 :: factor, factor // 2 :: factor], network(z), rtol=0, atol=1e-6)


def test_large_images_are_drawn_some_pixels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, z = decoder(), torch.randn(2, 3, dtype=torch.float64)
    whole = network(z)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 7)
    torch.testing.assert_close(network(z), whole, rtol=0, atol=1e-12)
