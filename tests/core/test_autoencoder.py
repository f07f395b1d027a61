"""One autoencoder: encode, sample, decode; conditions; shared modules."""

import pytest
import torch
import torch.nn.functional as F
from laws import close, gradient, normals
from torch import nn

from unit.core.autoencoder import Autoencoder, joined
from unit.core.posterior import PosteriorKind, UnitGaussian, encoder_channels


def linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
    layer.weight.data = normals(outputs, inputs, seed=seed)
    return layer


@pytest.mark.parametrize("kind", ["gaussian", "unit", "deterministic"])
def test_an_autoencoder_decodes_the_code_that_it_samples(kind: PosteriorKind) -> None:
    autoencoder = Autoencoder(linear(5, encoder_channels(2, kind), 0), linear(2, 5, 1), posterior=kind)
    x, noise = normals(3, 5, seed=2), normals(3, 2, seed=3)
    codes = x @ autoencoder.encoder.weight.T
    mu = codes[:, :2]
    sd = {"gaussian": torch.exp(codes[:, 2:] / 2), "unit": torch.ones_like(mu), "deterministic": torch.zeros_like(mu)}
    weight = autoencoder.decoder.weight
    close(autoencoder(x), mu @ weight.T)
    close(autoencoder(x, noise), (mu + sd[kind] * noise) @ weight.T)


def test_an_autoencoder_is_unit_variance_where_nothing_is_said() -> None:
    autoencoder = Autoencoder(linear(5, 2, 0), linear(2, 5, 1))
    assert isinstance(autoencoder.encode(normals(3, 5, seed=2)), UnitGaussian)


def test_a_condition_is_concatenated_behind_the_input() -> None:
    autoencoder = Autoencoder(linear(12 + 4, 2, 0), linear(2 + 4, 12, 1))
    x, z = normals(3, 1, 3, 4, seed=2), normals(3, 2, seed=3)
    condition = F.one_hot(torch.tensor([1, 3, 0]), 4).double()
    into_code, into_image = autoencoder.encoder.weight, autoencoder.decoder.weight
    expected = x.flatten(1) @ into_code[:, :12].T + into_code[:, [13, 15, 12]].T  # one more column, the label's own
    close(autoencoder.encode(x, condition).mu, expected)
    close(autoencoder.decode(z, condition), z @ into_image[:, :2].T + into_image[:, [3, 5, 2]].T)


def test_without_a_condition_the_input_keeps_its_shape() -> None:
    x = normals(3, 1, 3, 4, seed=0)
    assert joined(x, None) is x
    assert joined(x, normals(3, 2, seed=1)).shape == (3, 14)


def test_a_shared_module_appears_once_among_the_parameters() -> None:
    shared = linear(2, 3, 0)
    one, two = (Autoencoder(linear(5, 2, seed), nn.Sequential(shared, linear(3, 5, seed + 2))) for seed in (1, 2))
    both = nn.ModuleList([one, two])
    parameters = list(both.parameters())
    assert sum(parameter is shared.weight for parameter in parameters) == 1
    assert len(parameters) == 5  # two encoders, two ends of decoders, and what they share
    assert len(list(one.parameters())) == len(list(two.parameters())) == 3
    x_one, x_two = normals(4, 5, seed=5), normals(4, 5, seed=6)
    alone = gradient(one(x_one).square().sum(), shared.weight), gradient(two(x_two).square().sum(), shared.weight)
    together = gradient(one(x_one).square().sum() + two(x_two).square().sum(), shared.weight)
    close(together, alone[0] + alone[1])
    assert alone[0].abs().max() > 0
    assert alone[1].abs().max() > 0
