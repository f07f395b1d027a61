"""Map accuracy of translators whose answer is known; the palette is found in the truths; the picture."""

from pathlib import Path

import pytest
import torch
from inverters import Inverter, Keeper, set_of
from torch import Tensor

from unit.data.decoding import read_image
from unit.data.images import write_image
from unit.data.toymaps import PALETTE
from unit.evaluation.evaluate import measure
from unit.evaluation.maps import METRIC, find_palette, write_picture
from unit.evaluation.palette import MAPS_PALETTE


@pytest.fixture
def inverted_toys(toys: Path, tmp_path: Path) -> Path:
    """testB holds toy maps, testA their negatives: an exact answer for the Inverter."""
    for path in (toys / "testB").iterdir():
        truth = read_image(path, channels=3)
        for folder, image in (("testA", 255 - truth), ("testB", truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / path.name, image)
    return tmp_path


def test_the_exact_translator_scores_one(inverted_toys: Path) -> None:
    found = METRIC.measure(set_of(Inverter(), inverted_toys))
    assert found.rows["model"] == {"max": 1, "L2": 1, "balanced": 1}
    assert found.rows["constant color"]["balanced"] == pytest.approx(1 / len(PALETTE))
    assert found.rows.keys() == {"model", "constant color", "another map"}
    assert all(other < 1 for row in list(found.rows.values())[1:] for other in row.values())
    assert set(found.counts.values()) == {3}
    assert found.intervals["model"] == {"max": (1, 1), "L2": (1, 1), "balanced": (1, 1)}
    low, high = found.intervals["another map"]["max"]
    assert low < found.rows["another map"]["max"] < high


def test_the_picture_has_inputs_translations_and_truths(inverted_toys: Path) -> None:
    grid = inverted_toys / "pictures" / "grid.png"
    write_picture(set_of(Inverter(), inverted_toys), grid)
    picture = read_image(grid, channels=3)
    truths = [read_image(path, channels=3) for path in sorted((inverted_toys / "testB").iterdir())]
    assert torch.equal(picture[:, 26:50, :24], truths[0])  # row 2, the translation …
    assert torch.equal(picture[:, 52:76, :24], truths[0])  # … and row 3, the truth, two pixels between them
    assert torch.equal(picture[:, :24, 26:50], 255 - truths[1])


def test_pairs_must_have_the_same_names(inverted_toys: Path) -> None:
    next((inverted_toys / "testA").iterdir()).unlink()
    images = set_of(Inverter(), inverted_toys)
    with pytest.raises(ValueError, match="testA has 2 images and testB 3"):
        measure(images, ["maps"])
    with pytest.raises(ValueError, match="testA has 2 images and testB 3"):
        write_picture(images, inverted_toys / "grid.png")
    assert not (inverted_toys / "grid.png").exists()


def painted(colors: list[tuple[int, int, int]], *, side: int = 10) -> Tensor:
    """uint8 (3, side, side): rows of these colors in turn."""
    rows = torch.tensor([colors[row % len(colors)] for row in range(side)], dtype=torch.uint8)
    return rows.T[:, :, None].expand(-1, -1, side).clone()


@pytest.mark.parametrize(("palette", "name"), [(MAPS_PALETTE, "maps"), (PALETTE, "toymaps")])
def test_the_palette_is_the_one_that_most_pixels_of_the_truths_have(
    palette: dict[str, tuple[int, int, int]], name: str
) -> None:
    truths = [painted(list(palette.values())), painted(list(palette.values())[::-1])]
    assert find_palette(truths) == name
    assert find_palette([truth - 16 for truth in truths]) == name  # no further from each color than the score allows


def test_maps_of_other_colors_have_no_palette() -> None:
    known, other = [PALETTE["land"], PALETTE["water"], PALETTE["building"]], (0, 0, 0)
    assert find_palette([painted([*known, other], side=12)]) == "toymaps"  # 9 rows of 12 are in it
    assert find_palette([painted([*known[1:], other], side=12)]) is None
    assert find_palette([painted([(0, 0, 0)])]) is None


def test_other_images_than_maps_are_refused_by_what_is_wrong(toys: Path) -> None:
    with pytest.raises(ValueError, match="none of the palettes maps, toymaps"):
        measure(set_of(Keeper(), swapped(toys)), ["maps"])
    with pytest.raises(ValueError, match="3 channels, got 1"):
        measure(set_of(Keeper(3, 1), toys), ["maps"])


def swapped(toys: Path) -> Path:
    """The same with photos in the place of maps."""
    root = toys.parent / "swapped"
    if not root.exists():
        root.mkdir()
        (root / "testA").symlink_to(toys / "testB")
        (root / "testB").symlink_to(toys / "testA")
    return root


def test_classes_without_a_pixel_are_named_and_the_table_is_aligned(tmp_path: Path) -> None:
    for folder in ("testA", "testB"):
        for number in range(2):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{number}.png", painted([PALETTE["land"], PALETTE["building"]]))
    found = METRIC.measure(set_of(Keeper(), tmp_path))
    lines = str(found).splitlines()
    names = [found.title, "model", "constant color", "another map"]
    assert [line[: len(names[2])].strip() for line in lines[:4]] == names
    assert len({len(line) for line in lines[:4]}) == 1
    assert "water, road, park" in lines[4]


def test_each_image_has_its_accuracies(tmp_path: Path) -> None:
    (tmp_path / "testA" / "in").mkdir(parents=True)
    (tmp_path / "testB" / "in").mkdir(parents=True)
    land, water = PALETTE["land"], PALETTE["water"]
    for name, colors in (("in/x.png", [land]), ("y.png", [land, water])):
        write_image(tmp_path / "testA" / name, painted([land]))
        write_image(tmp_path / "testB" / name, painted(colors))
    found = METRIC.measure(set_of(Keeper(), tmp_path))
    assert METRIC.better == "higher"
    assert found.images == {
        "a2b": {
            "in/x.png": {"max": 1, "L2": 1, "balanced": 1},
            "y.png": {"max": 0.5, "L2": 0.5, "balanced": 0.5},
        }
    }
    assert found.rows["model"] == {"max": 0.75, "L2": 0.75, "balanced": 0.5}
    assert found.intervals["model"]["max"] == (0.5, 1)


def test_one_image_has_neither_interval_nor_another_map(inverted_toys: Path) -> None:
    for folder in ("testA", "testB"):
        for path in sorted((inverted_toys / folder).iterdir())[1:]:
            path.unlink()
    found = METRIC.measure(set_of(Inverter(), inverted_toys))
    assert found.rows.keys() == {"model", "constant color"} == found.counts.keys() and not found.intervals
