"""A decoder that draws each pixel by itself, from its place and the code: a compositional pattern-producing network
(Stanley, Compositional pattern producing networks, 2007), which draws an image at any size.

The place is (x, y, r): x from left to right and y from top to bottom, -REACH to REACH from edge to edge at the pixels'
centers, and r = √(x² + y²).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unit.networks.codes import Activation, ConditionalMLP

REACH = 5.0
"""Coordinates at the edges: with larger ones the untrained network's images have more detail."""
PIXELS_AT_ONCE = 2**16


def coordinates(side: int, *, device: torch.device | str = "cpu") -> Tensor:
    """(x, y, r) of the pixels of a square, row by row: float (side², 3)."""
    line = REACH * ((2 * torch.arange(side, device=device) + 1) / side - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.hypot(x, y)], dim=-1).flatten(0, 1)


class CoordinateDecoder(nn.Module):
    """A perceptron of place and code: codes (B, n_in) → (B, channels, side, side), of the side given, or another.

    An image that is n times as large, n being odd, has the same pixels in the centers of its blocks of n × n.
    """

    def __init__(
        self, n_in: int, side: int, hidden: Sequence[int], activations: Sequence[Activation], *, channels: int = 1
    ) -> None:
        super().__init__()
        self.side = side
        self.pixel = ConditionalMLP(n_in, 3, tuple(hidden), channels, tuple(activations))

    def forward(self, z: Tensor, side: int | None = None) -> Tensor:
        side = side or self.side
        places = coordinates(side, device=z.device).to(z.dtype)
        rows = torch.cat([self.pixel(z[:, None], part) for part in torch.split(places, PIXELS_AT_ONCE)], dim=1)
        return rows.transpose(1, 2).reshape(len(z), -1, side, side)
