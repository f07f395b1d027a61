"""Dropout by key: masks, their rate, and what it does without a draw."""

import pytest
import torch
from torch import nn

from unit import draws
from unit.networks.dropout import Dropout, dropping


def draw(shape: tuple[int, ...], key: str) -> torch.Tensor:
    return draws.normals(shape[1:], 7, key, positions=range(shape[0]), device=torch.device("cpu"))


def test_by_hand() -> None:
    layer = Dropout(0.5)
    with dropping(layer, lambda shape, key: torch.tensor([[-1.0, 0.1, 2.0, -0.1]])):
        assert layer(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[0.0, 4.0, 6.0, 0.0]]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_drops_a_share_p_and_keeps_the_mean(p: float) -> None:
    layer = Dropout(p)
    with dropping(layer, draw):
        y = layer(torch.ones(4, 100, 100))
    assert (y == 0).double().mean() == pytest.approx(p, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.05)


def test_a_mask_is_a_function_of_layer_and_call_and_is_one_image_s_own() -> None:
    network = nn.Sequential(Dropout(0.5), Dropout(0.5))
    x = torch.ones(3, 64)
    with dropping(network, draw):
        first, second = network[0](x), network[0](x)
        other = network[1](x)
    with dropping(network, draw):
        again = network[0](x)
        assert torch.equal(network[0](x[:2]), second[:2])
    assert torch.equal(first, again)
    assert not torch.equal(first, second) and not torch.equal(first, other)


def test_without_a_draw_it_is_the_identity_in_evaluation_and_an_error_in_training() -> None:
    layer, x = Dropout(0.5), torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="within `dropping`"):
        layer(x)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
