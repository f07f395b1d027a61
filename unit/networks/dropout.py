"""Dropout whose masks are drawn by key, like every other draw: the same after a resume and on any number of processes.

Where a network holds `Dropout`, it is called within `dropping(network, draw)`.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Draw = Callable[[tuple[int, ...], str], Tensor]
"""`draw(shape, key)`: N(0, 1) numbers of that shape, of which the first dimension is the images of a batch; or of one
that can be broadcast to it."""


class Dropout(nn.Module):
    """Zero each element with probability p, and divide those that are left by 1 − p (Srivastava et al. 2014).

    Without a draw it passes its input on in evaluation, and raises RuntimeError in training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        assert 0 <= p < 1
        self.p = p
        self.draw: Draw | None = None
        self.key = ""
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.draw is None:
            if self.training and self.p:
                raise RuntimeError("dropout: a network in training is called within `dropping`, which draws its masks")
            return x
        noise = self.draw(tuple(x.shape), f"{self.key} {self.calls}")
        self.calls += 1
        return x * (noise > self.threshold).to(x.dtype) / (1 - self.p)

    @property
    def threshold(self) -> float:
        """What N(0, 1) is below with probability p."""
        return math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * self.p - 1, dtype=torch.float64)))


@contextmanager
def dropping(network: nn.Module, draw: Draw) -> Iterator[None]:
    """Within this context the network's dropout layers take their masks from `draw`, under a key of the layer's name
    and the number of the call."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, Dropout) and module.p]
    for name, layer in layers:
        layer.draw, layer.key, layer.calls = draw, name, 0
    try:
        yield
    finally:
        for _, layer in layers:
            layer.draw = None
