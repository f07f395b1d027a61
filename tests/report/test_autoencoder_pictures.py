"""The pictures of an autoencoder: which a model has, how large they are, and what is left alone."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from picture_models import (
    OF_AUTOENCODERS,
    OF_LABELS,
    PICTURES,
    SIZE,
    labeled,
    made,
    network,
    shown,
    some_images,
    tiles,
)
from torch import nn

from unit.data.decoding import read_image
from unit.data.domain import Domain, domain_of_array
from unit.data.images import to_float
from unit.report.autoencoder import plot


@pytest.fixture(scope="module")
def images() -> Domain:
    """47 images, whose labels count through the classes, from 7."""
    return some_images()


def refused(folder: Path, model: Any, images: Domain, expected: type[Exception]) -> str:
    """Plotting raises that, in one line, and leaves all as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(expected) as caught:
        plot(model, images, folder / "pictures")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", PICTURES)
def test_each_model_has_its_pictures(name: str, images: Domain, tmp_path: Path) -> None:
    paths = plot(made(name), images, tmp_path / "new" / "pictures")
    assert {path.name for path in paths} == {f"{picture}.png" for picture in PICTURES[name]}
    assert set((tmp_path / "new" / "pictures").iterdir()) == set(paths)
    assert len(set(paths)) == len(paths)
    # 47 images are 2 whole rows of 20; a figure has 130 pixels an inch
    sides = {
        "reconstructions": (4, 20), "denoising": (6, 20), "samples": (10, 10), "styles": (10, 10),
        "analogies": (10, 12), "places": (10, 10), "heads": (10, 11), "attributes": (10, 7),
    }  # fmt: skip
    for path in paths:
        rows, columns = (20, 20) if path.stem.startswith("manifold") else sides.get(path.stem, (0, 0))
        if path.stem == "latent":
            panels = 1 if name == "heads" else 2
            assert read_image(path, channels=3).shape == (3, 689, 130 * 5 * panels + 91)
        else:
            assert tiles(path).shape == (rows, columns, SIZE, SIZE)


def test_few_images_make_one_row(images: Domain, tmp_path: Path) -> None:
    plot(made("cvae of 3"), images.part(0, 3), tmp_path)
    assert tiles(tmp_path / "reconstructions.png").shape[:2] == (2, 3)
    assert tiles(tmp_path / "analogies.png").shape[:2] == (3, 12)


@pytest.mark.parametrize("size", [16, 28])
def test_images_are_magnified_by_whole_pixels(size: int, tmp_path: Path) -> None:
    images = labeled(torch.zeros(20, 1, size, size, dtype=torch.uint8), torch.arange(20) % 10)
    plot(network("vae", side=size, latent=1), images, tmp_path)
    side = {16: 48, 28: 56}[size]
    assert read_image(tmp_path / "reconstructions.png", channels=1).shape == (1, 2 * side + 2, 20 * side + 38)


def test_a_model_of_another_kind_has_no_pictures(images: Domain, tmp_path: Path) -> None:
    assert "Linear" in refused(tmp_path, nn.Linear(2, 2), images, ValueError)
    assert not list(tmp_path.iterdir())


def test_pictures_that_are_there_are_left_alone_without_overwrite(images: Domain, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "samples.png").write_text("mine")
    (folder / "other.png").write_text("mine too")
    message = refused(tmp_path, made("vae of 2"), images, FileExistsError)
    assert "samples.png" in message and "--overwrite" in message and "latent.png" not in message
    plot(made("vae of 2"), images, folder, overwrite=True)
    assert tiles(folder / "samples.png").shape[:2] == (10, 10)
    assert (folder / "other.png").read_text() == "mine too"
    message = refused(tmp_path, made("vae of 2"), images, FileExistsError)
    assert all(f"{name}.png" in message for name in PICTURES["vae of 2"])


def test_a_file_is_no_folder_for_pictures(images: Domain, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("mine")
    assert "pictures is a file" in refused(tmp_path, made("vae of 1"), images, NotADirectoryError)


@pytest.mark.parametrize("name", ["denoising vae", "aae", "supervised aae", "m2", "heads"])
def test_pictures_are_the_same_each_time(name: str, images: Domain, tmp_path: Path) -> None:
    model, state = made(name), torch.get_rng_state()
    first = plot(model, images, tmp_path / "1")
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(1)  # what others draw does not matter
        second = plot(model, images, tmp_path / "2")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_pictures_of_color_images_are_in_color(tmp_path: Path) -> None:
    images = some_images(20, channels=3)
    paths = plot(network("cvae", channels=3), images, tmp_path)
    assert len(paths) == len(PICTURES["cvae of 2"])
    first = read_image(tmp_path / "reconstructions.png", channels=3)[:, :56:7, :56:7]
    assert torch.equal(first, images.tensor[0])


def test_images_without_labels_have_the_pictures_that_need_none(tmp_path: Path) -> None:
    images = domain_of_array(some_images(20).tensor)
    paths = plot(network("vae", classes=0, latent=2), images, tmp_path)
    assert {path.stem for path in paths} == OF_AUTOENCODERS | {"manifold"}


def test_attributes_are_moved_from_class_to_class(tmp_path: Path) -> None:
    """Of two classes: z, and z plus one and two times the vector between their mean codes, there and back."""
    model, images = network("vae", classes=2, latent=3), domain_of_array(some_images(9).tensor, torch.arange(9) % 2)
    plot(model, images, tmp_path)
    rows = tiles(tmp_path / "attributes.png")
    assert rows.shape[:2] == (9, 7)  # five of class 0, four of class 1
    z, y = model.code(to_float(images.tensor)), images.class_labels
    there = z[y == 1].mean(0) - z[y == 0].mean(0)
    for row, (image, vector) in enumerate(zip(range(9), itertools.cycle([there, -there]))):
        assert torch.equal(rows[row, 0], images.tensor[image, 0])
        for column, t in ((2, 0.0), (4, 1.0), (6, 2.0)):
            assert torch.equal(rows[row, column], shown(model.image((z[image] + t * vector)[None]))[0])


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_a_model_of_other_classes_has_a_column_for_each(classes: int, tmp_path: Path) -> None:
    images = domain_of_array(some_images(24).tensor, torch.arange(24) % classes)
    paths = plot(network("cvae", classes=classes, latent=2), images, tmp_path)
    manifolds = {f"manifold_of_{y}" for y in range(classes)}
    assert {path.stem for path in paths} == OF_AUTOENCODERS | OF_LABELS | manifolds
    assert tiles(tmp_path / "styles.png").shape[:2] == (10, classes)
    assert tiles(tmp_path / "analogies.png").shape[:2] == (classes, 2 + classes)
