"""Strided encoders and decoders: the paper's widths, the sizes they take, and what they may not do."""

import pytest
import torch
from torch import nn

from unit.networks.strided import halvings, strided_decoder, strided_encoder


def convolutions(network: nn.Module) -> list[tuple[int, int]]:
    kinds = nn.Conv2d | nn.ConvTranspose2d
    return [(layer.in_channels, layer.out_channels) for layer in network.modules() if isinstance(layer, kinds)]


def test_at_64_pixels_the_widths_are_the_papers() -> None:
    """Larsen et al. 2016, table 1."""
    with torch.device("meta"):
        encoder, decoder = strided_encoder(64, 128, channels=3), strided_decoder(128, 64, channels=3)
    assert convolutions(encoder) == [(3, 64), (64, 128), (128, 256)]
    assert convolutions(decoder) == [(256, 256), (256, 128), (128, 32), (32, 3)]
    dense = [layer for network in (encoder, decoder) for layer in network if isinstance(layer, nn.Linear)]
    assert [(d.in_features, d.out_features) for d in dense] == [(16384, 2048), (2048, 128), (128, 16384)]


@pytest.mark.parametrize(
    ("side", "count"),
    [(8, 0), (16, 1), (20, 2), (28, 2), (30, 0), (32, 2), (48, 3), (64, 3), (96, 4), (128, 4), (7, 0)],
)
def test_sides_are_halved_to_8_pixels_or_fewer(side: int, count: int) -> None:
    assert halvings(side) == count


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 28, 32, 48, 64, 96, 128])
def test_decoders_give_what_encoders_take(side: int, channels: int) -> None:
    encoder, decoder = (build(4, side, channels) for build in (encoder_of, decoder_of))
    x = torch.rand(2, channels, side, side)
    z = encoder(x)
    assert z.shape == (2, 4) and decoder(z).shape == x.shape


def encoder_of(latent: int, side: int, channels: int) -> nn.Module:
    return strided_encoder(side, latent, channels=channels, width=2)


def decoder_of(latent: int, side: int, channels: int) -> nn.Module:
    return strided_decoder(latent, side, channels=channels, width=2)


def test_images_do_not_mix_and_every_weight_counts() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(encoder_of(4, 16, 1), decoder_of(4, 16, 1)).double()
    x = torch.rand(3, 1, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]), rtol=0, atol=1e-12)
    network(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
