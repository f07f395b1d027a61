"""The pictures of an autoencoder of digits: which a model has, what they show where, and what is left alone."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.colors import to_rgba
from torch import Tensor, nn

from unit import draws
from unit.config.autoencoders import (
    AAEModelConfig,
    CategoricalAAEModelConfig,
    M1M2ModelConfig,
    M1ModelConfig,
    M2ModelConfig,
    NetsConfig,
    SupervisedAAEModelConfig,
    WAEModelConfig,
)
from unit.core.prior import Mixture, Normal, Uniform
from unit.data.decoding import read_image
from unit.data.digits import Digits
from unit.methods.aae import aae_model
from unit.methods.aae_semi import CategoricalModel
from unit.methods.aae_supervised import supervised_aae_model
from unit.methods.autoencoder import DigitModel, grey, noisy
from unit.methods.cvae import cvae_model
from unit.methods.m1 import M1Model
from unit.methods.m1m2 import M1M2Model
from unit.methods.m2 import M2Model
from unit.methods.method import Grid
from unit.methods.vae import vae_model
from unit.methods.wae import wae_model
from unit.report import digits as report
from unit.report.digits import plot

SIZE = 8
TILE = 7 * SIZE + 2  # magnified to 56 pixels, and a gap of 2
OF_AUTOENCODERS = {"reconstructions", "samples", "latent"}
OF_LABELS = {"samples", "styles", "analogies"}
MANIFOLDS = {f"manifold_of_{y}" for y in range(10)}


def tiny(config: type[Any], latent: int, **more: Any) -> Any:
    return config(hidden=(8,), activations=("relu",), latent=latent, **more)


def categorical(latent: int, *, categories: int = 10, heads: float = 0.0) -> CategoricalModel:
    config = tiny(CategoricalAAEModelConfig, latent, categories=categories, heads=heads)
    return CategoricalModel(config, size=SIZE, supervised=True)


Build = Callable[[], nn.Module]
MODELS: dict[str, tuple[Build, set[str]]] = {
    "vae of 1": (lambda: vae_model(tiny(NetsConfig, 1), SIZE), OF_AUTOENCODERS - {"latent"}),
    "vae of 2": (lambda: vae_model(tiny(NetsConfig, 2), SIZE), OF_AUTOENCODERS | {"manifold"}),
    "vae of 3": (lambda: vae_model(tiny(NetsConfig, 3), SIZE), OF_AUTOENCODERS),
    "denoising vae": (lambda: vae_model(tiny(NetsConfig, 3, noise=0.3), SIZE), OF_AUTOENCODERS | {"denoising"}),
    "conv": (lambda: vae_model(NetsConfig(architecture="conv", latent=3), SIZE), OF_AUTOENCODERS),
    "aae": (
        lambda: aae_model(tiny(AAEModelConfig, 2, prior="mixture", informed=True), SIZE),
        OF_AUTOENCODERS | {"manifold"},
    ),
    "wae": (lambda: wae_model(tiny(WAEModelConfig, 3), SIZE), OF_AUTOENCODERS),
    "cvae of 2": (lambda: cvae_model(tiny(NetsConfig, 2), SIZE), OF_AUTOENCODERS | OF_LABELS | MANIFOLDS),
    "cvae of 3": (lambda: cvae_model(tiny(NetsConfig, 3), SIZE), OF_AUTOENCODERS | OF_LABELS),
    "supervised aae": (
        lambda: supervised_aae_model(tiny(SupervisedAAEModelConfig, 3), SIZE),
        OF_AUTOENCODERS | OF_LABELS,
    ),
    "m1": (lambda: M1Model(tiny(M1ModelConfig, 3), size=SIZE), OF_AUTOENCODERS),
    "m2": (lambda: M2Model(tiny(M2ModelConfig, 3), size=SIZE), OF_LABELS),
    "m2 of 2": (lambda: M2Model(tiny(M2ModelConfig, 2), size=SIZE), OF_LABELS | MANIFOLDS),
    "m1m2": (lambda: M1M2Model(tiny(M1M2ModelConfig, 2, m2_latent=3), size=SIZE), OF_LABELS),
    "categories": (lambda: categorical(2), {"reconstructions", "heads", "styles"}),
    "heads": (lambda: categorical(2, heads=1.0), {"reconstructions", "heads", "styles", "latent"}),
    "heads in 3": (lambda: categorical(3, heads=1.0), {"reconstructions", "heads", "styles"}),
}


def made(name: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name][0]().eval()


@pytest.fixture(scope="module")
def digits() -> Digits:
    """47 random images, whose labels count through the digits, from 7."""
    images = torch.randint(256, (47, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Digits(images, (torch.arange(47) + 7) % 10)


def tiles(path: Path) -> Tensor:
    """The images of a grid, as small as they were: uint8 (rows, columns, size, size). The gaps must be white."""
    picture = nn.functional.pad(read_image(path, channels=1), (0, 2, 0, 2), value=255)[0]
    rows = picture.unfold(0, TILE, TILE).unfold(1, TILE, TILE)
    assert (rows[..., -2:, :] == 255).all() and (rows[..., -2:] == 255).all()
    small = rows[..., :-2:7, :-2:7]
    assert torch.equal(rows[..., :-2, :-2], small.repeat_interleave(7, -1).repeat_interleave(7, -2))
    return small


def shown(images: Tensor) -> Tensor:
    """What a grid shows of images (…, 1, size, size) in [0, 1]."""
    return grey(images).squeeze(-3)


def different(rows: Tensor) -> int:
    """How many different rows there are: (N, n) → a number."""
    return len(set(map(tuple, rows.tolist())))


def refused(folder: Path, model: nn.Module, digits: Digits, expected: type[Exception]) -> str:
    """Plotting raises that, in one line, and leaves all as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(expected) as caught:
        plot(model, digits, folder / "pictures")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", MODELS)
