"""Images in a temporary file are a list of images."""

from pathlib import Path

import pytest
import torch
from inverters import Inverter, Keeper, noise_images, set_of

from unit.evaluation.store import Stored, same_sizes


def some(*sizes: tuple[int, int], channels: int = 3) -> list[torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (channels, *size), generator=numbers, dtype=torch.uint8) for size in sizes]


def test_what_goes_in_comes_out_at_any_place_and_size() -> None:
    images = some((2, 3), (4, 1), (2, 3), (1, 1))
    stored = Stored(images[:2])
    assert torch.equal(stored[0], images[0])  # read between writes
    stored.extend(images[2:])
    assert len(stored) == 4 and stored.shapes == [tuple(image.shape) for image in images]
    assert all(map(torch.equal, stored, images))
    assert torch.equal(stored[-2], images[2]) and torch.equal(stored[1:3][0], images[1])
    with pytest.raises(IndexError):
        stored[4]


def test_what_is_read_may_be_changed_without_harm() -> None:
    image = some((2, 2))[0]
    stored = Stored([image.flip(-1)])  # not contiguous in memory
    stored[0].zero_()
    assert torch.equal(stored[0], image.flip(-1))
    assert not len(Stored())


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch\.float32, not torch\.uint8"):
        Stored([torch.zeros(1, 2, 2)])


def test_runs_of_one_shape_are_no_longer_than_asked() -> None:
    images = some((2, 2), (2, 2), (2, 2), (1, 2), (2, 2))
    assert [len(run) for run in same_sizes(iter(images), 2)] == [2, 1, 1, 1]
    assert torch.equal(torch.cat(list(same_sizes(images[:3], 2))), torch.stack(images[:3]))
    assert list(same_sizes([], 2)) == []


def test_another_model_of_the_same_images_loads_none_again(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        noise_images(tmp_path / folder, (8, 8))
    first = set_of(Keeper(), tmp_path)
    assert torch.equal(first.translated("a2b")[0], first.test_a[0])
    first.kept["mine"] = 1
    second = first.with_model(Inverter())
    assert second.test_a is first.test_a and second.kept is first.kept
    assert torch.equal(second.translated("a2b")[0], 255 - first.test_a[0])
    assert torch.equal(first.translated("a2b")[0], first.test_a[0])
