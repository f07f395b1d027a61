"""What is no image, or no direction, is a ValueError of one line that says what is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_kinds import inverter


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.full((3, 4, 4), 1.5), ["[-1, 1]", "1.5"]),
        (torch.full((3, 4, 4), -2.0), ["[-1, 1]", "-2"]),
        (torch.full((3, 4, 4), torch.nan), ["[-1, 1]", "nan"]),
        (torch.full((3, 4, 4), torch.inf), ["[-1, 1]", "inf"]),
        (torch.full((3, 4, 4), 200.0), ["[-1, 1]", "200"]),
        (torch.zeros(3, 4, 4, dtype=torch.int64), ["uint8", "int64"]),
        (torch.zeros(3, 4, 4, dtype=torch.bool), ["uint8", "bool"]),
        (torch.zeros(3, 4, 4, dtype=torch.complex64), ["uint8", "complex64"]),
        (torch.zeros(4, 4), ["(C, H, W)", "(4, 4)"]),
        (torch.zeros(1, 4, 4), ["C = 3", "a2b", "(1, 4, 4)"]),
        (torch.zeros(4, 4, 3), ["C = 3", "(4, 4, 3)"]),
        (torch.zeros(1, 1, 3, 4, 4), ["(1, 1, 3, 4, 4)"]),
        (torch.zeros(3, 0, 4), ["(3, 0, 4)"]),
        (torch.zeros(0, 3, 4, 4), ["(0, 3, 4, 4)"]),
        (np.zeros((4, 4, 3)), ["uint8", "float64"]),
        (np.zeros((4, 4, 3), np.float32), ["uint8", "float32", "tensor"]),
        (np.zeros((4, 4, 3), np.uint16), ["uint8", "uint16"]),
        (np.zeros((4, 4, 3), bool), ["uint8", "bool"]),
        (np.zeros(4, np.uint8), ["(H, W)", "(4,)"]),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), ["(1, 1, 4, 4, 3)"]),
        (np.zeros((4, 4), np.uint8), ["3 channels", "(4, 4)"]),
        (np.zeros((4, 4, 4), np.uint8), ["3 channels", "(4, 4, 4)"]),
        (np.zeros((3, 4, 4), np.uint8), ["3 channels last", "(3, 4, 4)"]),
        (np.zeros((0, 4, 3), np.uint8), ["(0, 4, 3)"]),
        (np.zeros((0, 4, 4, 3), np.uint8), ["(0, 4, 4, 3)"]),
        (np.array(["x"], object), ["uint8", "object"]),
        (None, ["NoneType"]),
        (3, ["int"]),
        (b"x.png", ["bytes"]),
        ({"image": 1}, ["dict"]),
        ([torch.zeros(3, 4, 4), 3], ["int"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and isinstance(value[-1], str) else "",
)
def test_images_of_other_ranges_dtypes_and_shapes_are_refused(image: Any, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^image: ") as refusal:
        inverter()(image)
    message = str(refusal.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_floats_may_be_beyond_the_range_by_what_resampling_adds() -> None:
    x = torch.full((3, 4, 4), 1.0005)
    assert torch.equal(inverter()(x), -x)
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        inverter()(x + 0.001)


def test_channels_are_those_of_the_directions_first_domain() -> None:
    translator = inverter(1, 3)
    with pytest.raises(ValueError, match="C = 1 for a2b"):
        translator(torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="C = 3 for b2a"):
        translator(torch.zeros(1, 4, 4), "b2a")
    with pytest.raises(ValueError, match="expected 1 channels last for a2b"):
        translator(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("direction", ["AtoB", "a2a", "A2B", "", None, 3])
@pytest.mark.parametrize("image", [torch.zeros(3, 4, 4), [], "nowhere.png"], ids=["tensor", "list", "path"])
def test_a_direction_that_there_is_not_lists_those_there_are(direction: Any, image: Any) -> None:
    with pytest.raises(ValueError, match=r"^direction: expected a2b or b2a, got "):
        inverter()(image, direction)


def test_paths_that_are_no_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(FileNotFoundError, match=r"no such image: .*nowhere"):
        inverter()(tmp_path / "nowhere.png")
    for path in (tmp_path / "text.png", tmp_path):
        with pytest.raises(ValueError, match=str(path)) as refusal:
            inverter()(path)
        assert "\n" not in str(refusal.value)
