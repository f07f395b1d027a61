"""One domain of small images, MNIST's or of a folder: the splits, the labels, the sizes, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from digit_toys import write_mnist
from laws import in_one_line
from PIL import Image

from unit.config.data import Channels, ImagesConfig
from unit.data.batches import DataError
from unit.data.one_domain import Split, detect_source, list_splits, open_images


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


@pytest.mark.parametrize("held_out", [0, 1, 13, 59])
def test_the_splits_are_disjoint_and_complete(mnist: Path, held_out: int) -> None:
    config = ImagesConfig(root=str(mnist), download=False, held_out=held_out)
    every = open_images(replace(config, held_out=0), "train")
    train, test = open_images(config, "train"), open_images(config, "test")
    parts = [train] + ([open_images(config, "held_out")] if held_out else [])
    assert [len(part) for part in parts] == ([60 - held_out, held_out] if held_out else [60])
    assert torch.equal(torch.cat([part.tensor for part in parts]), every.tensor)  # and so disjoint, for all differ
    assert torch.equal(torch.cat([part.class_labels for part in parts]), every.class_labels)
    assert len(test) == 20
    assert len({image.numpy().tobytes() for image in torch.cat([every.tensor, test.tensor])}) == 80


# What is refused.


def refusal(config: ImagesConfig, split: Split) -> str:
    """What a DataError says, in one line."""
    with pytest.raises(DataError) as caught:
        open_images(config, split)
    return in_one_line(caught.value)


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("held_out", [60, 61])
def test_as_many_held_out_as_there_are_is_refused(mnist: Path, split: Split, held_out: int) -> None:
    config = ImagesConfig(root=str(mnist), download=False, held_out=held_out)
    said = refusal(config, split)
    assert said == f"data.held_out: expected fewer than the 60 training images, got {held_out}"


def test_held_out_images_of_a_run_without_any_are_refused(mnist: Path) -> None:
    said = refusal(ImagesConfig(root=str(mnist), download=False), "held_out")
    assert said == "no images are held out: data.held_out is 0, and the model was trained on all"


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("side", [16, 27])
def test_images_of_another_size_are_refused(tmp_path: Path, split: Split, side: int) -> None:
    root = write_mnist(tmp_path / "mnist", side=side)
    said = refusal(ImagesConfig(root=str(root), download=False), split)
    assert said == f"{root}: images of {side}×{side} pixels; mnist's have 28×28"


# A folder of one's own.


def written(root: Path, **folders: int) -> Path:
    """That many images in each folder below the root, 40 × 32 pixels, each of one color of its own."""
    for number, (folder, count) in enumerate(folders.items()):
        (root / folder.replace("__", "/")).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            color = (10 * number, 10 * i, 200)
            Image.new("RGB", (40, 32), color).save(root / folder.replace("__", "/") / f"{i}.png")
    return root


def test_a_folder_for_each_class_gives_labels(tmp_path: Path) -> None:
    root = written(tmp_path / "own", train__cat=3, train__dog=2, test__cat=1, test__dog=2)
    config = ImagesConfig(root=str(root))
    train, test = open_images(config, "train"), open_images(config, "test")
    assert (train.classes, test.classes) == (2, 2)
    assert train.class_labels.tolist() == [0, 0, 0, 1, 1] and test.class_labels.tolist() == [0, 1, 1]
    assert train.tensor.shape == (5, 3, 32, 32) and train.tensor.dtype == torch.uint8
    assert [tuple(image[:, 5, 5].tolist()) for image in train.tensor[3:]] == [(10, 0, 200), (10, 10, 200)]
    assert train.names == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png"]


def test_images_of_one_folder_have_no_labels(tmp_path: Path) -> None:
    root = written(tmp_path / "own", **{".": 4})
    train = open_images(ImagesConfig(root=str(root), held_out=1), "train")
    assert train.labels is None and train.classes == 0 and len(train) == 3
    assert len(open_images(ImagesConfig(root=str(root), held_out=1), "held_out")) == 1
    said = refusal(ImagesConfig(root=str(root)), "test")
    assert said == f"{root}: no test images; expected them in {root}/test, or some set aside by data.held_out"


def test_of_two_domains_each_is_a_class(tmp_path: Path) -> None:
    root = written(tmp_path / "own", trainA=3, trainB=2, testA=1, testB=2)
    config = ImagesConfig(root=str(root))
    train, test = open_images(config, "train"), open_images(config, "test")
    assert (train.classes, test.classes) == (2, 2)
    assert train.class_labels.tolist() == [0, 0, 0, 1, 1] and test.class_labels.tolist() == [0, 1, 1]
    assert [tuple(image[:, 5, 5].tolist()) for image in train.tensor[2:4]] == [(0, 20, 200), (10, 0, 200)]
    assert list_splits(config) == ["test", "train"]


def test_images_of_every_class_are_held_out(tmp_path: Path) -> None:
    """Though their names would have the last class's held out alone."""
    root = written(tmp_path / "own", cat=20, dog=20)
    config = ImagesConfig(root=str(root), held_out=10)
    train, held_out = open_images(config, "train"), open_images(config, "held_out")
    assert set(held_out.class_labels.tolist()) == {0, 1} and not set(train.names) & set(held_out.names)
    assert len({*train.names, *held_out.names}) == 40
    for part in (train, held_out):
        assert all((name[:3] == "dog") == bool(y) for name, y in zip(part.names, part.class_labels, strict=True))
    assert list_splits(config) == ["held_out", "train"]


def test_digits_have_test_images(mnist: Path) -> None:
    assert list_splits(ImagesConfig(root=str(mnist), held_out=3)) == ["test", "held_out", "train"]


def test_images_are_scaled_and_cropped_to_the_size_and_channels_asked_for(tmp_path: Path) -> None:
    root = written(tmp_path / "own", **{".": 2})
    for size, channels in ((8, 1), (20, 3), (64, None)):
        images = open_images(ImagesConfig(root=str(root), size=size, channels=channels), "train").tensor
        assert images.shape == (2, channels or 3, size, size)


@pytest.mark.parametrize(("size", "channels"), [(None, None), (32, None), (None, 3), (16, 1)])
def test_digits_have_their_own_size_unless_another_is_asked_for(
    mnist: Path, size: int | None, channels: Channels | None
) -> None:
    domain = open_images(ImagesConfig(root=str(mnist), download=False, size=size, channels=channels), "test")
    assert domain.tensor.shape == (20, channels or 1, size or 28, size or 28)
    assert domain.classes == 10


def test_what_lies_in_a_folder_is_seen_by_its_files(mnist: Path, tmp_path: Path) -> None:
    assert detect_source(ImagesConfig(root=str(mnist))) == "mnist"
    assert detect_source(ImagesConfig(root=str(tmp_path / "not there"))) == "mnist"  # where MNIST would be downloaded
    (tmp_path / "empty").mkdir()
    assert detect_source(ImagesConfig(root=str(tmp_path / "empty"))) == "mnist"
    assert detect_source(ImagesConfig(root=str(tmp_path / "usps.h5"))) == "usps"
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "usps.h5").touch()
    assert detect_source(ImagesConfig(root=str(tmp_path / "digits"))) == "usps"
    own = written(tmp_path / "own", train__cat=1)
    assert detect_source(ImagesConfig(root=str(own))) == "folder"
    assert detect_source(ImagesConfig(root=str(own), name="mnist")) == "mnist"
