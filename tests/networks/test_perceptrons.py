"""How perceptrons begin, and what is between their layers."""

import math

import pytest
import torch
from laws import worst_z
from torch import nn

from unit.networks.codes import initialize, mlp
from unit.networks.dropout import Dropout, dropping
from unit.networks.norms import BatchNorm


def wide() -> nn.Sequential:
    torch.manual_seed(0)
    return mlp(300, [200], 100, ["relu"])


def test_he_s_weights_have_the_variance_of_two_over_their_inputs() -> None:
    network = wide()
    initialize(network, "he")
    for layer, n_in in ((network[1], 300), (network[3], 200)):
        assert isinstance(layer, nn.Linear)
        weights = layer.weight.detach().double().flatten()
        assert worst_z(weights, torch.zeros(1).double()) < 4
        assert worst_z(weights.square(), torch.tensor(2 / n_in).double()) < 4
        assert weights.abs().max() > 3 * math.sqrt(2 / n_in)  # normal, not uniform
        assert not layer.bias.any()


def test_xavier_s_weights_are_uniform_within_their_bound() -> None:
    network = wide()
    initialize(network, "xavier")
    for layer, both in ((network[1], 500), (network[3], 300)):
        assert isinstance(layer, nn.Linear)
        weights, bound = layer.weight.detach().double().flatten(), math.sqrt(6 / both)
        assert 0.999 * bound < weights.abs().max() < bound
        assert worst_z(weights.square(), torch.tensor(bound**2 / 3).double()) < 4
        assert not layer.bias.any()


def test_torch_s_own_are_left_as_they_are() -> None:
    one, other = wide(), wide()
    initialize(one, "torch")
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_convolutions_and_all_others_begin_alike() -> None:
    network = nn.Sequential(nn.Conv2d(3, 50, 5), BatchNorm(50, group=2), nn.ConvTranspose2d(50, 20, 3))
    initialize(network, "he")
    convolution, norm, _ = network
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None and not convolution.bias.any()
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / 75), rel=0.05)
    assert isinstance(norm, BatchNorm) and torch.equal(norm.weight, torch.ones(50))


def test_a_norm_stands_before_the_activation_and_dropout_behind_it() -> None:
    network = mlp(4, [6, 5], 2, ["tanh", "relu"], norm=lambda width: BatchNorm(width, group=2), dropout=0.25)
    kinds = [type(layer) for layer in network]
    assert kinds == [
        nn.Flatten, nn.Linear, BatchNorm, nn.Tanh, Dropout, nn.Linear, BatchNorm, nn.ReLU, Dropout, nn.Linear,
    ]  # fmt: skip
    assert list(map(type, mlp(4, [6], 2, ["elu"]))) == [nn.Flatten, nn.Linear, nn.ELU, nn.Linear]


def test_what_is_not_dropped_is_enlarged() -> None:
    network = mlp(2, [4], 1, ["relu"], dropout=0.5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    x = torch.tensor([[1.0, 2.0]])
    with dropping(network, lambda shape, key: torch.tensor([[1.0, -1.0, 1.0, -1.0]])):
        assert network(x).item() == 2 * (2 * 4) + 1
    assert network.eval()(x).item() == 4 * 4 + 1
