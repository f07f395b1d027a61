"""One autoencoder: an encoder giving q(z|x) and a decoder giving p(x|z). Every model here is built of these."""

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from unit.core.posterior import Posterior, PosteriorKind, build_posterior

E = TypeVar("E", bound=nn.Module)
D = TypeVar("D", bound=nn.Module)


class Autoencoder(nn.Module, Generic[E, D]):
    """An encoder x ↦ q(z|x) and a decoder z ↦ x̂. Two autoencoders may hold the same module objects in parts of theirs.

    Either may be told a condition c, such as a one-hot label, which is concatenated to its input. What a decoder's
    output means is the likelihood's to say.
    """

    def __init__(self, encoder: E, decoder: D, *, posterior: PosteriorKind = "unit") -> None:
        super().__init__()
        self.encoder: E = encoder
        self.decoder: D = decoder
        self.posterior: PosteriorKind = posterior

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Posterior:
        """q(z|x) or q(z|x, c) of a batch of images."""
        return build_posterior(self.encoder(joined(x, condition)), self.posterior)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The decoder's output: the parameters of p(x|z) or p(x|z, c)."""
        output: Tensor = self.decoder(joined(z, condition))
        return output

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """The reconstruction of x through a code sampled with `noise`, or through its mean."""
        return self.decode(self.encode(x).sample(noise))


def joined(x: Tensor, condition: Tensor | None) -> Tensor:
    """x (B, …), flattened, with a condition (B, c) behind it: (B, n + c); without one x as it is."""
    return x if condition is None else torch.cat([x.flatten(1), condition], dim=1)
