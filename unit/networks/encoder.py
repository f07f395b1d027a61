"""The encoder: an image to the mean μ of its code, (B, C, H, W) → (B, width·2ⁿ, H/2ⁿ, W/2ⁿ) for n down-samplings.

Its `private` part is a domain's own; its `shared` part, the high-level end, is the same module object in both
domains' encoders (UNIT, section 3 and appendix A).
"""

import torch
from torch import Tensor, nn

from unit.networks.blocks import Norm, Padding, conv_block, residual_blocks


class Encoder(nn.Module):
    """`shared(private(x))`."""

    def __init__(self, private: nn.Module, shared: nn.Module) -> None:
        super().__init__()
        self.private = private
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        mu: Tensor = self.shared(self.private(x))
        return mu


class WithVariance(nn.Module):
    """The mean h itself, and a log-variance that a 1×1 convolution makes of it: (B, C, h, w) → (B, 2C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_variance = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([h, self.log_variance(h)], dim=1)


def encoder_private(
    channels: int,
    *,
    width: int = 64,
    downsamplings: int = 2,
    blocks: int = 3,
    kernel: int = 3,
    norm: Norm = "none",
    slope: float = 0.01,
    padding: Padding = "zeros",
    down_padding: Padding | None = None,
    bias: bool | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A domain's own layers: conv 7 of `width`, then `downsamplings` convolutions of stride 2 that double the width,
    then `blocks` residual blocks (the paper: 64–128–256 and 3 blocks). `down_padding` is of the convolutions of
    stride 2, where it is not `padding`."""

    def conv(n_in: int, n_out: int, kernel: int, stride: int, padding: Padding) -> nn.Sequential:
        return conv_block(n_in, n_out, kernel=kernel, stride=stride, norm=norm, slope=slope, padding=padding, bias=bias)

    layers: list[nn.Module] = [conv(channels, width, 7, 1, padding)]
    for level in range(downsamplings):
        layers.append(conv(width << level, width << (level + 1), kernel, 2, down_padding or padding))
    layers.append(residual_blocks(blocks, width << downsamplings, padding=padding, bias=bias, dropout=dropout))
    return nn.Sequential(*layers)
