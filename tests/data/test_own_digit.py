"""A picture of one's own digit becomes one like MNIST's, whatever its ground, size and place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unit.data.decoding import ImageError
from unit.data.own_digit import place, read_own_digit


def stroke(
    height: int = 300, width: int = 200, *, top: int = 40, left: int = 20
) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """A bar of 100 × 25 pixels and a foot, bright on black: an L."""
    picture = np.zeros((height, width), np.uint8)
    picture[top : top + 100, left : left + 25] = 220
    picture[top + 80 : top + 100, left : left + 60] = 220
    return picture


def save(path: Path, picture: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> Path:
    Image.fromarray(picture).save(path)
    return path


def test_ink_on_paper_and_chalk_on_a_board_are_the_same_digit(tmp_path: Path) -> None:
    board = read_own_digit(save(tmp_path / "board.png", stroke()), size=28)
    paper = read_own_digit(save(tmp_path / "paper.png", 250 - stroke()), size=28)
    assert torch.equal(board.pixels, paper.pixels)
    assert board.done == (
        "board.png: gray, not inverted, since its ground is black; "
        "the digit's 60×100 pixels scaled and centered in 28×28"
    )
    assert paper.done.startswith("paper.png: gray, inverted, since its ground is white; ")


def test_place_and_size_of_the_digit_do_not_matter(tmp_path: Path) -> None:
    one = read_own_digit(save(tmp_path / "one.png", stroke()), size=28).pixels
    other = read_own_digit(save(tmp_path / "other.png", stroke(500, 700, top=300, left=600)), size=28).pixels
    twice = read_own_digit(save(tmp_path / "twice.png", stroke().repeat(2, 0).repeat(2, 1)), size=28).pixels
    assert torch.equal(one, other)
    assert (one.int() - twice.int()).abs().max() <= 2


def test_it_is_scaled_into_twenty_pixels_and_centered_by_its_mass(tmp_path: Path) -> None:
    pixels = read_own_digit(save(tmp_path / "l.png", stroke()), size=28).pixels
    assert pixels.shape == (1, 28, 28) and pixels.dtype == torch.uint8 and pixels.max() == 255
    rows, columns = ((pixels[0] > 0).any(side).nonzero().flatten() for side in (1, 0))
    assert (len(rows), len(columns)) == (20, 12)
    mass = pixels[0].double() / pixels.sum()
    place = torch.arange(28) + 0.5
    assert abs(float((mass.sum(1) * place).sum()) - 14) <= 0.5
    assert abs(float((mass.sum(0) * place).sum()) - 14) <= 0.5


def test_faint_ground_is_cleared_and_color_channels_are_alike(tmp_path: Path) -> None:
    noisy = np.maximum(stroke(), np.random.default_rng(0).integers(0, 50, (300, 200), dtype=np.uint8))
    clean, seen = (read_own_digit(save(tmp_path / "x.png", x), size=28, channels=3).pixels for x in (stroke(), noisy))
    assert seen.shape == (3, 28, 28) and torch.equal(seen[0], seen[2])
    assert (clean.int() - seen.int()).abs().max() <= 40


def test_a_digit_by_hand() -> None:
    box = torch.zeros(20, 2)
    box[:, 0], box[:, 1] = 1.0, 1.0
    expected = torch.zeros(28, 28)
    expected[4:24, 13:15] = 1
    assert torch.allclose(place(box, 28), expected)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_sheet_has_no_digit(value: int, tmp_path: Path) -> None:
    path = save(tmp_path / "blank.png", np.full((30, 30), value, np.uint8))
    with pytest.raises(ImageError, match="no digit on it; expected dark ink on a white ground") as refusal:
        read_own_digit(path, size=28)
    assert "blank.png" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_single_dot_is_a_digit() -> None:
    dot: Tensor = place(torch.ones(1, 1), 28)
    assert dot.shape == (28, 28) and float(dot.max()) == 1.0
