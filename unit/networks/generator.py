"""The generator (the VAE's decoder): a code to an image, (B, width·2ⁿ, h, w) → (B, C, h·2ⁿ, w·2ⁿ) in [-1, 1].

Its `shared` part, the high-level beginning, is the same module object in both domains' generators; its `private`
part is a domain's own (UNIT, section 3 and appendix A).
"""

from torch import Tensor, nn

from unit.networks.blocks import Norm, Padding, Upsampling, residual_blocks, upsampling_block


class Generator(nn.Module):
    """`private(shared(z))`."""

    def __init__(self, shared: nn.Module, private: nn.Module) -> None:
        super().__init__()
        self.shared = shared
        self.private = private

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.private(self.shared(z))
        return image


def generator_private(
    channels: int,
    *,
    width: int = 64,
    upsamplings: int = 2,
    blocks: int = 3,
    upsampling: Upsampling = "transposed",
    kernel: int = 3,
    last_kernel: int = 1,
    norm: Norm = "none",
    slope: float = 0.01,
    padding: Padding = "zeros",
    bias: bool | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A domain's own layers: `blocks` residual blocks, `upsamplings` doublings of the size that halve the width, and
    a last convolution to the image's channels with tanh (the paper: 3 blocks, 128–64, kernel 1)."""
    layers: list[nn.Module] = [
        residual_blocks(blocks, width << upsamplings, padding=padding, bias=bias, dropout=dropout)
    ]
    for level in reversed(range(upsamplings)):
        wide = width << level
        layers.append(
            upsampling_block(
                2 * wide,
                wide,
                upsampling=upsampling,
                kernel=kernel,
                norm=norm,
                slope=slope,
                padding=padding,
                bias=bias,
            )
        )
    last = nn.Conv2d(width, channels, last_kernel, padding=last_kernel // 2, padding_mode=padding)
    return nn.Sequential(*layers, last, nn.Tanh())
