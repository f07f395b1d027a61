"""Batch norm over groups: by hand, against torch's, and however a batch is divided."""

import pytest
import torch
from torch import nn

from unit.networks.norms import BatchNorm, Standardize


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    norm = BatchNorm(1, group=2, eps=1e-30, running=False).double()
    x = torch.tensor([[1.0], [3.0], [10.0], [30.0]], dtype=torch.float64)
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(0.5)
    torch.testing.assert_close(norm(x), torch.tensor([[-1.5], [2.5], [-1.5], [2.5]], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(6, 3, 4, 5), (6, 3)])
def test_of_the_whole_batch_it_is_torchs_in_training_and_evaluation(shape: tuple[int, ...]) -> None:
    own = BatchNorm(3, group=6).double()
    theirs = (nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)).double()
    for seed in range(3):
        x = numbers(*shape, seed=seed)
        torch.testing.assert_close(own(x), theirs(x), rtol=0, atol=1e-12)
    own.eval()
    theirs.eval()
    torch.testing.assert_close(own(x), theirs(x), rtol=0, atol=1e-12)


def test_each_group_is_normalized_alone_with_the_same_gradients() -> None:
    norm, parts = BatchNorm(3, group=2).double(), BatchNorm(3, group=2).double()
    x = numbers(6, 3, 4, 5)
    whole = norm(x)
    (whole.square() * numbers(6, 3, 4, 5, seed=1)).sum().backward()
    weights = numbers(6, 3, 4, 5, seed=1).split(2)
    for part, weight in zip(x.split(2), weights, strict=True):
        (parts(part).square() * weight).sum().backward()
    for one, other in zip(norm.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole, torch.cat([parts(part) for part in x.split(2)]), rtol=0, atol=1e-12)


def test_running_statistics_move_with_the_first_group_of_passes_that_have_a_gradient() -> None:
    norm = BatchNorm(1, group=2).double()
    x = torch.tensor([[1.0], [3.0], [100.0], [200.0]], dtype=torch.float64)
    assert norm.running is not None
    with torch.no_grad():
        norm(x)
    assert norm.running.mean == 0 and norm.running.variance == 1
    norm(x)
    assert norm.running.mean == pytest.approx(0.2) and norm.running.variance == pytest.approx(0.9 + 0.1 * 2)
    norm.eval()
    norm(x)
    assert norm.running.mean == pytest.approx(0.2)


def test_without_them_an_evaluation_normalizes_each_image_by_its_own() -> None:
    norm = BatchNorm(3, group=2, running=False).double().eval()
    x = numbers(3, 3, 4, 5)
    torch.testing.assert_close(norm(x), nn.InstanceNorm2d(3)(x), rtol=0, atol=1e-12)
    assert not list(norm.buffers())


def test_a_part_of_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="3 images are no multiple of the 2 that are normalized together"):
        BatchNorm(1, group=2)(torch.zeros(3, 1))


def test_standardized_images_have_mean_0_and_deviation_1_by_hand() -> None:
    standard = Standardize(2).double()
    x = torch.tensor([[[[0.2, 0.6]], [[-1.0, -1.0]]]], dtype=torch.float64)  # the second channel has one value
    torch.testing.assert_close(standard(x), x, rtol=0, atol=0)
    standard.measure(x)
    torch.testing.assert_close(standard(x), torch.tensor([[[[-1.0, 1.0]], [[0.0, 0.0]]]], dtype=torch.float64))
    brighter = standard(x + 2 / 255)  # by one gray level of 256, which is the least deviation
    expected = torch.tensor([[[[-1 + 2 / 51, 1 + 2 / 51]], [[1.0, 1.0]]]], dtype=torch.float64)
    torch.testing.assert_close(brighter, expected)
