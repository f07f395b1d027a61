"""The maps score against answers worked out by hand."""

import pytest
import torch
from torch import Tensor

from unit.evaluation.palette import MAPS_PALETTE, accuracies, tally

PALETTE = {"land": (200, 200, 200), "water": (0, 0, 200), "moon": (0, 0, 0)}


def image(*pixels: tuple[int, int, int]) -> Tensor:
    """One row of pixels: (3, 1, W)."""
    return torch.tensor(pixels, dtype=torch.uint8).T[:, None]


def land(width: int) -> list[tuple[int, int, int]]:
    return [(200, 200, 200)] * width


def shares(output: Tensor, truth: Tensor, **options: float) -> list[float]:
    """The shares of right pixels by the greatest difference and by the L2 norm."""
    return tally(output, truth, PALETTE, **options)[:2].tolist()


def test_tolerance_is_inclusive_and_the_norms_differ() -> None:
    truth = image(*land(4))
    output = image((216, 184, 200), (216, 200, 200), (217, 200, 200), (209, 209, 209))
    # Greatest difference 16, 16, 17, 9; L2 norm 22.6, 16, 17, 15.6.
    assert shares(output, truth) == [0.75, 0.5]
    assert shares(output, truth, tolerance=8)[0] == 0.0


def test_differences_do_not_wrap_around_in_uint8() -> None:
    assert shares(image((250, 0, 0)), image((4, 0, 0))) == [0, 0]
    assert shares(image((4, 0, 0)), image((250, 0, 0))) == [0, 0]


def test_classes_are_pooled_over_the_images_and_absent_ones_left_out() -> None:
    truth = [image(*land(3), (0, 0, 200)), image(*land(4))]
    output = [image(*land(4)), image(*land(2), (0, 0, 0), (0, 0, 0))]
    tallies = torch.stack([tally(x, y, PALETTE) for x, y in zip(output, truth, strict=True)])
    assert tallies[:, 2:].tolist() == [[3, 0, 0, 3, 1, 0], [2, 0, 0, 4, 0, 0]]
    found = accuracies(tallies.mean(0, keepdim=True))[0].tolist()
    assert found == pytest.approx([(3 / 4 + 2 / 4) / 2, (3 / 4 + 2 / 4) / 2, (5 / 7 + 0) / 2])
    assert accuracies(tallies)[:, 2].tolist() == [0.5, 0.5]  # of each image: land 1 and water 0; land alone


def test_a_pixel_of_no_class_counts_in_accuracy_alone() -> None:
    truth = image((200, 200, 200), (90, 90, 90))
    output = image((200, 200, 200), (0, 0, 0))
    assert accuracies(tally(output, truth, PALETTE)[None]).tolist() == [[0.5, 0.5, 1.0]]
    assert accuracies(tally(output, truth, {"none": (20, 20, 20)})[None])[:, 2].isnan().all()


def test_a_constant_image_scores_a_class_each_where_all_are_shown() -> None:
    truth = image(*MAPS_PALETTE.values())
    constant = torch.tensor(MAPS_PALETTE["park"], dtype=torch.uint8).view(3, 1, 1).expand_as(truth)
    assert float(accuracies(tally(constant, truth, MAPS_PALETTE)[None])[0, 2]) == pytest.approx(0.2)


def test_mistakes_are_told_in_one_line() -> None:
    truth = torch.zeros(3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"output: expected torch\.uint8 \(3, H, W\), got torch.float32 \(3, 4, 4\)"):
        tally(truth.float(), truth, PALETTE)
    with pytest.raises(ValueError, match=r"truth: expected .*got torch.uint8 \(1, 3, 4, 4\)"):
        tally(truth, truth[None], PALETTE)
    with pytest.raises(ValueError, match=r"expected one shape, got \(3, 4, 4\) and \(3, 3, 4\)"):
        tally(truth, truth[:, 1:], PALETTE)
