"""Encoders, decoders and a discriminator of images by strided convolutions of kernel 5 (Larsen et al. 2016, table 1).

Images are float (B, C, side, side); codes (B, n). With `width` 64 and sides of 64 pixels the channels are the paper's:
64-128-256 and a dense layer of 2048 in the encoder; 256-256-128-32 in the decoder; 32-128-256-256 and a dense layer of
512 in the discriminator. Sides are halved until they are 8 pixels or fewer, so larger images have more layers.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]
"""From channels to what normalizes them."""
KERNEL, SMALLEST_SIDE = 5, 8

layer_norm: Norm = partial(nn.GroupNorm, 1)
"""Each image by the mean and variance of all its channels and places, so that images do not mix."""


def halvings(side: int) -> int:
    """How often a side is halved until it is 8 pixels or fewer; 0 for one that can't be, or is so small already."""
    count = 0
    while side > SMALLEST_SIDE and side % 2 == 0:
        side, count = side // 2, count + 1
    return count if side <= SMALLEST_SIDE else 0


def widths_of(side: int, width: int) -> list[int]:
    """Channels after each halving in the encoder: width, twice that, and four times from then on."""
    return [width * min(2**layer, 4) for layer in range(halvings(side))]


def down(n_in: int, n_out: int, norm: Norm) -> list[nn.Module]:
    """A convolution that halves the sides, its norm and a ReLU."""
    return [nn.Conv2d(n_in, n_out, KERNEL, 2, KERNEL // 2, bias=False), norm(n_out), nn.ReLU()]


def dense(n_in: int, n_out: int, norm: Norm) -> list[nn.Module]:
    """A linear layer, its norm and a ReLU."""
    return [nn.Linear(n_in, n_out, bias=False), norm(n_out), nn.ReLU()]


def strided_encoder(
    side: int, n_out: int, *, channels: int = 1, width: int = 64, norm: Norm = layer_norm
) -> nn.Sequential:
    """Strided convolutions, a dense layer of 32·width, and a linear one: (B, channels, side, side) → (B, n_out)."""
    widths = widths_of(side, width)
    convolutions = [layer for pair in itertools.pairwise([channels, *widths]) for layer in down(*pair, norm)]
    places = (side >> len(widths)) ** 2
    head = [nn.Flatten(), *dense(widths[-1] * places, 32 * width, norm), nn.Linear(32 * width, n_out)]
    return nn.Sequential(*convolutions, *head)


def strided_decoder(
    n_in: int, side: int, *, channels: int = 1, width: int = 64, norm: Norm = layer_norm
) -> nn.Sequential:
    """A dense layer, transposed convolutions that mirror the encoder's, and a convolution:
    (B, n_in) → (B, channels, side, side)."""
    widths = widths_of(side, width)
    small, last = side >> len(widths), max(1, width // 2)
    first = (widths[-1], small, small)
    layers = [nn.Linear(n_in, widths[-1] * small**2, bias=False), nn.Unflatten(1, first), norm(widths[-1]), nn.ReLU()]
    for wide, narrow in itertools.pairwise([widths[-1], *widths[:0:-1], last]):
        up = nn.ConvTranspose2d(wide, narrow, KERNEL, 2, KERNEL // 2, output_padding=1, bias=False)
        layers += [up, norm(narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(last, channels, KERNEL, padding=KERNEL // 2))


class DiscriminatorOutput(NamedTuple):
    """What a discriminator makes of images: the features of one of its layers (B, n), and logits (B, 1)."""

    features: Tensor
    logits: Tensor


class FeatureDiscriminator(nn.Module):
    """A convolution of stride 1 without a norm, strided ones, a dense layer of 8·width and a logit; `layer`, from 1, is
    the convolution whose output, normalized and through its ReLU, is handed out as features."""

    def __init__(self, side: int, *, layer: int, channels: int = 1, width: int = 64, norm: Norm = layer_norm) -> None:
        super().__init__()
        first, widths = max(1, width // 2), [width * min(2 ** (number + 1), 4) for number in range(halvings(side))]
        alone = nn.Sequential(nn.Conv2d(channels, first, KERNEL, padding=KERNEL // 2), nn.ReLU())
        strided = [nn.Sequential(*down(*pair, norm)) for pair in itertools.pairwise([first, *widths])]
        places = (side >> len(widths)) ** 2
        head = nn.Sequential(nn.Flatten(), *dense(widths[-1] * places, 8 * width, norm), nn.Linear(8 * width, 1))
        convolutions = [alone, *strided]
        self.below, self.above = nn.Sequential(*convolutions[:layer]), nn.Sequential(*convolutions[layer:], head)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        features: Tensor = self.below(x)
        return DiscriminatorOutput(features.flatten(1), self.above(features))


def convolutions_of(side: int) -> int:
    """How many convolutions the discriminator has."""
    return halvings(side) + 1
