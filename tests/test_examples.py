"""The examples of the public functions' docstrings, and README's Python, run as they stand there."""

import doctest
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Tiny
from PIL import Image

import unit
from unit.cli.train import train
from unit.inference.translator import Translator
from unit.models.autoencoder import ImageShape, NetsConfig, autoencoder
from unit.models.folder import save_model

ROOT = Path(__file__).resolve().parent.parent
TINY = {
    "data.size": 16, "data.resize": None, "model.width": 4, "model.blocks": 2, "discriminator.width": 4,
    "discriminator.layers": 2, "train.steps": 2, "train.batch_size": 2, "train.precision": "fp32",
    "run.tracker": "none",
}  # fmt: skip


@pytest.fixture
def desk(toys: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what the examples name: runs/maps, runs/mnist_vae, mine/, photos/, digits/, photo.jpg;
    trainings are tiny."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").symlink_to(toys)
    (tmp_path / "photos").symlink_to(toys / "testA")
    Image.new("RGB", (48, 36), (90, 140, 60)).save("photo.jpg")
    assert train(tiny(Path("runs/maps"), "--train.steps", "1")) == 0
    shutil.copytree("runs/maps", "runs/maps_again")
    save_model(Path("runs/mnist_vae"), autoencoder(NetsConfig(), ImageShape()), step=1)
    for name in ("one", "two"):
        (tmp_path / "digits").mkdir(exist_ok=True)
        Image.new("L", (28, 28), 99).save(f"digits/{name}.png")
    real = unit.train

    def train_quickly(config: str, keys: dict[str, Any]) -> Path:
        with redirect_stdout(StringIO()):
            return real(config, TINY | keys)

    monkeypatch.setitem(vars(unit), "train", train_quickly)
    return tmp_path


PUBLIC = [
    unit.compare, unit.encode, unit.evaluate, unit.load, unit.sample, unit.train, unit.translate, unit.write_report,
    Translator.__call__,
]  # fmt: skip


@pytest.mark.parametrize("function", PUBLIC)
def test_the_examples_of_the_public_functions(desk: Path, function: Callable[..., Any]) -> None:
    said = function.__doc__ or ""
    assert all(f"\n    {part}:" in said or f"\n        {part}:" in said for part in ("Args", "Returns", "Raises"))
    examples = doctest.DocTestParser().get_doctest(said, {"unit": unit, "torch": torch}, function.__qualname__, None, 0)
    assert examples.examples, f"{function.__qualname__} has no example"
    lines: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=lines.append)
    assert result.failed == 0, "".join(lines)


def test_every_public_name_is_among_them() -> None:
    assert unit.__all__ == ["compare", "encode", "evaluate", "load", "sample", "train", "translate", "write_report"]


def test_the_python_of_the_readme(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    x = torch.rand(1, 3, 20, 28) * 2 - 1
    names: dict[str, Any] = {"x": x}
    exec(block, names)
    with Image.open("map.png") as image:
        assert names["y"].shape == x.shape and image.size == (48, 36)
    assert len(list(Path("maps").iterdir())) == 3 and "a2b2a" in capsys.readouterr().out
