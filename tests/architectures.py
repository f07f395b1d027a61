"""What tests of networks share: a network as a table of its layers, and random images."""

from typing import Any

import torch
from torch import Tensor, nn

from unit.networks.blocks import ResidualBlock

Row = tuple[Any, ...]


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def table(network: nn.Module) -> list[Row]:
    """What a network is made of, layer by layer, in the order in which it runs."""
    rows: list[Row] = []
    match network:
        case ResidualBlock():
            return [("residual", *table(network.body))]
        case nn.Sequential():
            for layer in network:
                rows += table(layer)
        case nn.ConvTranspose2d():
            assert network.groups == 1 and network.dilation == (1, 1)
            rows = [
                ("transposed", network.in_channels, network.out_channels, network.kernel_size[0], network.stride[0])
            ]
        case nn.Conv2d():
            assert network.groups == 1 and network.dilation == (1, 1) and network.padding_mode in ("zeros", "reflect")
            rows = [("conv", network.in_channels, network.out_channels, network.kernel_size[0], network.stride[0])]
        case nn.InstanceNorm2d():
            assert network.weight is None and network.bias is None
            assert network.running_mean is None and network.running_var is None
            rows = [("instance norm", network.num_features)]
        case nn.GroupNorm():
            assert network.num_groups == 1
            rows = [("layer norm", network.num_channels)]
        case nn.LeakyReLU():
            rows = [("leaky", network.negative_slope)]
        case nn.Upsample():
            assert network.mode == "nearest" and network.scale_factor == 2
            rows = [("nearest ×2",)]
        case nn.Tanh():
            rows = [("tanh",)]
        case nn.Identity():
            pass
        case _:
            raise AssertionError(f"no such layer in the paper: {network}")
    return rows


def residual(channels: int) -> Row:
    """A residual block's row."""
    conv = ("conv", channels, channels, 3, 1)
    norm = ("instance norm", channels)
    return ("residual", conv, norm, ("leaky", 0.0), conv, norm)


def count(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
