"""PatchNCE by hand."""

import math

import pytest
import torch

from unit.losses.patch_contrast import patch_contrast, places


def test_by_hand() -> None:
    """Two places with orthogonal keys: e^(1/τ) against 1 at the first, where query and key are one; the second query is
    the first's key, so its positive is the smaller."""
    key = torch.eye(2, dtype=torch.float64)[None]
    query = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], dtype=torch.float64)
    right = -math.log(math.exp(2) / (math.exp(2) + 1))
    wrong = -math.log(1 / (math.exp(2) + 1))
    assert patch_contrast(query, key, temperature=0.5).item() == pytest.approx((right + wrong) / 2, rel=1e-6)


def test_negatives_are_of_the_same_image_and_keys_get_no_gradient() -> None:
    torch.manual_seed(0)
    query, key = (torch.nn.functional.normalize(torch.randn(3, 5, 4), dim=-1).requires_grad_() for _ in range(2))
    loss = patch_contrast(query, key)
    one_by_one = torch.stack([patch_contrast(q[None], k[None]) for q, k in zip(query, key, strict=True)])
    torch.testing.assert_close(loss, one_by_one.mean())
    loss.backward()
    assert query.grad is not None and key.grad is None


def test_places_are_picked_by_number_row_by_row() -> None:
    features = torch.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 4)
    picked = places(features, torch.tensor([5, 0]))
    assert picked.shape == (2, 2, 3)
    assert torch.equal(picked[1, 0], features[1, :, 1, 1]) and torch.equal(picked[0, 1], features[0, :, 0, 0])
