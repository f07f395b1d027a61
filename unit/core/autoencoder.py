"""One autoencoder: an encoder giving q(z|x) and a decoder giving p(x|z). Every model here is built of these."""

from typing import Generic, TypeVar

from torch import Tensor, nn

from unit.core.posterior import UnitGaussian

E = TypeVar("E", bound=nn.Module)
D = TypeVar("D", bound=nn.Module)


class Autoencoder(nn.Module, Generic[E, D]):
    """An encoder x ↦ μ and a decoder z ↦ x̂. Two autoencoders may hold the same module objects in parts of theirs."""

    def __init__(self, encoder: E, decoder: D) -> None:
        super().__init__()
        self.encoder: E = encoder
        self.decoder: D = decoder

    def encode(self, x: Tensor) -> UnitGaussian:
        """q(z|x) of a batch of images."""
        return UnitGaussian(self.encoder(x))

    def decode(self, z: Tensor) -> Tensor:
        """The mean image of p(x|z)."""
        image: Tensor = self.decoder(z)
        return image

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """The reconstruction of x through z = μ + noise."""
        return self.decode(self.encode(x).sample(noise))
