"""The domain classifier: known translators get the marks that they must."""

import shutil
from pathlib import Path

import pytest
import torch
from inverters import Inverter, Keeper, OneWay, set_of, shades

from unit.evaluation import classifier
from unit.evaluation.classifier import METRIC
from unit.evaluation.evaluate import measure


@pytest.fixture(scope="module")
def dark_and_bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shades")
    for seed, (name, count) in enumerate((("train", 96), ("test", 20))):
        shades(root / f"{name}A", 0, 100, count=count, seed=2 * seed)
        shades(root / f"{name}B", 156, 256, count=count, seed=2 * seed + 1)
    return root


def test_a_translator_that_reaches_the_other_domain_is_taken_for_it(dark_and_bright: Path) -> None:
    found = METRIC.measure(set_of(Inverter(1), dark_and_bright))
    both = {"images": 0.0, "translations": 1.0}
    assert found.rows == {"a2b": both, "b2a": both}
    assert found.notes == ["the classifier is right on 1.000 of the real test images"]
    assert str(found).splitlines()[1].split() == ["a2b", "20", "0.000", "[0.00,", "0.00]", "1.000", "[1.00,", "1.00]"]


def test_a_translator_that_changes_nothing_is_not(dark_and_bright: Path) -> None:
    found = METRIC.measure(set_of(Keeper(1), dark_and_bright))
    assert [row["translations"] for row in found.rows.values()] == [0, 0]


def test_a_model_of_one_direction_has_one_row(dark_and_bright: Path) -> None:
    found = METRIC.measure(set_of(OneWay(1), dark_and_bright))
    assert found.rows == {"a2b": {"images": 0.0, "translations": 1.0}}


def test_the_classifier_is_seeded_and_does_not_touch_the_global_generator(
    dark_and_bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    before = torch.get_rng_state()
    first = METRIC.measure(set_of(Keeper(1), dark_and_bright))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert METRIC.measure(set_of(Keeper(1), dark_and_bright)) == first


def test_squares_have_the_models_size_or_what_the_smallest_test_image_has(
    dark_and_bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def train(a: torch.Tensor, b: torch.Tensor, **_: object) -> torch.nn.Module:
        seen.extend({side for image in (a[0], b[-1]) for side in image.shape[1:]})
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(0))

    monkeypatch.setattr(classifier, "train_classifier", train)
    for size in (12, 256):
        METRIC.measure(set_of(Keeper(1, size=size), dark_and_bright))
    assert seen == [12, 16]


def test_training_images_must_hold_the_square(dark_and_bright: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(dark_and_bright, tmp_path / "root"))
    shutil.rmtree(root / "trainA")
    shades(root / "trainA", 0, 100, count=2, seed=0, side=8)
    with pytest.raises(ValueError, match=r"trainA: 8×8 pixels, smaller than the crop of 16"):
        METRIC.measure(set_of(Keeper(1), root))


def test_it_needs_both_training_folders(dark_and_bright: Path, tmp_path: Path) -> None:
    for name in ("testA", "testB", "trainB"):
        shutil.copytree(dark_and_bright / name, tmp_path / name)
    with pytest.raises(ValueError, match=r"classifier has no figures here: .* has no trainA$"):
        measure(set_of(Keeper(1), tmp_path), ["classifier"])
    assert "round_trip" in measure(set_of(Keeper(1), tmp_path))  # the others go on without it


def test_domains_that_differ_in_their_channels_are_told_apart_at_once(dark_and_bright: Path) -> None:
    with pytest.raises(ValueError, match="differ in their channels"):
        measure(set_of(Keeper(3, 1), dark_and_bright), ["classifier"])


@pytest.mark.parametrize(("size", "batch"), [(16, 64), (128, 64), (256, 16), (4000, 1)])
def test_large_images_are_seen_in_smaller_batches(size: int, batch: int) -> None:
    assert classifier.batch_of(size) == batch


def test_of_many_training_images_some_are_drawn(dark_and_bright: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "LEARNED", 10)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    images = set_of(Keeper(1), dark_and_bright)
    few = list(images.load("trainA", at_most=10))
    every = list(images.load("trainA"))
    assert len(few) == 10 < len(every) == 96
    assert [any(torch.equal(image, other) for other in every) for image in few] == [True] * 10
    assert all(map(torch.equal, few, images.load("trainA", at_most=10)))
    METRIC.measure(images)


def test_the_classifier_learns_once_for_all_models_of_a_set(
    dark_and_bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = set_of(Keeper(1), dark_and_bright)
    first = METRIC.measure(images)
    monkeypatch.setattr(classifier, "train_classifier", None)
    second = METRIC.measure(images.with_model(Inverter(1)))
    assert (first.rows["a2b"]["translations"], second.rows["a2b"]["translations"]) == (0, 1)
