"""Translating files: names, folders, sizes and values are kept, and nothing is lost."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import unit
from unit.config.data import Channels
from unit.data.decoding import read_image
from unit.data.images import to_float, to_uint8, write_image
from unit.inference.translator import Translator
from unit.models.base import Direction, TranslatedImages
from unit.models.folder import save_model
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig


class Inverter(UnitTranslator):
    """Turns brightness around; its sides must be multiples of 4, as any translator's."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        assert x.shape[2] % 4 == x.shape[3] % 4 == 0
        return -x if direction == "a2b" else x / 2


def inverter() -> Translator:
    return Translator(Inverter(UnitTranslatorConfig(model=UnitModelConfig(width=1, blocks=1))))


def picture(height: int = 8, width: int = 8, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.manual_seed(0)
    return Translator(UnitTranslator(UnitTranslatorConfig(model=UnitModelConfig(width=2, blocks=1, init="kaiming"))))


SIZES = [(1, 1), (3, 5), (37, 53), (16, 16), (16, 16), (2, 64)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of many sizes, in nested folders."""
    for number, (height, width) in enumerate(SIZES):
        path = tmp_path / "in" / ("deep/er" if number % 2 else ".") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture(height, width, seed=number))
    return tmp_path / "in"


def test_names_folders_sizes_and_values_are_kept(folder: Path, tmp_path: Path) -> None:
    report = unit.translate(inverter(), folder, tmp_path / "out")
    assert len(report.written) == len(SIZES)
    for number, size in enumerate(SIZES):
        place = ("deep/er/" if number % 2 else "") + f"{number}.png"
        image = read_image(tmp_path / "out" / place, channels=3)
        assert image.shape == (3, *size)
        assert torch.equal(image, 255 - read_image(folder / place, channels=3))


def test_no_contrast_is_stretched(tmp_path: Path) -> None:
    dull = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    dull[:, 0] = 110
    write_image(tmp_path / "dull.png", dull)
    unit.translate(inverter(), tmp_path / "dull.png", tmp_path / "out.png")
    assert torch.equal(read_image(tmp_path / "out.png", channels=3), 255 - dull)


def test_batches_give_what_single_images_give(translator: Translator, folder: Path, tmp_path: Path) -> None:
    for size in (1, 8):
        unit.translate(translator, folder, tmp_path / str(size), batch_size=size)
    for path in (tmp_path / "1").rglob("*.png"):
        other = tmp_path / "8" / path.relative_to(tmp_path / "1")
        difference = read_image(path, channels=3).int() - read_image(other, channels=3).int()
        assert difference.abs().max() <= 1  # a batch may round differently


def test_twice_the_same_and_through_the_means(translator: Translator, tmp_path: Path) -> None:
    image = picture(16, 16)
    write_image(tmp_path / "x.png", image)
    for name in ("one.png", "two.png"):
        unit.translate(translator, tmp_path / "x.png", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    model = translator.model
    assert isinstance(model, UnitTranslator)
    by_hand = model.b.decode(model.a.encoder(to_float(image)[None]))
    assert torch.equal(read_image(tmp_path / "one.png", channels=3), to_uint8(by_hand.detach())[0])


def test_direction_and_round_trip(tmp_path: Path) -> None:
    image = torch.full((3, 8, 8), 255, dtype=torch.uint8)
    write_image(tmp_path / "x.png", image)
    expected = {("a2b", False): 0, ("b2a", False): 191, ("a2b", True): 64, ("b2a", True): 64}  # ±1/2 of the range
    for (direction, cycle), value in expected.items():
        out = tmp_path / f"{direction}{cycle}.png"
        unit.translate(inverter(), tmp_path / "x.png", out, direction=direction, cycle=cycle)  # type: ignore[arg-type]
        assert set(read_image(out, channels=3).flatten().tolist()) == {value}


def test_files_that_are_there_are_left_alone_unless_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "0.png").write_bytes(b"mine")
    report = unit.translate(inverter(), folder, out)
    assert (out / "0.png").read_bytes() == b"mine"
    assert report.existing == [out / "0.png"] and len(report.written) == len(SIZES) - 1
    assert "left alone" in str(report)
    report = unit.translate(inverter(), folder, out, overwrite=True)
    assert len(report.written) == len(SIZES) and not report.existing
    assert torch.equal(read_image(out / "0.png", channels=3), 255 - read_image(folder / "0.png", channels=3))


def test_two_files_never_become_one(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "x.bmp", picture())
    write_image(tmp_path / "in" / "x.png", picture(seed=1))
    report = unit.translate(inverter(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in report.written] == ["x.bmp.png", "x.png.png"] and not report.failed
    for number, name in enumerate(("x.bmp.png", "x.png.png")):
        assert torch.equal(read_image(tmp_path / "out" / name, channels=3), 255 - picture(seed=number))


def test_one_file_to_a_file_or_a_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", picture())
    unit.translate(inverter(), tmp_path / "x.png", tmp_path / "y.webp")
    unit.translate(inverter(), tmp_path / "x.png", tmp_path / "folder")
    unit.translate(inverter(), tmp_path / "x.png", tmp_path / "folder", format="tif")
    for path in (tmp_path / "y.webp", tmp_path / "folder" / "x.png", tmp_path / "folder" / "x.tif"):
        assert torch.equal(read_image(path, channels=3), 255 - picture())


def test_output_inside_the_input_is_not_translated_again(folder: Path) -> None:
    report = unit.translate(inverter(), folder, folder / "out")
    assert len(report.written) == len(SIZES)


def test_scaled_first_where_asked(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", picture(20, 40))
    unit.translate(inverter(), tmp_path / "x.png", tmp_path / "y.png", resize=8)
    assert read_image(tmp_path / "y.png", channels=3).shape == (3, 8, 16)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 3), (3, 1)])
def test_each_domain_has_its_own_channels(a: Channels, b: Channels, tmp_path: Path) -> None:
    """Whatever the files have: a gray model takes color, a color model gray."""
    torch.manual_seed(0)
    config = UnitTranslatorConfig(TranslatedImages(a, b), UnitModelConfig(width=2, blocks=1))
    save_model(tmp_path / "model", UnitTranslator(config), step=1)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "color.png", picture(9, 8))
    write_image(tmp_path / "in" / "gray.png", picture(8, 10)[:1])
    for direction, channels in (("a2b", b), ("b2a", a)):
        out = tmp_path / direction
        report = unit.translate(tmp_path / "model", tmp_path / "in", out, direction=direction)  # type: ignore[arg-type]
        assert not report.failed
        for name, size in (("color.png", (8, 9)), ("gray.png", (10, 8))):
            with Image.open(out / name) as image:
                assert (image.size, image.mode) == (size, "L" if channels == 1 else "RGB")


@pytest.mark.parametrize(
    "options", [{"direction": "c2d"}, {"format": "gif"}, {"batch_size": 0}, {"resize": 0}, {"device": "warp"}]
)
def test_options_that_are_not_allowed(options: dict[str, object], tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", picture())
    with pytest.raises(ValueError, match=next(iter(options))):
        unit.translate(inverter(), tmp_path / "x.png", tmp_path / "y.png", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "y.png").exists()


def test_a_full_disk_fails_file_by_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unit.inference.folder.write_image", full)
    report = unit.translate(inverter(), folder, tmp_path / "out")
    assert len(report.failed) == len(SIZES) and not report.written
    assert "No space left" in str(report)
