"""What an autoencoder's pictures show, and where."""

from pathlib import Path
from typing import Any

import pytest
import torch
from picture_models import SIZE, categorical, different, labeled, made, shown, some_images, tiles
from torch import Tensor, nn

from unit import draws
from unit.core.prior import Cells, Mixture, Normal, Uniform
from unit.data.domain import Domain
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8
from unit.models.autoencoder import ImageAutoencoder
from unit.report import autoencoder as report
from unit.report.autoencoder import plot


@pytest.fixture(scope="module")
def images() -> Domain:
    """47 images, whose labels count through the classes, from 7."""
    return some_images()


def test_each_reconstruction_is_beneath_its_image(images: Domain, tmp_path: Path) -> None:
    model: ImageAutoencoder = made("cvae of 3")
    plot(model, images, tmp_path)
    x, y = to_float(images.tensor[:40]), images.class_labels[:40]
    rows = tiles(tmp_path / "reconstructions.png")
    assert torch.equal(rows[0::2].flatten(0, 1), images.tensor[:40, 0])
    assert torch.equal(rows[1::2].flatten(0, 1), shown(model.image(model.code(x, y), y)))


def test_denoising_shows_what_the_model_saw(images: Domain, tmp_path: Path) -> None:
    model: ImageAutoencoder = made("denoising vae")
    plot(model, images, tmp_path)
    clean, seen, denoised = (tiles(tmp_path / "denoising.png")[row::3].flatten(0, 1) for row in range(3))
    x = to_float(images.tensor[:40])
    # The noise of 0.3 is that of intensities in [0, 1].
    noise = (x + 0.6 * torch.randn(x.shape, generator=draws.generator(0, "plot noise"))).clip(-1, 1)
    assert torch.equal(clean, images.tensor[:40, 0])
    assert torch.equal(seen, shown(noise))
    assert torch.equal(denoised, shown(model.image(model.code(noise))))
    assert torch.equal(tiles(tmp_path / "reconstructions.png")[1], shown(model.image(model.code(x[:20]))))


def test_samples_of_a_model_without_labels_are_ten_by_ten() -> None:
    grid = read(report.samples(lambda z, _: told(z, torch.zeros(len(z))), Normal(2), 0))
    assert grid.shape == (10, 10, 3) and different(grid[..., :2].flatten(0, 1)) > 90


def told(z: Tensor, y: Tensor) -> Tensor:
    """A decoder that can be read: 2 × 2 intensities, of the code's two numbers, from [-5, 5], and of a tenth of the
    label."""
    of_z = (z[:, :2] + 5) / 10
    return 2 * torch.stack([of_z[:, 0], of_z[:, 1], y / 10, y / 10], dim=1).view(-1, 1, 2, 2) - 1


def read(grid: Grid) -> Tensor:
    """What `told` was told: (rows, columns, 3)."""
    pixels = grid.images[:, 0, ::28, ::28].double().view(-1, grid.columns, 4) / 255
    assert torch.equal(pixels[..., 2], pixels[..., 3])
    scale, shift = 10, torch.tensor([5.0, 5.0, 0.0])
    return scale * pixels[..., :3] - shift


def test_samples_and_styles_have_a_column_a_label() -> None:
    samples, styles = (read(draw(told, Normal(2), 10)) for draw in (report.samples, report.styles))
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


def test_a_plain_autoencoders_manifold_is_where_its_codes_are(images: Domain, tmp_path: Path) -> None:
    model: ImageAutoencoder = made("ae of 2")
    paths = plot(model, images, tmp_path)
    with torch.no_grad():
        z = model.code(to_float(images.tensor))
        middle, reach = z.mean(0), 2 * z.std(0, correction=0)
        corners = torch.stack([middle + reach * torch.tensor(at) for at in ([-1, 1], [1, 1], [-1, -1], [1, -1])])
        expected = shown(model.image(corners))
    seen = tiles(tmp_path / "manifold.png")
    found = torch.stack([seen[row, column] for row in (0, -1) for column in (0, -1)])
    assert tmp_path / "manifold.png" in paths
    assert (found.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("prior", [Mixture(), Cells()], ids=repr)
def test_places_have_a_row_a_place_and_a_column_a_part(prior: Any) -> None:
    grid = read(report.places(told, prior))
    assert grid.shape == (10, 10, 3)
    assert torch.equal(grid[..., 2].round(), torch.arange(10.0).double().expand(10, 10))
    z, number = grid[..., :2], torch.arange(10)
    if isinstance(prior, Cells):  # moved by the distance of the cells
        cells = torch.stack([number % 4, number // 4], dim=1).double() / 2
        place = z - cells
    else:  # turned back
        angle = torch.polar(torch.ones(10).double(), -2 * torch.pi * number.double() / 10)
        place = torch.view_as_real(torch.complex(z[..., 0], z[..., 1]) * angle)
    torch.testing.assert_close(place, place[:, :1].expand(10, 10, 2), rtol=0, atol=0.06)
    assert different(place[:, 0]) == 10


def test_analogies_are_the_first_image_of_each_class_and_its_style_with_every_label() -> None:
    images = torch.zeros(30, 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = 8 * torch.arange(30)
    domain = labeled(images, (torch.arange(30) + 7) % 10)  # the first 0 is image 3

    def code(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([to_uint8(x[:, 0, 0, 0]).float() / 80, y / 10], dim=1)

    grid = report.analogies(code, told, domain)
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
def test_an_image_differs_by_label(name: str, images: Domain, tmp_path: Path) -> None:
    model = made(name)
    with torch.no_grad():
        for parameter in model.parameters():  # m1m2's own weights of the start change the last bits alone
            parameter.mul_(3)
    plot(model, images, tmp_path)
    for row in tiles(tmp_path / "styles.png"):
        assert different(row.flatten(1)) > 1


def test_m2_takes_its_own_label_and_a_cvae_the_one_given(tmp_path: Path, images: Domain) -> None:
    ten = images.part(0, 10)
    again = labeled(ten.tensor, ten.class_labels.roll(1))
    for name, same in (("m2", True), ("cvae of 3", False)):
        rows = []
        for i, part in enumerate((ten, again)):
            plot(made(name), part, tmp_path / f"{name} {i}")
            analogies = tiles(tmp_path / f"{name} {i}" / "analogies.png")
            rows.append(analogies[part.class_labels])  # in the images' order
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
        grid = report.heads(model, labeled(images, torch.zeros(14, dtype=torch.int64)))
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
