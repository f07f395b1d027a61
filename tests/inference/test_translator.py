"""`unit.load`: an image of any kind and size in, the same kind and size out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_kinds import inverter, last, noise
from PIL import Image
from torch import Tensor, nn

import unit
from unit.config.data import Channels
from unit.data.images import to_float, to_uint8
from unit.models import MODELS
from unit.models.autoencoder import AutoencoderConfig, ImageAutoencoder, ImageAutoencoderConfig, ImageShape
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.models.folder import save_model
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig

SIZES = [(1, 1), (3, 5), (16, 16), (17, 31), (50, 46), (2, 64)]
"""Heights and widths."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a UNIT translator with weights that count."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "model"
    config = UnitTranslatorConfig(model=UnitModelConfig(width=2, blocks=1, init="kaiming"))
    save_model(folder, UnitTranslator(config), step=1)
    return folder


# Kinds


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_each_kind_comes_back_as_it_came_and_of_its_size(size: tuple[int, int], tmp_path: Path) -> None:
    translator, x = inverter(), noise(3, *size)
    picture = Image.fromarray(last(x))
    picture.save(tmp_path / "x.png")
    y = translator(x)
    assert y.dtype == torch.uint8 and torch.equal(y, 255 - x)
    assert torch.equal(translator(x[None]), y[None])
    assert torch.allclose(translator(to_float(x)), -to_float(x))
    for image in (picture, tmp_path / "x.png", str(tmp_path / "x.png")):
        out = translator(image)
        assert isinstance(out, Image.Image) and out.mode == "RGB" and out.size == size[::-1]
        assert np.array_equal(np.asarray(out), last(y))
    for array, expected in ((last(x), last(y)), (last(x[None]), last(y[None]))):
        out = translator(array)
        assert isinstance(out, np.ndarray) and out.dtype == np.uint8 and np.array_equal(out, expected)


def test_50_by_46_comes_back_as_50_by_46(saved: Path) -> None:
    translator = unit.load(saved, device="cpu")
    assert translator(torch.zeros(2, 3, 50, 46), "b2a").shape == (2, 3, 50, 46)
    assert translator(np.zeros((50, 46, 3), np.uint8)).shape == (50, 46, 3)
    assert translator(Image.new("RGB", (46, 50))).size == (46, 50)


def test_an_array_without_channels_comes_back_without(tmp_path: Path) -> None:
    translator, x = inverter(1), noise(1, 9, 7)
    assert np.array_equal(translator(x[0].numpy()), 255 - x[0].numpy())  # (H, W)
    assert np.array_equal(translator(last(x)), 255 - last(x))  # (H, W, 1)
    assert np.array_equal(translator(last(x)[None]), 255 - last(x)[None])  # (N, H, W, 1)
    assert torch.equal(translator(x), 255 - x)
    out = translator(Image.fromarray(x[0].numpy()))
    assert out.mode == "L" and np.array_equal(np.asarray(out), 255 - x[0].numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_come_back_in_their_dtype(dtype: torch.dtype) -> None:
    x = (torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(dtype)
    y = inverter()(x)
    assert y.dtype == dtype and y.shape == x.shape
    torch.testing.assert_close(y, -x)
    assert torch.equal(inverter()(x[0]), y[0])


def test_lists_give_lists_of_the_same_kinds(tmp_path: Path) -> None:
    translator, x, y = inverter(), noise(3, 5, 8), noise(2, 3, 4, 4, seed=1)
    Image.fromarray(last(x)).save(tmp_path / "x.png")
    out = translator([x, to_float(y), last(x), Image.fromarray(last(x)), tmp_path / "x.png", [x]])
    assert isinstance(out, list)
    assert [type(one) for one in out] == [Tensor, Tensor, np.ndarray, Image.Image, Image.Image, list]
    assert torch.equal(out[0], 255 - x) and torch.equal(out[5][0], 255 - x)
    assert translator([]) == [] and isinstance(translator((x,)), list)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::-1],
        lambda x: x[:, ::-1],
        lambda x: x[2:, 1:],
        lambda x: x.transpose(1, 0, 2),
        np.asfortranarray,
        lambda x: np.asarray(Image.fromarray(x)),  # which can't be written to
    ],
    ids=["upside down", "mirrored", "cropped", "turned", "Fortran's", "of a picture"],
)
def test_views_of_arrays_are_arrays(view: Callable[[Any], Any]) -> None:
    x = view(last(noise(3, 8, 6)))
    before = x.copy()
    assert np.array_equal(inverter()(x), 255 - x) and np.array_equal(x, before)


