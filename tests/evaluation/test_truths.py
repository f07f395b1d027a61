"""The answers that a translation is scored beside, by hand."""

from pathlib import Path

import pytest
import torch
from inverters import Inverter, noise_images, set_of

from unit.data.images import write_image
from unit.evaluation.truths import answers, derangement, mean_color, other_truths


@pytest.mark.parametrize("count", [2, 3, 10, 275])
def test_derangement_moves_everything(count: int) -> None:
    other = derangement(count, seed=1)
    assert sorted(other.tolist()) == list(range(count))
    assert bool((other != torch.arange(count)).all())
    assert torch.equal(other, derangement(count, seed=1))
    with pytest.raises(ValueError, match="at least 2"):
        derangement(1, seed=1)


def test_the_mean_color_counts_each_image_alike() -> None:
    images = [torch.full((3, 2, 2), 10, dtype=torch.uint8), torch.full((3, 20, 20), 31, dtype=torch.uint8)]
    images[0][0] = 0
    assert mean_color(images).tolist() == [16, 20, 20]  # 15.5 and 20.5 are rounded to even


def test_anothers_truth_is_scaled_to_the_size() -> None:
    small, large = torch.full((1, 2, 2), 7, dtype=torch.uint8), torch.full((1, 4, 6), 9, dtype=torch.uint8)
    first, second = other_truths([small, large], seed=0)
    assert torch.equal(first, torch.full_like(small, 9)) and torch.equal(second, torch.full_like(large, 7))


def test_a_model_stands_beside_two_answers_that_look_at_no_image(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        noise_images(tmp_path / folder, (4, 4), seed=3)
    write_image(tmp_path / "testB" / "1.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    write_image(tmp_path / "testA" / "1.png", torch.full((3, 4, 4), 255, dtype=torch.uint8))
    images = set_of(Inverter(), tmp_path)
    found = {name: list(each) for name, each in answers(images, "a2b").items()}
    assert list(found) == ["model", "constant color", "another image"]
    assert torch.equal(found["model"][1], images.test_b[1])
    assert torch.equal(found["another image"][0], images.test_b[1])
    assert torch.equal(found["another image"][1], images.test_b[0])
    assert all(torch.equal(image[:, 0, 0], mean_color(images.test_b)) for image in found["constant color"])
    given = {name: list(each) for name, each in answers(images, "b2a", constant=(1, 2, 3)).items()}
    assert given["constant color"][0][:, 1, 1].tolist() == [1, 2, 3]


def test_one_image_has_no_other(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        noise_images(tmp_path / folder, (4, 4))
    assert list(answers(set_of(Inverter(), tmp_path), "a2b")) == ["model", "constant color"]
