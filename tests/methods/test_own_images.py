"""Autoencoders of a folder of one's own images: in color and in gray, in class folders and in none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from digit_toys import METHODS, logged_by, options
from domain_toys import write_images
from run_files import newest, refused

from unit.config.data import ImagesConfig
from unit.data.decoding import read_image
from unit.data.one_domain import open_images
from unit.evaluation import parzen, recognition
from unit.models.folder import load_model
from unit.weights import collect_tensors

THREE_CLASSES: dict[str, dict[str, Any]] = {
    "ae": {},
    "vae": {},
    "vae conv": {"data.size": 16},
    "vae strided": {"data.size": 20},
    "cvae": {},
    "m1": {"data.labeled": 3},
    "m2": {"data.labeled": 6},
    "m1m2": {"data.labeled": 3},
    "aae": {},
    "aae_supervised": {},
    "aae_semi": {"data.labeled": 3, "model.categories": 3},
    "aae_semi smooth": {"data.labeled": 3, "model.categories": 3},
    "aae_cluster balanced": {},
    "vae_gan": {"data.size": 16},
    "wae": {},
}
"""What differs from the smallest training on digits."""
ALSO_GRAY = ["vae", "vae conv", "vae strided", "m2", "vae_gan"]
"""Of each kind of network one; digits, which every method is trained on, are gray."""
WITHOUT_CLASSES = ["ae", "vae", "aae", "aae combined", "aae_cluster", "wae", "wae adversarial"]
NEEDS_LABELS = ["cvae", "m1", "m2", "m1m2", "aae informed", "aae_supervised", "aae_semi"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and test/ with a folder for each of three classes, and plain/ with none."""
    root = tmp_path_factory.mktemp("own")
    for number, name in enumerate(("cats", "dogs", "mice")):
        write_images(root / "classes" / "train" / name, 4 + number, width=30, height=20, seed=number)
        write_images(root / "classes" / "test" / name, 2, width=20, height=26, seed=10 + number)
    write_images(root / "plain" / "train", 9)
    write_images(root / "plain" / "test", 5, seed=1)
    return root


def arguments(name: str, root: Path, run: Path, **keys: Any) -> list[str]:
    given = {"data.root": root, "data.size": 12, "run.output": run} | keys
    return options(name, **{key.replace(".", "__"): value for key, value in given.items()})


@pytest.mark.parametrize(
    ("name", "channels"), [*((name, 3) for name in THREE_CLASSES), *((name, 1) for name in ALSO_GRAY)]
)
def test_every_method_trains_on_images_in_class_folders(
    name: str, channels: int, own: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parzen, "SAMPLES", 50)
    monkeypatch.setattr(recognition, "DRAWN", 50)
    keys = THREE_CLASSES[name] | ({"data.channels": 1} if channels == 1 else {})
    run = tmp_path / "run"
    said = run_command("train", *arguments(name, own / "classes", run, **keys))
    assert said.code == 0 and "  15 images" in said.out.splitlines()[0], said.err
    assert len(logged_by(run)) == 4
    model: Any = load_model(run)
    size = keys.get("data.size", 12)
    assert (model.images.size, model.images.channels, model.images.classes) == (size, channels, 3)
    assert all(torch.equal(newest(run).tensors["average"][key], x) for key, x in collect_tensors(model).items())
    grid = read_image(run / "samples" / "step-00000004.png", channels=3)
    assert grid.shape[1] == 3 * (size + 2) - 2
    assert channels == 3 or torch.equal(grid[0], grid[1])
    evaluated = run_command("main", "evaluate", "--model", run)
    assert evaluated.code == 0 and evaluated.out, evaluated.err


@pytest.mark.parametrize("name", WITHOUT_CLASSES)
def test_images_in_no_class_folders_train_what_needs_no_labels(
    name: str, own: Path, run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parzen, "SAMPLES", 50)
    monkeypatch.setattr(recognition, "DRAWN", 50)
    run = tmp_path / "run"
    said = run_command("train", *arguments(name, own / "plain", run))
    assert said.code == 0 and "  9 images" in said.out.splitlines()[0], said.err
    model: Any = load_model(run)
    assert model.images.classes == 0
    assert run_command("main", "evaluate", "--model", run).code == 0


@pytest.mark.parametrize("name", NEEDS_LABELS)
def test_images_in_no_class_folders_are_refused_where_labels_are_needed(
    name: str, own: Path, run_command: Command, tmp_path: Path
) -> None:
    refused(run_command("train", *arguments(name, own / "plain", tmp_path / "run")), "labels", "class")
    assert not (tmp_path / "run").exists()


def test_all_methods_are_tried() -> None:
    kinds = {METHODS[name].get("method", name) for name in [*THREE_CLASSES, *WITHOUT_CLASSES, *NEEDS_LABELS]}
    assert kinds == {keys.get("method", name) for name, keys in METHODS.items()}


def test_a_prior_of_other_classes_than_the_images_is_refused(own: Path, run_command: Command, tmp_path: Path) -> None:
    keys = {"data.labeled": 3, "data.labeled_batch": 4}
    said = run_command("train", *arguments("aae informed", own / "classes", tmp_path / "run", **keys))
    refused(said, "model.informed", "10 parts", "3 classes")


def test_a_run_is_not_resumed_with_other_images_of_the_same_names(
    own: Path, run_command: Command, tmp_path: Path
) -> None:
    """They are all in memory, so that their content counts."""
    run = tmp_path / "run"
    assert run_command("train", *arguments("vae", own / "plain", run)).code == 0
    write_images(tmp_path / "other" / "train", 9, seed=7)
    said = run_command("train", "--resume", run, "--data.root", tmp_path / "other", "--train.steps", "6")
    refused(said, "was trained on other data in domain images")


def test_bad_files_are_left_out_and_named(run_command: Command, tmp_path: Path) -> None:
    root = tmp_path / "own"
    write_images(root / "cats", 3)
    write_images(root / "dogs", 3)
    (root / "dogs" / "001.png").write_bytes(b"no image")
    said = run_command("train", *arguments("vae", root, tmp_path / "run"))
    assert said.code == 0 and "  5 images" in said.out.splitlines()[0]
    assert said.out.splitlines()[1] == f"{root}: 1 file left out that can't be decoded:" and "001.png" in said.out
    assert load_model(tmp_path / "run").config.images.classes == 2


def test_a_test_image_in_a_folder_that_training_lacks_is_refused(run_command: Command, tmp_path: Path) -> None:
    root = tmp_path / "own"
    for folder in ("train/cats", "train/dogs", "test/cats", "test/mice"):
        write_images(root / folder, 2)
    assert run_command("train", *arguments("cvae", root, tmp_path / "run")).code == 0
    refused(run_command("main", "evaluate", "--model", tmp_path / "run"), "mice/000.png", "cats, dogs")


def test_test_images_may_lack_a_class(run_command: Command, tmp_path: Path) -> None:
    """Its number is not given to another."""
    root = tmp_path / "own"
    for folder in ("train/cats", "train/dogs", "train/mice", "test/mice", "test/dogs"):
        write_images(root / folder, 2)
    run = tmp_path / "run"
    keys = {"data.labeled": 3, "data.labeled_batch": 2}
    assert run_command("train", *arguments("m2", root, run, **keys)).code == 0
    assert run_command("main", "evaluate", "--model", run).code == 0
    config = ImagesConfig(root=str(root), size=12)
    assert open_images(config, "test").class_labels.tolist() == [1, 1, 2, 2]
    assert open_images(config, "test").classes == 3
