"""`unit plot --image`: the style of a picture of one's own, with every label."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image
from run_files import refused
from saved_models import saved

from unit.data.decoding import read_image
from unit.data.images import to_float, to_uint8
from unit.data.own_digit import read_own_digit
from unit.models.folder import load_model
from unit.report.own_image import plot_own

WITH_LABELS = {"cvae": 3, "m2": None, "m1m2": None, "aae_supervised": None, "aae_semi": None}
"""By method, the label that it needs to be told."""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A bent stroke on white paper."""
    pixels = np.full((90, 60), 245, np.uint8)
    pixels[10:70, 20:28], pixels[60:70, 20:50] = 30, 30
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def shown(path: Path) -> Any:
    """The picture's tiles of 16 × 16, uint8 (columns, 16, 16)."""
    image = read_image(path, channels=1)[0]
    return torch.stack([image[::3, start : start + 48 : 3] for start in range(0, image.shape[1], 50)])


@pytest.mark.parametrize("name", WITH_LABELS)
def test_the_style_of_a_picture_with_every_label(name: str, picture: Path, tmp_path: Path) -> None:
    folder, label = saved(name, tmp_path / "model"), WITH_LABELS[name]
    path, done = plot_own(folder, picture, tmp_path / "plots", label=label)
    assert path == tmp_path / "plots" / "analogies_of_mine.png" and done.startswith("mine.png: gray, inverted")
    tiles = shown(path)
    own = read_own_digit(picture, size=16)
    assert len(tiles) == 12 and torch.equal(tiles[0], own.pixels[0]) and (tiles[1] == 255).all()
    model: Any = load_model(folder)
    x = to_float(own.pixels[None])
    with torch.inference_mode():
        for y in range(10):
            if name == "aae_semi":
                image = model.image(torch.eye(10)[[y]], model.code(x).z)
            else:
                z = {
                    "cvae": lambda: model.code(x, torch.tensor([3])),
                    "aae_supervised": lambda: model.code(x),
                }.get(name, lambda: model.code(x, model.classify(x).argmax(1)))()
                image = model.image(z, torch.tensor([y]))
            assert (tiles[2 + y].int() - to_uint8(image)[0, 0].int()).abs().max() <= 1


def test_the_command(picture: Path, tmp_path: Path, run_command: Command) -> None:
    model = saved("m2", tmp_path / "model")
    said = run_command("main", "plot", "--model", model, "--image", picture)
    written = model / "plots" / "analogies_of_mine.png"
    assert said.code == 0 and said.out.splitlines()[1] == str(written) and written.is_file(), said.err
    assert [path.name for path in (model / "plots").iterdir()] == ["analogies_of_mine.png"]
    refused(run_command("main", "plot", "--model", model, "--image", picture), "analogies_of_mine.png", "--overwrite")
    assert run_command("main", "plot", "--model", model, "--image", picture, "--overwrite").code == 0


def test_what_has_no_analogies_is_one_line(picture: Path, tmp_path: Path, run_command: Command) -> None:
    for name in ("vae", "aae informed", "m1"):
        model = saved(name, tmp_path / name)
        refused(
            run_command("main", "plot", "--model", model, "--image", picture), "has no labels", "expected one whose"
        )
        assert not (model / "plots").exists()
    cvae, m2 = saved("cvae", tmp_path / "cvae"), saved("m2", tmp_path / "m2")
    for label in ([], ["--label", "10"], ["--label", "-1"]):
        refused(run_command("main", "plot", "--model", cvae, "--image", picture, *label), "expected 0 to 9")
    refused(run_command("main", "plot", "--model", m2, "--image", picture, "--label", "3"), "without labels", "got 3")
    refused(run_command("main", "plot", "--model", m2, "--label", "3"), "--label: expected none without --image, got 3")
    missing = run_command("main", "plot", "--model", m2, "--image", tmp_path / "none.png")
    assert missing.code and len(missing.err.splitlines()) == 1
    (tmp_path / "text.png").write_text("no image")
    refused(run_command("main", "plot", "--model", m2, "--image", tmp_path / "text.png"), "text.png")