def test_what_is_given_is_not_changed_nor_kept() -> None:
    x = torch.zeros(1, 3, 8, 8, requires_grad=True)
    y = inverter()(x)
    assert not y.requires_grad and torch.equal(x, torch.zeros(1, 3, 8, 8))
    u = noise(3, 8, 8)
    before = u.clone()
    out = inverter()(u)
    out.zero_()
    assert torch.equal(u, before)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_mode_are_taken(mode: str, channels: Channels) -> None:
    picture = Image.fromarray(last(noise(3, 6, 9))).convert(mode)
    out = inverter(channels)(picture)
    wanted = "L" if channels == 1 else "RGB"
    alpha = "A" if mode in ("LA", "RGBA") else ""  # which is kept
    assert (out.mode, out.size) == (wanted + alpha, (9, 6))
    assert np.array_equal(np.asarray(out.convert(wanted)), 255 - np.asarray(picture.convert(wanted)))


def test_a_picture_is_read_as_its_file_is(tmp_path: Path) -> None:
    """Transparency is laid on white, and 16 bits are scaled to 8, not clipped."""
    color, clear = noise(3, 6, 9), noise(1, 6, 9, seed=1)
    pictures = {
        "clear": Image.fromarray(last(torch.cat([color, clear]))),
        "gray and clear": Image.fromarray(last(torch.cat([color[:1], clear]))),
        "deep": Image.fromarray(color[0].numpy().astype(np.uint16) * 256),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / "x.png")
        with Image.open(tmp_path / "x.png") as opened:
            found = np.asarray(inverter()(opened))
        assert np.array_equal(found, np.asarray(inverter()(tmp_path / "x.png"))), name


# What is made of them


def test_a_loaded_model_translates_through_the_means_the_same_each_time(saved: Path) -> None:
    translator, x = unit.load(str(saved), device="cpu"), noise(2, 3, 16, 20)
    model = translator.model
    assert isinstance(model, UnitTranslator) and not model.training
    by_hand = model.b.decode(model.a.encoder(to_float(x)))
    assert torch.equal(translator(x), to_uint8(by_hand)) and torch.equal(translator(x), translator(x))
    assert torch.equal(translator(to_float(x)), by_hand)
    assert torch.equal(translator(x), translator(x, "a2b"))
    assert not torch.equal(translator(x), translator(x, "b2a"))


def test_the_border_of_odd_sizes_is_mirrored(saved: Path) -> None:
    translator, x = unit.load(saved, device="cpu"), noise(3, 17, 30)
    rows, columns = [*range(17), 15, 14, 13], [*range(30), 28, 27]
    padded = x[:, rows][:, :, columns]
    difference = translator(padded)[:, :17, :30].int() - translator(x).int()
    assert difference.abs().max() <= 1


def test_the_round_trip_is_both_directions_after_each_other() -> None:
    translator, white = inverter(), torch.ones(3, 5, 7)
    for direction in ("a2b", "b2a"):
        assert torch.equal(translator(white, direction, cycle=True), white / 2)
    assert set(translator(noise(3, 5, 7) * 0 + 255, cycle=True).flatten().tolist()) == {191}


def test_sides_smaller_than_the_networks_need_are_repeated(saved: Path) -> None:
    one = unit.load(saved, device="cpu")(noise(3, 1, 1))
    assert one.shape == (3, 1, 1)


# Channels and directions


