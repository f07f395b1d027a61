"""Networks for small images and their codes: multi-layer perceptrons, and small convolutional encoders and decoders.

Images are float (B, C, side, side); codes and conditions (B, n).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from unit.networks.dropout import Dropout

Activation = Literal["relu", "elu", "tanh", "leaky_relu", "softplus"]
Init = Literal["torch", "he", "xavier"]
WIDTHS = ((32, 1), (64, 2), (64, 2), (64, 1))
"""Channels and stride of the convolutions."""


def activation_layer(activation: Activation) -> nn.Module:
    match activation:
        case "relu":
            return nn.ReLU()
        case "elu":
            return nn.ELU()
        case "tanh":
            return nn.Tanh()
        case "leaky_relu":
            return nn.LeakyReLU()
        case "softplus":
            return nn.Softplus()


class Centered(nn.Module):
    """x less the mean of all images, a buffer that is 0 until it is set: (B, …) → the same shape."""

    mean: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.mean


def mlp(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    activations: Sequence[Activation],
    *,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers of widths `hidden`, each with its activation, before it a norm of that width, if any, and after it
    dropout, if that is not 0; and a linear one to n_out: (B, …) → (B, n_out)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for (narrow, wide), activation in zip(itertools.pairwise([n_in, *hidden]), activations, strict=True):
        normalize = [] if norm is None else [norm(wide)]
        drop = [Dropout(dropout)] if dropout else []
        layers += [nn.Linear(narrow, wide), *normalize, activation_layer(activation), *drop]
    return nn.Sequential(*layers, nn.Linear([n_in, *hidden][-1], n_out))


class ConditionalMLP(nn.Module):
    """The perceptron of x and a condition c, concatenated: (…, n) and (…, k), which are broadcast, → (…, n_out).

    Its first layer is split in one for x and one for c, so that many conditions of one x share what x costs.
    """

    def __init__(
        self, n_in: int, conditions: int, hidden: Sequence[int], n_out: int, activations: Sequence[Activation]
    ) -> None:
        super().__init__()
        first, *rest = hidden
        self.x = nn.Linear(n_in + conditions, first)
        self.n_in = n_in
        self.rest = nn.Sequential(activation_layer(activations[0]), *mlp(first, rest, n_out, activations[1:])[1:])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        of_x, of_c = self.x.weight[:, : self.n_in], self.x.weight[:, self.n_in :]
        output: Tensor = self.rest(nn.functional.linear(x, of_x, self.x.bias) + nn.functional.linear(condition, of_c))
        return output


def conv_encoder(side: int, n_out: int, *, channels: int = 1) -> nn.Sequential:
    """Convolutions of kernel 3 (32, 64 with stride 2, 64 with stride 2, 64), LeakyReLU, and a linear layer:
    (B, channels, side, side) → (B, n_out), for sides that are multiples of 4."""
    layers: list[nn.Module] = []
    for width, stride in WIDTHS:
        layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.LeakyReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (side // 4) ** 2, n_out))


def conv_decoder(n_in: int, side: int, *, channels: int = 1) -> nn.Sequential:
    """The mirror image of `conv_encoder`: (B, n_in) → (B, channels, side, side)."""
    first = (WIDTHS[-1][0], side // 4, side // 4)
    layers: list[nn.Module] = [nn.Linear(n_in, first[0] * first[1] * first[2]), nn.LeakyReLU(), nn.Unflatten(1, first)]
    for (width, stride), (narrower, _) in itertools.pairwise([*reversed(WIDTHS), (channels, 1)]):
        layers += [nn.ConvTranspose2d(width, narrower, 3, stride, 1, output_padding=stride - 1), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])


class CodeDiscriminators(nn.Module):
    """A discriminator for each part of a code: (B, nᵢ, …) each → a list of logits (B, 1, …) each."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, *codes: Tensor) -> list[Tensor]:
        return [part(code) for part, code in zip(self.parts, codes, strict=True)]


def vector_discriminators(dimensions: Sequence[int], *, hidden: Sequence[int]) -> CodeDiscriminators:
    """Perceptrons with ReLU, one for each part of a code that is a vector: (B, nᵢ) → logits (B, 1)."""
    activations: list[Activation] = ["relu"] * len(hidden)
    return CodeDiscriminators(*(mlp(n, hidden, 1, activations) for n in dimensions))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """float (B, classes)."""
    return torch.nn.functional.one_hot(labels, classes).float()


def initialize(network: nn.Module, init: Init) -> None:
    """Draw the weights of linear layers and convolutions anew, and set their biases to 0; `torch` leaves all as it is.

    `he`: N(0, 2/n_in) (He et al., Delving Deep into Rectifiers, 2015); `xavier`: uniform in ±√(6/(n_in + n_out))
    (Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010).
    """
    if init == "torch":
        return
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if init == "he":
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
