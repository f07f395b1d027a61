"""unit.train as a notebook calls it: on arrays, twice in one process, in a thread; and what it refuses."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unit
from unit.config import load

TINY = {
    "data.size": 16, "model.width": 4, "model.blocks": 2, "discriminator.width": 4, "discriminator.layers": 2,
    "train.steps": 2, "train.batch_size": 2, "train.precision": "fp32", "run.tracker": "none",
}  # fmt: skip


def keys(output: Path, **more: Any) -> dict[str, Any]:
    return TINY | {"run.output": str(output)} | {key.replace("__", "."): value for key, value in more.items()}


def pixels(*shape: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_arrays_are_trained_on(tmp_path: Path) -> None:
    images = {"a": pixels(5, 20, 24, 3, seed=1), "b": torch.from_numpy(pixels(4, 3, 18, 16, seed=2))}
    run = unit.train("toymaps", keys(tmp_path / "run"), images=images)
    x = pixels(20, 24, 3, seed=3)
    y = unit.load(run)(x)
    assert y.shape == x.shape and y.dtype == np.uint8


def test_a_run_on_arrays_resumes_on_the_same_arrays_alone(tmp_path: Path) -> None:
    images = {"a": pixels(5, 20, 24, 3, seed=1), "b": pixels(4, 18, 16, 3, seed=2)}
    run = unit.train("toymaps", keys(tmp_path / "run"), images=images)
    more = load("toymaps", keys(run, train__steps=4))
    with pytest.raises(ValueError, match="other data in domain a"):
        unit.train(more, resume=run, images=images | {"a": pixels(5, 20, 24, 3, seed=9)})
    assert unit.train(more, resume=run, images=images) == run


@pytest.mark.parametrize("method", ["vae", "wae"])
def test_an_autoencoder_of_color_arrays(tmp_path: Path, method: str) -> None:
    from unit.config import from_sections

    sections = {
        "method": method,
        "model": {"latent": 2, "hidden": [8, 8]} | ({"group": 2, "discriminator": [8]} if method == "wae" else {}),
        "train": {"steps": 2, "batch_size": 4, "precision": "fp32"},
        "run": {"output": str(tmp_path / "run"), "tracker": "none"},
    }
    run = unit.train(from_sections(sections, "the test"), images={"images": pixels(6, 12, 12, 3, seed=1)})
    from unit.models.folder import load_model

    assert load_model(run).config.images.channels == 3


def test_two_trainings_of_one_process_may_differ_in_precision(toys: Path, tmp_path: Path) -> None:
    for number, precision in enumerate(("fp32", "bf16", "fp32")):
        more = keys(tmp_path / str(number), data__root=str(toys), train__precision=precision)
        assert (unit.train("toymaps", more) / "model.safetensors").is_file()


def test_a_training_in_a_thread(toys: Path, tmp_path: Path) -> None:
    done: list[Path] = []
    thread = threading.Thread(
        target=lambda: done.append(unit.train("toymaps", keys(tmp_path / "run", data__root=str(toys))))
    )
    thread.start()
    thread.join(60)
    assert done and (done[0] / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ({"a": np.zeros((2, 20, 20, 3), np.uint8)}, "images: expected a and b, got a"),
        ({"a": np.zeros((2, 20, 20, 3)), "b": np.zeros((2, 20, 20, 3))}, "expected uint8"),
        (
            {"a": np.zeros((2, 20, 20, 3), np.uint8), "b": np.zeros((2, 20, 20), np.uint8)},
            "domain b: expected 3 channels",
        ),
        (
            {"a": np.zeros((2, 9, 20, 3), np.uint8), "b": np.zeros((2, 20, 20, 3), np.uint8)},
            "domain a: expected at least",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, images: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        unit.train("toymaps", keys(tmp_path / "run"), images=images)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_overrides_go_with_a_name_or_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="overrides: expected none"):
        unit.train(load("toymaps"), {"train.steps": 2})
    with pytest.raises(ValueError, match=r"unknown key optim.rl; did you mean optim.lr"):
        unit.train("toymaps", {"optim.rl": 1})
