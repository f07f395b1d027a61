"""The U-Net of pix2pix: an encoder down to 1×1, a decoder, and a skip from each layer of the one to the other's.

Isola, Zhu, Zhou, Efros 2017 (arXiv 1611.07004), section 6.1. Images are float (B, C, H, W) in [-1, 1].
"""

import torch
from torch import Tensor, nn

from unit.networks.dropout import Dropout
from unit.networks.norms import BatchNorm


class UNet(nn.Module):
    """(B, in, H, W) → (B, out, H, W) in [-1, 1], for sides that are multiples of 2ⁿ for n down-samplings.

    Down: n convolutions 4×4 of stride 2 to width, 2, 4 and from then on 8 times width channels; up: as many transposed
    ones. LeakyReLU 0.2 before each on the way down, ReLU on the way up; batch norm but after the first, the innermost
    and the last. The norms take each image's own statistics, as at the paper's batch size of 1. With n = 8 and width
    64 it has 54,413,955 parameters, with n = 7 41,828,995. Of the way up, `dropped` layers after the innermost drop.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        width: int = 64,
        downsamplings: int = 8,
        dropout: float = 0.5,
        dropped: int = 3,
    ) -> None:
        super().__init__()
        innermost = downsamplings - 1
        widths = [width << min(level, 3) for level in range(downsamplings)]
        self.down = nn.ModuleList([nn.Conv2d(channels_in, width, 4, 2, 1, bias=False)])
        for level in range(1, downsamplings):
            conv = nn.Conv2d(widths[level - 1], widths[level], 4, 2, 1, bias=False)
            norm = [BatchNorm(widths[level], running=False)] if level < innermost else []
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), conv, *norm))
        self.up = nn.ModuleList()
        for level in reversed(range(downsamplings)):
            n_in = widths[level] * (1 if level == innermost else 2)
            n_out = widths[level - 1] if level else channels_out
            conv_up = nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=level == 0)
            dropping = [Dropout(dropout)] if innermost - dropped <= level < innermost else []
            last = [BatchNorm(n_out, running=False), *dropping] if level else [nn.Tanh()]
            self.up.append(nn.Sequential(nn.ReLU(), conv_up, *last))

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            x = layer(x)
            x = torch.cat([skips.pop(), x], dim=1) if skips else x
        return x
