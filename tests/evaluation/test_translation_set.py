"""A set of test images is loaded once, translated once, at its sizes; and the round trip, by hand."""

from pathlib import Path

import pytest
import torch
from inverters import Inverter, Keeper, OneWay, noise_images, set_of
from torch import Tensor

from unit.data.images import write_image
from unit.evaluation import round_trip
from unit.evaluation.evaluate import measure
from unit.evaluation.sets import TRANSLATED_AT_ONCE, TranslationSet
from unit.models.base import Direction


class Darker(Inverter):
    """a2b inverts, b2a halves the range."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return -x if direction == "a2b" else x / 2


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """testA: three images of two sizes; testB: two of one."""
    noise_images(tmp_path / "testA", (10, 14), (10, 14), (7, 5))
    noise_images(tmp_path / "testB", (16, 16), (16, 16), seed=1)
    return tmp_path


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_images_keep_their_order_and_size(sizes: Path) -> None:
    images = set_of(Inverter(), sizes)
    assert [tuple(image.shape) for image in images.source("a2b")] == [(3, 10, 14), (3, 10, 14), (3, 7, 5)]
    for direction, source in (("a2b", images.test_a), ("b2a", images.test_b)):
        assert same(images.source(direction), source)
        assert same(images.translated(direction), [255 - image for image in source])
        assert same(images.round_trips(direction), source)
    assert same(images.target("a2b"), images.test_b) and same(images.target("b2a"), images.test_a)


def test_each_image_is_translated_once_for_all_metrics(sizes: Path) -> None:
    model = Inverter()
    images = set_of(model, sizes)
    measure(images)
    for direction in model.directions:
        images.translated(direction)
        images.round_trips(direction)
    # Images of one size together: 2 and 1 from a, 2 from b; and each back.
    assert sorted(model.calls) == sorted([("a2b", 2), ("b2a", 2), ("a2b", 1), ("b2a", 1), ("b2a", 2), ("a2b", 2)])


def test_only_so_many_are_translated_at_once(tmp_path: Path) -> None:
    count = TRANSLATED_AT_ONCE + 1
    noise_images(tmp_path / "testA", *[(8, 8)] * count)
    noise_images(tmp_path / "testB", (8, 8))
    model = Inverter()
    assert len(set_of(model, tmp_path).translated("a2b")) == count
    assert [n for direction, n in model.calls if direction == "a2b"] == [TRANSLATED_AT_ONCE, 1]


def test_images_are_scaled_where_asked(sizes: Path) -> None:
    images = set_of(Inverter(), sizes, resize=8)
    assert [tuple(image.shape[1:]) for image in images.test_a] == [(8, 11), (8, 11), (11, 8)]
    assert [image.shape for image in images.translated("a2b")] == [image.shape for image in images.test_a]


def test_each_domain_has_its_own_channels(sizes: Path) -> None:
    images = set_of(Inverter(1, 3), sizes)
    assert {image.shape[0] for image in images.test_a} == {1} and {image.shape[0] for image in images.test_b} == {3}
    assert {image.shape[0] for image in images.translated("a2b")} == {3}
    assert {image.shape[0] for image in images.translated("b2a")} == {1}
    assert same(images.round_trips("a2b"), images.test_a)


@pytest.mark.parametrize(("missing", "error"), [("testA", FileNotFoundError), ("images", ValueError)])
def test_a_set_without_images_is_named(sizes: Path, missing: str, error: type[Exception]) -> None:
    for path in (sizes / "testA").iterdir():
        path.unlink()
    if missing == "testA":
        (sizes / "testA").rmdir()
    with pytest.raises(error, match="testA"):
        measure(TranslationSet(Keeper(), sizes))


# The round trip


def test_an_exact_inverse_loses_nothing(sizes: Path) -> None:
    found = round_trip.METRIC.measure(set_of(Inverter(), sizes))
    assert found.rows == {"a2b2a": {"levels": 0.0}, "b2a2b": {"levels": 0.0}}


def test_the_distance_is_averaged_over_pixels_and_then_over_images(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        noise_images(tmp_path / folder, (8, 8))
    for name, side, level in (("0.png", 8, 255), ("1.png", 16, 51)):
        write_image(tmp_path / "testA" / name, torch.full((3, side, side), level, dtype=torch.uint8))
    found = round_trip.METRIC.measure(set_of(Darker(), tmp_path)).rows
    # 255 is 1, inverted and halved -1/2, which is level 64; 51 is -0.6 and so 0.3, which is 166.
    assert found["a2b2a"]["levels"] == pytest.approx(((255 - 64) + (166 - 51)) / 2)


def test_a_model_of_one_direction_has_no_round_trip(sizes: Path) -> None:
    images = set_of(OneWay(), sizes)
    with pytest.raises(ValueError, match="round_trip has no figures here: the model has one direction"):
        measure(images, ["round_trip"])
    assert same(images.translated("a2b"), [255 - image for image in images.test_a])
    with pytest.raises(ValueError, match="'b2a'"):
        images.translated("b2a")


def test_each_image_has_its_round_trip_and_the_mean_an_interval(sizes: Path) -> None:
    found = round_trip.METRIC.measure(set_of(Darker(), sizes))
    assert found.images["a2b"].keys() == {"0.png", "1.png", "2.png"} and found.counts == {"a2b2a": 3, "b2a2b": 2}
    for direction, row in (("a2b", "a2b2a"), ("b2a", "b2a2b")):
        levels = [image["levels"] for image in found.images[direction].values()]
        assert found.rows[row]["levels"] == pytest.approx(sum(levels) / len(levels))
        low, high = found.intervals[row]["levels"]
        assert min(levels) <= low < found.rows[row]["levels"] < high <= max(levels)
    assert round_trip.METRIC.better == "lower"
