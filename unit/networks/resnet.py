"""CUT's generator: CycleGAN's with anti-aliased changes of size (Zhang 2019), whose encoder gives features."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.networks.blocks import ResidualBlock, conv_block


class Blur(nn.Module):
    """Every second pixel, after the kernel [1, 2, 1] / 4 along both sides: (B, C, H, W) → (B, C, H/2, W/2)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", line[:, None] * line, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.to(x.dtype).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])


class ResnetGenerator(nn.Module):
    """Conv 7, two convolutions of stride 1 that double the width, each blurred to half the size, residual blocks, the
    same way up (bilinear ×2, which is the kernel [1, 3, 3, 1] / 4, and a convolution), conv 7 and tanh: (B, in, H, W) →
    (B, out, H, W) in [-1, 1]. With width 64 and 9 blocks it has 11,378,179 parameters.
    """

    def __init__(self, channels_in: int, channels_out: int, *, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        options: dict[str, Any] = {"norm": "instance", "slope": 0.0, "bias": True}
        deep = 4 * width
        self.first = conv_block(channels_in, width, kernel=7, padding="reflect", **options)
        self.down = nn.ModuleList(conv_block(n, 2 * n, kernel=3, **options) for n in (width, 2 * width))
        self.blur = Blur()
        self.blocks = nn.ModuleList(ResidualBlock(deep, padding="reflect", bias=True) for _ in range(blocks))
        doubled = nn.Upsample(scale_factor=2, mode="bilinear")
        self.up = nn.Sequential(
            *(nn.Sequential(doubled, conv_block(n, n // 2, kernel=3, **options)) for n in (deep, 2 * width)),
            nn.Conv2d(width, channels_out, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )
        self.feature_blocks = sorted({0, blocks // 2})

    @property
    def feature_widths(self) -> list[int]:
        """The channels of the features."""
        first = self.first[0]
        assert isinstance(first, nn.Conv2d)
        width = first.out_channels
        return [first.in_channels, 2 * width, 4 * width] + [4 * width] * len(self.feature_blocks)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the blocks give, and features (B, Cᵢ, Hᵢ, Wᵢ): the image, padded as its first convolution sees it, the
        two convolutions that double the width, before their norms, and the first and the middle residual block."""
        features = [F.pad(x, (3, 3, 3, 3), mode="reflect")]
        h = self.first(x)
        for layer in self.down:
            assert isinstance(layer, nn.Sequential)
            h = layer[0](h)
            features.append(h)
            h = self.blur(layer[1:](h))
        for number, block in enumerate(self.blocks):
            h = block(h)
            if number in self.feature_blocks:
                features.append(h)
        return h, features

    def decode(self, h: Tensor) -> Tensor:
        """The image of what the blocks give."""
        image: Tensor = self.up(h)
        return image

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


class Projections(nn.Module):
    """H of CUT: for each layer of features a perceptron of two linear layers, with ReLU between them, and unit length:
    vectors (n, Cᵢ) each → (n, width) each."""

    def __init__(self, widths: Sequence[int], *, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(n, width), nn.ReLU(), nn.Linear(width, width)) for n in widths
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [F.normalize(layer(x), dim=-1, eps=1e-7) for layer, x in zip(self.layers, features, strict=True)]