@pytest.mark.parametrize(("a", "b"), [(1, 3), (3, 1), (1, 1)])
def test_domains_may_differ_in_their_channels(a: Channels, b: Channels, tmp_path: Path) -> None:
    translator = inverter(a, b)
    for direction, n_in, n_out in (("a2b", a, b), ("b2a", b, a)):
        x = noise(n_in, 10, 6)
        Image.fromarray(last(noise(3, 10, 6))).save(tmp_path / "x.png")
        assert translator(x, direction).shape == (n_out, 10, 6)
        assert translator(to_float(x)[None], direction).shape == (1, n_out, 10, 6)
        assert translator(last(x), direction).shape == (10, 6, n_out)
        for picture in (tmp_path / "x.png", Image.open(tmp_path / "x.png")):
            out = translator(picture, direction)
            assert (out.mode, out.size) == ("L" if n_out == 1 else "RGB", (6, 10))
        assert translator(x, direction, cycle=True).shape == (n_in, 10, 6)
        if n_in == 1:  # (H, W) has no channel; what comes out has what it needs
            assert translator(x[0].numpy(), direction).shape == ((10, 6) if n_out == 1 else (10, 6, 3))


@dataclass(frozen=True)
class Brightness:
    """The one section of `OneWay`'s config."""

    factor: float = 0.5
    """of the images' contrast"""


@dataclass(frozen=True)
class OneWayConfig:
    """What OneWay is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: Brightness = field(default_factory=Brightness)


@pytest.fixture
def one_way(tmp_path: Path) -> Any:
    """The saved folder of a model that translates from a to b only, and knows no stride."""

    class OneWay(ImageTranslator, name="one_way"):
        Config = OneWayConfig
        directions = ("a2b",)
        stride = 1
        floats_per_pixel = 3.0

        def __init__(self, config: OneWayConfig) -> None:
            super().__init__()
            self.config, self.images = config, config.images
            self.shift = nn.Parameter(torch.tensor(0.25))

        def _translate(self, x: Tensor, direction: Direction) -> Tensor:
            return self.config.model.factor * x + self.shift

    save_model(tmp_path / "one_way", OneWay(OneWayConfig(model=Brightness(0.25))), step=3)
    yield tmp_path / "one_way"
    del MODELS["one_way"]


def test_a_model_of_one_direction_has_that_one(one_way: Path) -> None:
    translator, x = unit.load(one_way, device="cpu"), to_float(noise(3, 7, 5))
    assert torch.allclose(translator(x), 0.25 * x + 0.25)
    with pytest.raises(ValueError, match=r"^direction: expected a2b, got 'b2a'$"):
        translator(x, "b2a")
    with pytest.raises(ValueError, match=r"^direction: expected a2b, got 'b2a'$"):
        translator(x, cycle=True)


def test_a_folder_is_translated_in_the_direction_that_there_is(one_way: Path, tmp_path: Path) -> None:
    Image.fromarray(last(noise(3, 7, 5))).save(tmp_path / "x.png")
    assert len(unit.translate(one_way, tmp_path / "x.png", tmp_path / "y.png").written) == 1
    with pytest.raises(ValueError, match="direction: expected a2b, got 'b2a'"):
        unit.translate(one_way, tmp_path / "x.png", tmp_path / "z.png", direction="b2a")
    with pytest.raises(ValueError, match="direction: expected a2b, got 'b2a'"):
        unit.translate(one_way, tmp_path / "x.png", tmp_path / "z.png", cycle=True)
    assert not (tmp_path / "z.png").exists()


# Loading


@pytest.mark.parametrize("device", ["warp:9", "cud", ""])
def test_a_device_that_there_is_not_is_refused(saved: Path, device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        unit.load(saved, device=device)


def test_there_must_be_a_translator(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        unit.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no model in"):
        unit.load(tmp_path)
    config = ImageAutoencoderConfig(ImageShape(8), AutoencoderConfig(hidden=(4,), activations=("relu",), latent=2))
    save_model(tmp_path / "digits", ImageAutoencoder(config), step=1)
    with pytest.raises(ValueError, match="holds no translator but a model autoencoder"):
        unit.load(tmp_path / "digits")
