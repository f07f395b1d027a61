"""The noise of a denoising model: what it is, and that intensities stay in [0, 1]."""

import pytest
import torch
from laws import normals, uniforms

from unit.core.noise import noisy


def test_by_hand() -> None:
    x = torch.tensor([0.2, 0.2, 0.2, 0.9])
    assert noisy(x, torch.tensor([1.0, -1.0, 0.0, 2.0]), sd=0.3).tolist() == pytest.approx([0.5, 0.0, 0.2, 1.0])
    # A half of N(0, 1) lies within 0.6745 of 0.
    assert noisy(x, torch.tensor([0.68, -0.68, 0.67, -0.67]), salt_pepper=0.5).tolist() == pytest.approx(
        [1, 0, 0.2, 0.9]
    )
    assert noisy(x, torch.tensor([0.1, -0.1, 3.0, -3.0]), salt_pepper=1).tolist() == [1, 0, 1, 0]
    assert torch.equal(noisy(x, torch.ones(4)), x)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_salt_and_pepper_are_as_many_and_the_others_are_kept(share: float) -> None:
    x = 0.1 + 0.8 * uniforms(400, 400, seed=0)
    seen = noisy(x, normals(400, 400, seed=1), salt_pepper=share)
    assert (seen == 0).double().mean() == pytest.approx(share / 2, abs=0.004)
    assert (seen == 1).double().mean() == pytest.approx(share / 2, abs=0.004)
    kept = (seen > 0) & (seen < 1)
    assert torch.equal(seen[kept], x[kept])