def test_each_model_has_its_pictures(name: str, digits: Digits, tmp_path: Path) -> None:
    paths = plot(made(name), digits, tmp_path / "new" / "pictures")
    assert {path.name for path in paths} == {f"{picture}.png" for picture in MODELS[name][1]}
    assert set((tmp_path / "new" / "pictures").iterdir()) == set(paths)
    assert len(set(paths)) == len(paths)
    # 47 images are 2 whole rows of 20; a figure has 130 pixels an inch
    sides = {
        "reconstructions": (4, 20), "denoising": (6, 20), "samples": (10, 10), "styles": (10, 10),
        "analogies": (10, 12), "heads": (10, 11),
    }  # fmt: skip
    for path in paths:
        rows, columns = (20, 20) if path.stem.startswith("manifold") else sides.get(path.stem, (0, 0))
        if path.stem == "latent":
            panels = 1 if name == "heads" else 2
            assert read_image(path, channels=3).shape == (3, 689, 130 * 5 * panels + 91)
        else:
            assert tiles(path).shape == (rows, columns, SIZE, SIZE)


def test_few_images_make_one_row(digits: Digits, tmp_path: Path) -> None:
    plot(made("cvae of 3"), digits.part(0, 3), tmp_path)
    assert tiles(tmp_path / "reconstructions.png").shape[:2] == (2, 3)
    assert tiles(tmp_path / "analogies.png").shape[:2] == (3, 12)


@pytest.mark.parametrize("size", [16, 28])
def test_digits_are_magnified_by_whole_pixels(size: int, tmp_path: Path) -> None:
    images = torch.zeros(20, 1, size, size, dtype=torch.uint8)
    plot(vae_model(tiny(NetsConfig, 1), size), Digits(images, torch.arange(20) % 10), tmp_path)
    side = {16: 48, 28: 56}[size]
    assert read_image(tmp_path / "reconstructions.png", channels=1).shape == (1, 2 * side + 2, 20 * side + 38)


def test_a_model_of_another_kind_has_no_pictures(digits: Digits, tmp_path: Path) -> None:
    assert "Linear" in refused(tmp_path, nn.Linear(2, 2), digits, ValueError)
    assert not list(tmp_path.iterdir())


