"""The blocks that every network is made of.

Notation: feature maps are float tensors (B, C, H, W). A convolution that an instance or batch norm follows has no bias
unless one is asked for, since the norm would subtract it again and it could never learn.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from unit.networks.dropout import Dropout
from unit.networks.norms import BatchNorm

Norm = Literal["none", "instance", "layer", "batch"]
Padding = Literal["zeros", "reflect"]
Upsampling = Literal["transposed", "resize"]
Init = Literal["normal", "kaiming", "xavier"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """The named normalization of (B, channels, H, W).

    `instance` has no affine parameters and no running statistics; `layer` normalizes one image over C, H and W and
    then scales each channel, which is a group norm of one group; `batch` is what a batch norm does to a batch of one
    image, each image on its own: an instance norm with affine parameters.
    """
    match norm:
        case "none":
            return nn.Identity()
        case "instance":
            return nn.InstanceNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "batch":
            return BatchNorm(channels, running=False)


def has_bias(norm: Norm, bias: bool | None) -> bool:
    """Whether a convolution before this norm has a bias: as asked for, else where it can learn."""
    return norm not in ("instance", "batch") if bias is None else bias


def normalized(conv: nn.Conv2d | nn.ConvTranspose2d, norm: Norm) -> list[nn.Module]:
    """A convolution and its norm.

    A bias that an instance norm subtracts again has a gradient of rounding alone, of which Adam would make whole steps,
    others on each number of processes; so it is given the gradient 0.
    """
    if norm == "instance" and conv.bias is not None:
        conv.bias.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]
    return [conv, norm_layer(norm, conv.out_channels)]


def conv_block(
    channels_in: int,
    channels_out: int,
    *,
    kernel: int,
    stride: int = 1,
    norm: Norm = "none",
    slope: float = 0.01,
    padding: Padding = "zeros",
    bias: bool | None = None,
) -> nn.Sequential:
    """Convolution, norm, LeakyReLU of the given slope (0 is ReLU): (B, in, H, W) → (B, out, ⌈H/stride⌉, ⌈W/stride⌉)
    for even H and W."""
    conv = nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride,
        padding=(kernel - 1) // 2,
        padding_mode=padding,
        bias=has_bias(norm, bias),
    )
    return nn.Sequential(*normalized(conv, norm), nn.LeakyReLU(slope, inplace=True))


class ResidualBlock(nn.Module):
    """x + IN(conv3(ReLU(IN(conv3(x))))): (B, C, H, W) → the same shape (UNIT, appendix A); with dropout of what is
    added, as UNIT's release has it for street scenes."""

    def __init__(
        self, channels: int, *, padding: Padding = "zeros", bias: bool | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(channels, channels, kernel=3, norm="instance", slope=0.0, padding=padding, bias=bias),
            *normalized(
                nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding, bias=has_bias("instance", bias)),
                "instance",
            ),
            *([Dropout(dropout)] if dropout else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.body(x)
        return x + residual


def residual_blocks(
    count: int, channels: int, *, padding: Padding = "zeros", bias: bool | None = None, dropout: float = 0.0
) -> nn.Sequential:
    """`count` residual blocks one after another; 0 of them pass their input on unchanged."""
    return nn.Sequential(*(ResidualBlock(channels, padding=padding, bias=bias, dropout=dropout) for _ in range(count)))


def upsampling_block(
    channels_in: int,
    channels_out: int,
    *,
    upsampling: Upsampling = "transposed",
    kernel: int = 3,
    norm: Norm = "none",
    slope: float = 0.01,
    padding: Padding = "zeros",
    bias: bool | None = None,
) -> nn.Sequential:
    """Twice the size: (B, in, H, W) → (B, out, 2H, 2W).

    `transposed` is the paper's transposed convolution of stride 2; `resize` is nearest ×2 and a convolution, which
    makes no checkerboard (Odena et al. 2016).
    """
    if upsampling == "resize":
        conv = conv_block(channels_in, channels_out, kernel=kernel, norm=norm, slope=slope, padding=padding, bias=bias)
        return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *conv)
    transposed = nn.ConvTranspose2d(
        channels_in,
        channels_out,
        kernel,
        2,
        padding=(kernel - 1) // 2,
        output_padding=kernel % 2,
        bias=has_bias(norm, bias),
    )
    return nn.Sequential(*normalized(transposed, norm), nn.LeakyReLU(slope, inplace=True))


def run_shared(shared: nn.Module, x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
    """`shared(x_a), shared(x_b)`, of layers that both domains share, in one run over both batches.

    The answers are the same as in two, since no layer here mixes the images of a batch.
    """
    y_a, y_b = shared(torch.cat([x_a, x_b])).split([len(x_a), len(x_b)])
    return y_a, y_b


def initialize(network: nn.Module, init: Init) -> None:
    """Draw the weights of every convolution from N(0, 0.02²), or after Kaiming (fan in, ReLU), or from Xavier's normal
    distribution times 0.02; set biases to zero. A batch norm's weights are drawn from N(1, 0.02²) with `normal`.
    On the meta device, which holds nothing, nothing is drawn."""
    if any(parameter.is_meta for parameter in network.parameters()):
        return
    for module in network.modules():
        if isinstance(module, BatchNorm) and init == "normal":
            nn.init.normal_(module.weight, 1.0, 0.02)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            match init:
                case "normal":
                    nn.init.normal_(module.weight, 0.0, 0.02)
                case "kaiming":
                    nn.init.kaiming_normal_(module.weight)
                case "xavier":
                    nn.init.xavier_normal_(module.weight, gain=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
