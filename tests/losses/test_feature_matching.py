"""Feature matching by hand."""

import pytest
import torch

from unit.losses.feature_matching import feature_matching


def test_by_hand_over_groups_and_layers() -> None:
    """Layer one, groups of 2: means 2 and 1 of real less 0 and 0 → (4 + 1)/2; layer two: 3 − 1 in both → 4."""
    real = [torch.tensor([1.0, 3.0, 1.0, 1.0]).reshape(4, 1, 1, 1), torch.full((4, 2, 1, 1), 3.0)]
    fake = [torch.tensor([-1.0, 1.0, 2.0, -2.0]).reshape(4, 1, 1, 1), torch.full((4, 2, 1, 1), 1.0)]
    assert feature_matching(real, fake, group=2).item() == pytest.approx(2.5 + 4)
    assert feature_matching(real, fake, group=4).item() == pytest.approx(1.5**2 + 4)


def test_only_generated_images_get_a_gradient() -> None:
    real, fake = torch.ones(2, 1, 1, 1, requires_grad=True), torch.zeros(2, 1, 1, 1, requires_grad=True)
    feature_matching([real], [fake], group=2).backward()
    assert real.grad is None and fake.grad is not None and fake.grad.flatten().tolist() == [-1.0, -1.0]
