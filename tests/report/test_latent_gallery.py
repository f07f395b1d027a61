"""The pictures of a shared latent space: neighbors across domains, and what lies between images of both."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from test_latent_of_translators import noise, translator
from torch import Tensor

from unit.data.decoding import read_image
from unit.data.images import to_float
from unit.evaluation.evaluate import measure
from unit.evaluation.sets import TranslationSet
from unit.report import latent
from unit.report.latent import GREEN, codes_in, gallery, interpolations, plot_latent, spread


@pytest.fixture
def images(tmp_path: Path) -> TranslationSet:
    """Three images of a and four of b of one size, of which the first three have the same names."""
    noise(tmp_path / "testA", *[(16, 16)] * 3)
    noise(tmp_path / "testB", *[(16, 16)] * 4, seed=1)
    return TranslationSet(translator(), tmp_path)


def cells_of(grid: Tensor, columns: int) -> list[Tensor]:
    return list(grid.view(-1, columns, *grid.shape[1:]))


def test_a_row_is_an_image_and_those_whose_codes_are_nearest(images: TranslationSet) -> None:
    a, b = codes_in(images, "a"), codes_in(images, "b")
    grid = gallery(images, "a2b", a, b)
    assert grid.columns == 2 + 4 and len(grid.images) == 3 * 6
    model = images.model
    with torch.no_grad():
        z_a, z_b = (
            torch.cat([model.code(to_float(x[None]), domain) for x in seen])  # type: ignore[operator]
            for domain, seen in (("a", images.test_a), ("b", images.test_b))
        )
    for number, row in enumerate(cells_of(grid.images, 6)):
        assert torch.equal(row[0], images.test_a[number]) and (row[1] == 255).all()
        order = (z_b - z_a[number]).flatten(1).norm(dim=1).argsort().tolist()  # 4×4 places, so cells are the code
        for cell, place in zip(row[2:], order, strict=True):
            inside = slice(1, -1)
            assert torch.equal(cell[:, inside, inside], images.test_b[place][:, inside, inside])
            green = tuple(cell[:, 0, 0].tolist()) == GREEN
            assert green == (place == number)


def test_the_way_back_has_the_other_domain_on_the_left(images: TranslationSet) -> None:
    grid = gallery(images, "b2a", codes_in(images, "b"), codes_in(images, "a"))
    assert grid.columns == 2 + 3 and torch.equal(grid.images[5], images.test_b[1])


def test_codes_of_metrics_are_used_and_others_leave_no_trace(
    images: TranslationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent, "CANDIDATES", 2)
    assert len(codes_in(images, "b")) == 2 and images.codes == {}
    measure(images, ["neighbors"])
    assert len(codes_in(images, "b")) == 4


def test_between_images_of_both_domains(images: TranslationSet) -> None:
    grid = interpolations(images)
    assert grid.columns == 10 and len(grid.images) == 3 * 2 * 10
    rows = cells_of(grid.images, 10)
    assert torch.equal(rows[0][0], images.test_a[0]) and torch.equal(rows[1][-1], images.test_b[1])
    assert torch.equal(rows[4][0], images.test_a[2]) and torch.equal(rows[5][-1], images.test_b[0])


def test_rows_are_spread_over_the_images() -> None:
    assert spread(100, 4) == [0, 25, 50, 75] and spread(2, 4) == [0, 1]


def test_all_pictures_of_images_of_many_sizes(tmp_path: Path) -> None:
    noise(tmp_path / "testA", (16, 16), (18, 23), (40, 17))
    noise(tmp_path / "testB", (20, 16), (300, 290), seed=1)
    images = TranslationSet(translator(), tmp_path)
    paths = plot_latent(images, tmp_path / "out")
    assert [path.name for path in paths] == [
        "latent.png", "neighbors_a2b.png", "neighbors_b2a.png", "interpolations.png",
    ]  # fmt: skip
    again = plot_latent(images, tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    with Image.open(paths[1]) as picture:
        assert picture.size == (4 * 18 - 2, 3 * 18 - 2)  # the middle that all have in common
    (tmp_path / "out" / "latent.png").unlink()
    with pytest.raises(FileExistsError, match=r"neighbors_a2b\.png already; --overwrite"):
        plot_latent(images, tmp_path / "out")
    assert not (tmp_path / "out" / "latent.png").exists()


def test_one_image_a_domain_has_no_neighbors_to_choose_from(tmp_path: Path) -> None:
    noise(tmp_path / "testA", (16, 16))
    noise(tmp_path / "testB", (16, 16), seed=1)
    paths = plot_latent(TranslationSet(translator(), tmp_path), tmp_path / "out")
    assert [path.name for path in paths] == ["latent.png", "interpolations.png"]


def test_domains_may_differ_in_their_channels(tmp_path: Path) -> None:
    noise(tmp_path / "testA", *[(16, 16)] * 2)
    noise(tmp_path / "testB", *[(16, 16)] * 2, seed=1)
    for path in plot_latent(TranslationSet(translator(1, 3), tmp_path), tmp_path / "out"):
        assert read_image(path, channels=3).shape[0] == 3
