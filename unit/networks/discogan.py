"""DiscoGAN's networks (Kim et al. 2017, arXiv 1703.05192): batch-normalized, without biases, for images of 64×64.

Images are float (B, C, H, W) in [-1, 1] outside, and in [0, 1] between the layers, as the paper has them.
"""

import itertools

from torch import Tensor, nn

from unit.networks.norms import BatchNorm

BOTTLENECK = 100
"""Channels of the deeper variant's code of 1×1."""


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] → [0, 1]."""
    return (x + 1) / 2


def conv(n_in: int, n_out: int, *, group: int, norm: bool = True, last: bool = False) -> nn.Sequential:
    """Convolution 4×4 of stride 2 (`last`: of stride 1, without padding), batch norm, LeakyReLU 0.2."""
    layer = nn.Conv2d(n_in, n_out, 4, 1 if last else 2, 0 if last else 1, bias=False)
    return nn.Sequential(layer, *([BatchNorm(n_out, group=group)] if norm else []), nn.LeakyReLU(0.2))


def transposed(n_in: int, n_out: int, *, group: int, first: bool = False) -> nn.Sequential:
    """Transposed convolution 4×4 of stride 2 (`first`: of stride 1, without padding), batch norm, ReLU."""
    layer = nn.ConvTranspose2d(n_in, n_out, 4, 1 if first else 2, 0 if first else 1, bias=False)
    return nn.Sequential(layer, BatchNorm(n_out, group=group), nn.ReLU())


class DiscoGenerator(nn.Module):
    """(B, in, H, W) in [-1, 1] → (B, out, H, W) in [-1, 1], for sides that are multiples of 2ⁿ for n down-samplings.

    With width 64 and n = 4 it has 5,513,856 parameters; the deeper variant, whose code is 100 channels of 1×1 for
    images of 64×64, 7,153,480. `group` images have their batch statistics in common.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        width: int = 64,
        downsamplings: int = 4,
        group: int = 64,
        deep: bool = False,
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(downsamplings)]
        down = [conv(channels_in, width, group=group, norm=False)]
        down += [conv(narrow, wide, group=group) for narrow, wide in itertools.pairwise(widths)]
        if deep:
            down.append(conv(widths[-1], BOTTLENECK, group=group, last=True))
            down.append(transposed(BOTTLENECK, widths[-1], group=group, first=True))
        up = [transposed(wide, narrow, group=group) for wide, narrow in itertools.pairwise(reversed(widths))]
        last = nn.ConvTranspose2d(width, channels_out, 4, 2, 1, bias=False)
        self.layers = nn.Sequential(*down, *up, last, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = 2 * self.layers(to_unit(x)) - 1
        return image


class DiscoDiscriminator(nn.Module):
    """(B, C, H, W) in [-1, 1] → logits (B, 1, h, w), which for 64×64 and n = 4 are 1×1, and the features before them:
    the activations of all convolutions of stride 2 but the first. With width 64 it has 2,765,568 parameters."""

    def __init__(self, channels: int, *, width: int = 64, downsamplings: int = 4, group: int = 64) -> None:
        super().__init__()
        widths = [width << level for level in range(downsamplings)]
        self.first = conv(channels, width, group=group, norm=False)
        self.layers = nn.ModuleList(conv(narrow, wide, group=group) for narrow, wide in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        h, features = self.first(to_unit(x)), []
        for layer in self.layers:
            h = layer(h)
            features.append(h)
        return self.last(h), features


class DiscoDiscriminators(nn.Module):
    """One for each domain: images of a and of b → the logits and features of each."""

    def __init__(
        self, channels_a: int, channels_b: int, *, width: int = 64, downsamplings: int = 4, group: int = 64
    ) -> None:
        super().__init__()
        self.a = DiscoDiscriminator(channels_a, width=width, downsamplings=downsamplings, group=group)
        self.b = DiscoDiscriminator(channels_b, width=width, downsamplings=downsamplings, group=group)

    def forward(self, x_a: Tensor, x_b: Tensor) -> tuple[tuple[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]:
        return self.a(x_a), self.b(x_b)