def test_pictures_that_are_there_are_left_alone_without_overwrite(digits: Digits, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "samples.png").write_text("mine")
    (folder / "other.png").write_text("mine too")
    message = refused(tmp_path, made("vae of 2"), digits, FileExistsError)
    assert "samples.png" in message and "--overwrite" in message and "latent.png" not in message
    plot(made("vae of 2"), digits, folder, overwrite=True)
    assert tiles(folder / "samples.png").shape[:2] == (10, 10)
    assert (folder / "other.png").read_text() == "mine too"
    message = refused(tmp_path, made("vae of 2"), digits, FileExistsError)
    assert all(f"{name}.png" in message for name in MODELS["vae of 2"][1])


def test_a_file_is_no_folder_for_pictures(digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("mine")
    assert "pictures is a file" in refused(tmp_path, made("vae of 1"), digits, NotADirectoryError)


@pytest.mark.parametrize("name", ["denoising vae", "aae", "supervised aae", "m2", "heads"])
def test_pictures_are_the_same_each_time(name: str, digits: Digits, tmp_path: Path) -> None:
    model, state = made(name), torch.get_rng_state()
    first = plot(model, digits, tmp_path / "1")
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(1)  # what others draw does not matter
        second = plot(model, digits, tmp_path / "2")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


# What is where.


def test_each_reconstruction_is_beneath_its_image(digits: Digits, tmp_path: Path) -> None:
    model: DigitModel = made("cvae of 3")
    plot(model, digits, tmp_path)
    x, y = digits.images[:40].float() / 255, digits.labels[:40]
    rows = tiles(tmp_path / "reconstructions.png")
    assert torch.equal(rows[0::2].flatten(0, 1), digits.images[:40, 0])
    assert torch.equal(rows[1::2].flatten(0, 1), shown(model.image(model.code(x, y), y)))


def test_denoising_shows_what_the_model_saw(digits: Digits, tmp_path: Path) -> None:
    model: DigitModel = made("denoising vae")
    plot(model, digits, tmp_path)
    clean, seen, denoised = (tiles(tmp_path / "denoising.png")[row::3].flatten(0, 1) for row in range(3))
    x = digits.images[:40].float() / 255
    noise = noisy(x, 0.3, torch.randn(x.shape, generator=draws.generator(0, "plot noise")))
    assert torch.equal(clean, digits.images[:40, 0])
    assert torch.equal(seen, shown(noise))
    assert torch.equal(denoised, shown(model.image(model.code(noise))))
    assert torch.equal(tiles(tmp_path / "reconstructions.png")[1], shown(model.image(model.code(x[:20]))))


def told(z: Tensor, y: Tensor) -> Tensor:
    """A decoder that can be read: 2 × 2 pixels of the code's two numbers, from [-5, 5], and of a tenth of the label."""
    of_z = (z[:, :2] + 5) / 10
    return torch.stack([of_z[:, 0], of_z[:, 1], y / 10, y / 10], dim=1).view(-1, 1, 2, 2)


def read(grid: Grid) -> Tensor:
    """What `told` was told: (rows, columns, 3)."""
    pixels = grid.images[:, 0, ::28, ::28].double().view(-1, grid.columns, 4) / 255
    assert torch.equal(pixels[..., 2], pixels[..., 3])
    scale, shift = 10, torch.tensor([5.0, 5.0, 0.0])
    return scale * pixels[..., :3] - shift


def test_samples_and_styles_have_a_column_a_label() -> None:
    samples, styles = read(report.samples(told, Normal(2))), read(report.styles(told, Normal(2)))
    for grid in (samples, styles):
        assert grid.shape == (10, 10, 3)
        assert torch.equal(grid[..., 2].round(), torch.arange(10.0).double().expand(10, 10))
    assert different(samples[..., :2].flatten(0, 1)) > 90  # each its own code, but for what rounding makes one
    assert torch.equal(styles[..., :2], styles[:, :1, :2].expand(10, 10, 2))  # a row has one
    assert different(styles[:, 0, :2]) == 10


@pytest.mark.parametrize(
    ("prior", "low", "high"),
    [(Normal(2), 2, 2), (Normal(2, 1.5), 3, 3), (Uniform(2), 0.95, 1), (Mixture(), 2.5, 4)],
    ids=repr,
)
def test_a_manifold_goes_right_and_upwards_over_the_prior(prior: Any, low: float, high: float) -> None:
    grid = read(report.manifold(told, prior, 7))
    assert grid.shape == (20, 20, 3)
    reach = float(grid[..., 0].max())
    assert low - 0.03 < reach < high + 0.03
    line = torch.linspace(-reach, reach, 20).double()
    torch.testing.assert_close(grid[..., 0], line.expand(20, 20), rtol=0, atol=0.06)
    torch.testing.assert_close(grid[..., 1], -line[:, None].expand(20, 20), rtol=0, atol=0.06)
    assert (grid[..., 2].round() == 7).all()


def test_analogies_are_the_first_image_of_each_digit_and_its_style_with_every_label() -> None:
    images = torch.zeros(30, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = 8 * torch.arange(30)
    digits = Digits(images, (torch.arange(30) + 7) % 10)  # the first 0 is image 3

    def code(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([x[:, 0, 0, 0] * 255 / 80, y / 10], dim=1)

    grid = report.analogies(code, told, digits)
    first = grid.images.view(10, 12, 1, 56, 56)[:, :2]
    expected = [(y - 7) % 10 for y in range(10)]
    assert first[:, 0, 0, 0, 0].tolist() == [8 * i for i in expected]
    assert (first[:, 1] == 255).all()  # the gap
    others = read(Grid(grid.images.view(10, 12, 1, 56, 56)[:, 2:].flatten(0, 1), 10))
    torch.testing.assert_close(
        others[..., 0], torch.tensor(expected).double()[:, None].expand(10, 10) / 10, rtol=0, atol=0.02
    )
    torch.testing.assert_close(
        others[..., 1], torch.arange(10).double()[:, None].expand(10, 10) / 10, rtol=0, atol=0.02
    )
    assert torch.equal(others[..., 2].round(), torch.arange(10.0).double().expand(10, 10))


@pytest.mark.parametrize("name", ["cvae of 3", "supervised aae", "m2", "m1m2"])
def test_an_image_differs_by_label(name: str, digits: Digits, tmp_path: Path) -> None:
    model = made(name)
    with torch.no_grad():
        for parameter in model.parameters():  # m1m2's own weights of the start change the last bits alone
            parameter.mul_(3)
    plot(model, digits, tmp_path)
    for row in tiles(tmp_path / "styles.png"):
        assert different(row.flatten(1)) > 1


def test_m2_takes_its_own_label_and_a_cvae_the_one_given(tmp_path: Path, digits: Digits) -> None:
    ten = digits.part(0, 10)
    again = Digits(ten.images, ten.labels.roll(1))
    for name, same in (("m2", True), ("cvae of 3", False)):
        rows = []
        for i, part in enumerate((ten, again)):
            plot(made(name), part, tmp_path / f"{name} {i}")
            analogies = tiles(tmp_path / f"{name} {i}" / "analogies.png")
            rows.append(analogies[part.labels])  # in the images' order
        assert torch.equal(rows[0][:, 0], rows[1][:, 0])
        assert torch.equal(rows[0], rows[1]) == same


def test_a_row_of_heads_is_the_category_and_its_surest_images() -> None:
    model = categorical(2, categories=3)
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 5, bias=False))
    linear = model.encoder[1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(5, SIZE * SIZE))  # the first pixels are the logits
    images = torch.zeros(14, 1, SIZE, SIZE, dtype=torch.uint8)
    images[:11, 0, 0, 0] = torch.tensor([100, 200, 110, 190, 120, 180, 130, 170, 140, 160, 150], dtype=torch.uint8)
    images[11:, 0, 0, 2] = torch.tensor([5, 10, 7], dtype=torch.uint8)
    with torch.inference_mode():
        grid = report.heads(model, Digits(images, torch.zeros(14, dtype=torch.int64)))
        head = shown(model.image(torch.eye(3), torch.zeros(3, 2)))
    assert grid.columns == 11
    rows = grid.images[..., ::7, ::7].view(3, 11, SIZE, SIZE)
    assert torch.equal(rows[:, 0], head)
    assert (rows[:, 1] == 255).all()  # the gap
    assert rows[0, 2:, 0, 0].tolist() == [200, 190, 180, 170, 160, 150, 140, 130, 120]
    assert (rows[1, 2:] == 255).all()  # no image is in it
    assert rows[2, 2:5, 0, 2].tolist() == [10, 7, 5]
    assert (rows[2, 5:] == 255).all()


def test_styles_of_categories_have_one_style_a_row() -> None:
    model = categorical(2, categories=3)
    with torch.inference_mode():
        grid = report.category_styles(model)
        z = model.style_prior.sample(10, draws.generator(0, "plot styles"))
        expected = [shown(model.image(torch.eye(3), style.expand(3, 2))) for style in z]
    assert grid.columns == 3
    assert torch.equal(grid.images[:, 0, ::7, ::7], torch.cat(expected))


# Codes. Figures are asked for what they hold.


def in_panel(axes: Any) -> tuple[Tensor, Tensor]:
    """The points of a panel (N, 2) and their colours (N or 1, 4)."""
    (dots,) = axes.collections
    return torch.tensor(dots.get_offsets().data), torch.tensor(dots.get_facecolors())


@pytest.mark.parametrize("name", ["vae of 3", "cvae of 2", "aae"])
def test_codes_lie_beside_samples_of_the_prior(name: str, digits: Digits) -> None:
    model: DigitModel = made(name)
    with torch.inference_mode():
        codes, prior = report.clouds(model, digits)
        expected = model.code(digits.images.float() / 255, digits.labels)[:, :2]
    torch.testing.assert_close(codes.points, expected)
    assert codes.labels is digits.labels
    assert prior.points.shape == (47, 2)
    assert ("first two of 3" in codes.title) == ("first two of 3" in prior.title) == (name == "vae of 3")
    if name != "aae":
        assert prior.labels is None
    else:
        assert prior.labels is not None
        angle = torch.atan2(prior.points[:, 1], prior.points[:, 0]) - 2 * math.pi * prior.labels / 10
        assert (angle.cos() > 0.8).float().mean() > 0.9  # each in the petal of its label


def test_codes_are_coloured_by_label_on_the_axes_of_the_prior() -> None:
    labelled = report.Cloud("codes", torch.tensor([[-1.0, 1.0], [3.0, 5.0], [0.0, 1.0]]), torch.tensor([3, 0, 3]))
    plain = report.Cloud("prior", torch.tensor([[9.0, 1.0]]), None)
    left, right = (panels := report.scatter(labelled, plain, names=report.DIGITS)).axes
    at, colours = in_panel(left)
    assert torch.equal(at, labelled.points.double())
    assert torch.equal(colours[0], colours[2]) and not torch.equal(colours[0], colours[1])
    legend = {
        text.get_text(): torch.tensor(to_rgba(mark.get_color()))
        for text, mark in zip(panels.legends[0].get_texts(), panels.legends[0].get_lines(), strict=True)
    }
    assert list(legend) == [str(y) for y in range(10)]
    torch.testing.assert_close(colours, torch.stack([legend["3"], legend["0"], legend["3"]]).double())
    at, colours = in_panel(right)
    assert at.tolist() == [[9.0, 1.0]] and colours.tolist() == [[0.0, 0.0, 0.0, 1.0]]
    for axes in (left, right):  # the square around (4, 3) that holds -1 … 9, and a little more
        assert axes.get_xlim() == pytest.approx((4 - 5.3, 4 + 5.3))
        assert axes.get_ylim() == pytest.approx((3 - 5.3, 3 + 5.3))
        assert axes.get_aspect() == 1


def test_a_single_point_can_be_drawn() -> None:
    with torch.inference_mode():
        cloud = report.Cloud("", torch.zeros(1, 2), torch.tensor([5]))
        grid = report.raster(report.scatter(cloud, names=report.DIGITS))
    assert grid.images.shape == (1, 3, 689, 741)
