"""The maps score against answers worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from unit.evaluation.palette import MAPS_PALETTE, balanced_accuracy, derangement, maps_score, pixel_accuracy

PALETTE = {"land": (200, 200, 200), "water": (0, 0, 200), "moon": (0, 0, 0)}


def image(*pixels: tuple[int, int, int]) -> Tensor:
    """One row of pixels: (3, 1, W)."""
    return torch.tensor(pixels, dtype=torch.uint8).T[:, None]


def land(width: int) -> list[tuple[int, int, int]]:
    return [(200, 200, 200)] * width


def test_tolerance_is_inclusive_and_the_norms_differ() -> None:
    truth = image(*land(4))[None]
    output = image((216, 184, 200), (216, 200, 200), (217, 200, 200), (209, 209, 209))[None]
    # Greatest difference 16, 16, 17, 9; L2 norm 22.6, 16, 17, 15.6.
    assert pixel_accuracy(output, truth) == 0.75
    assert pixel_accuracy(output, truth, norm="l2") == 0.5
    assert pixel_accuracy(output, truth, tolerance=8) == 0.0


def test_differences_do_not_wrap_around_in_uint8() -> None:
    assert pixel_accuracy(image((250, 0, 0))[None], image((4, 0, 0))[None]) == 0.0
    assert pixel_accuracy(image((4, 0, 0))[None], image((250, 0, 0))[None], norm="l2") == 0.0


def test_balanced_accuracy_pools_the_images_and_leaves_out_absent_classes() -> None:
    truth = [image(*land(3), (0, 0, 200)), image(*land(4))]
    output = [image(*land(4)), image(*land(2), (0, 0, 0), (0, 0, 0))]
    balanced = balanced_accuracy(output, truth, palette=PALETTE)
    assert balanced.recall == {"land": 5 / 7, "water": 0.0}
    assert balanced.share == {"land": 7 / 8, "water": 1 / 8}
    assert balanced.absent == ("moon",)
    assert balanced.mean == pytest.approx(5 / 14)


def test_a_pixel_of_no_class_counts_in_accuracy_alone() -> None:
    truth = image((200, 200, 200), (90, 90, 90))[None]
    output = image((200, 200, 200), (0, 0, 0))[None]
    assert pixel_accuracy(output, truth) == 0.5
    assert balanced_accuracy(output, truth, palette=PALETTE).mean == 1.0


def test_arrays_tensors_and_iterators_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(180, 256, (3, 3, 5, 4), generator=generator, dtype=torch.uint8)
    output = torch.randint(180, 256, (3, 3, 5, 4), generator=generator, dtype=torch.uint8)
    expected = pixel_accuracy(output, truth)
    assert 0 < expected < 1
    assert pixel_accuracy(iter(output), iter(truth)) == expected
    assert pixel_accuracy(output.numpy(), truth.numpy()) == expected
    difference = np.abs(output.numpy().astype(int) - truth.numpy().astype(int)).max(axis=1)
    assert expected == pytest.approx((difference <= 16).mean())


@pytest.mark.parametrize("count", [2, 3, 10, 275])
def test_derangement_moves_everything(count: int) -> None:
    other = derangement(count, seed=1)
    assert sorted(other.tolist()) == list(range(count))
    assert bool((other != torch.arange(count)).all())
    assert torch.equal(other, derangement(count, seed=1))


def test_baselines_of_a_perfect_model_by_hand() -> None:
    # Two maps: the first all land, the second half land, half water. Each gets the other's map.
    truth = torch.stack([image(*land(4)), image(*land(2), (0, 0, 200), (0, 0, 200))])
    score = maps_score(truth, truth, palette=PALETTE, constant=(200, 200, 200), seed=3)
    assert (score.model.max, score.model.l2, score.model.balanced.mean) == (1.0, 1.0, 1.0)
    assert (score.constant.max, score.constant.balanced.mean) == (0.75, 0.5)
    assert (score.other.max, score.other.l2) == (0.5, 0.5)
    assert score.other.balanced.recall == {"land": 4 / 6, "water": 0.0}


def test_a_constant_image_scores_a_class_each_where_all_are_shown() -> None:
    truth = torch.stack([image(*MAPS_PALETTE.values())] * 2)
    score = maps_score(truth, truth, constant=MAPS_PALETTE["park"])
    assert score.constant.balanced.mean == pytest.approx(0.2)


def test_mistakes_are_told_in_one_line() -> None:
    truth = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        pixel_accuracy(truth.float(), truth)
    with pytest.raises(ValueError, match="one shape"):
        pixel_accuracy(truth[:1], truth)
    with pytest.raises(ValueError, match="one shape"):
        pixel_accuracy([truth[0], truth[1, :, 1:]], truth)
    with pytest.raises(ValueError, match="norm is 'l1'"):
        pixel_accuracy(truth, truth, norm="l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 2"):
        maps_score(truth[:1], truth[:1], palette=PALETTE)
    with pytest.raises(ValueError, match="no pixel"):
        balanced_accuracy(truth, truth, palette={"land": (200, 200, 200)})
    with pytest.raises(ValueError, match="between 0 and 255"):
        maps_score(truth, truth, palette=PALETTE, constant=(300, 0, 0))
