"""`unit data mnist_usps` and `svhn_mnist`: the digits' own pixels, each in its class's folder; and from there to a
classifier, at toy size."""

import re
from pathlib import Path

import pytest
import torch
from adaptation_toys import svhn_and_mnist, write_svhn
from conftest import Command
from digit_toys import write_mnist

from unit.cli.data import data
from unit.data.decoding import read_image
from unit.data.digits import read_digits
from unit.data.sets.digits import read_svhn
from unit.data.sets.prepare import prepare


def write_usps(path: Path, count: int = 11) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for split in ("train", "test"):
            file[f"{split}/data"] = torch.linspace(0, 1, count * 256).view(count, 256).numpy()
            file[f"{split}/target"] = (torch.arange(count) % 10).numpy()


@pytest.mark.parametrize(("option", "side"), [([], 20), (["--crop", "28"], 28)])
def test_mnist_and_usps(option: list[str], side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    write_mnist(source / "mnist", train=20, test=10)
    write_usps(source / "usps.h5")
    out = tmp_path / "out"
    assert data(["mnist_usps", "--source", str(source), "--output", str(out), *option]) == 0
    said = capsys.readouterr()
    assert "testA 10, testB 11, trainA 20, trainB 11" in said.out
    assert "not the complete published data set" in said.err
    digits, edge = read_digits(source / "mnist", "mnist", "train", download=False), (28 - side) // 2
    for number, (image, label) in enumerate(zip(digits.images, digits.labels.tolist(), strict=True)):
        found = read_image(out / "trainA" / str(label) / f"{number:05d}.png", channels=1)
        assert torch.equal(found, image[:, edge : edge + side, edge : edge + side])
    digits = read_digits(source, "usps", "test")
    assert torch.equal(read_image(out / "testB" / "3" / "00003.png", channels=1), digits.images[3])


def test_svhns_files_are_read_as_published(tmp_path: Path) -> None:
    images, labels = read_svhn(write_svhn(tmp_path) / "train_32x32.mat")
    numbers = torch.Generator().manual_seed(12)
    x = torch.randint(0, 256, (32, 32, 3, 12), generator=numbers).to(torch.uint8)
    assert torch.equal(images, x.permute(3, 2, 0, 1)) and images.dtype == torch.uint8
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]  # MATLAB's 10 is the digit 0


def test_damaged_or_missing_files_are_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scipy.io import savemat

    source = svhn_and_mnist(tmp_path)
    command = ["svhn_mnist", "--source", str(tmp_path), "--output", str(tmp_path / "out")]
    path = source / "svhn" / "train_32x32.mat"
    savemat(path, {"X": torch.zeros(32, 32, 3, 2).numpy(), "y": torch.ones(2, 1).numpy()})
    assert data(command) == 1
    assert "X is float32 (32, 32, 3, 2); expected uint8" in capsys.readouterr().err
    path.write_bytes(b"no MATLAB file")
    assert data(command) == 1
    assert "train_32x32.mat: can't be read" in capsys.readouterr().err
    path.unlink()
    assert data(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: no train_32x32.mat in") and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert data(["svhn_mnist", "--output", str(tmp_path / "out")]) == 1
    assert "put train_32x32.mat and test_32x32.mat from http" in capsys.readouterr().err


def test_svhn_needs_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(ValueError, match=r"reading SVHN needs SciPy; pip install 'unit-translation\[svhn\]'"):
        read_svhn(tmp_path / "train_32x32.mat")


@pytest.mark.parametrize(("name", "crop"), [("maps", 20), ("mnist_usps", 29), ("svhn_mnist", 0)])
def test_a_crop_is_of_digits_and_within_them(name: str, crop: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^crop: expected 1 to 28, for digits alone, got {crop} for {name}$"):
        prepare(name, output=tmp_path / "out", source=tmp_path, crop=crop)


def test_from_house_numbers_to_a_classifier_of_digits(tmp_path: Path, run_command: Command) -> None:
    """The config svhn2mnist at toy size, with all its keys but widths, batch and steps."""
    root, run = tmp_path / "svhn_mnist", tmp_path / "run"
    prepare("svhn_mnist", output=root, source=svhn_and_mnist(tmp_path / "source"))
    sizes = {"model.width": 2, "discriminator.width": 2, "train.steps": 2, "train.batch_size": 4}
    keys = {"data.root": root, "run.output": run, "run.tracker": "none", "train.precision": "fp32", **sizes}
    options = [part for key, value in keys.items() for part in (f"--{key}", str(value))]
    said = run_command("train", "--config", "svhn2mnist", *options)
    assert said.code == 0 and "10 classes in a" in said.out
    said = run_command("evaluate", "--model", run, "--metrics", "adaptation")
    assert said.code == 0 and re.search(r"source \(a\) +10 .*\ntarget \(b\) +20 ", said.out)
    digit = next((root / "testA").glob("*/*.png"))
    assert run_command("translate", "--model", run, "--input", digit, "--output", tmp_path / "x.png").code == 0
    assert read_image(tmp_path / "x.png", channels=3).shape == (3, 32, 32)
