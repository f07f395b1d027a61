"""Laws of the toy maps: what a seed fixes, what a map may show, and what the folders hold."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from unit.data.toymaps import PALETTE, Pixels, toy_pair, write_toymaps

COLORS = np.array(list(PALETTE.values()))


def classes(maps: Pixels) -> npt.NDArray[np.int64]:
    """Class index of each pixel (..., H, W); fails for a color outside the palette."""
    same = (maps[..., None, :] == COLORS).all(axis=-1)
    assert (same.sum(axis=-1) == 1).all()
    return np.asarray(same.argmax(axis=-1), np.int64)


@pytest.fixture(scope="module")
def scenes() -> tuple[Pixels, Pixels]:
    """100 photos and their maps, each (100, 64, 64, 3)."""
    pairs = [toy_pair(seed=seed) for seed in range(100)]
    return np.stack([photo for photo, _ in pairs]), np.stack([plan for _, plan in pairs])


def read(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def test_palette_colors_are_told_apart_within_the_tolerance() -> None:
    apart = np.abs(COLORS[:, None] - COLORS[None]).max(axis=-1)
    assert (apart[~np.eye(len(COLORS), dtype=bool)] > 16).all()


@pytest.mark.parametrize("size", [16, 17, 64, 96])
def test_a_pair_depends_on_seed_and_size_alone(size: int) -> None:
    photo, plan = toy_pair(seed=5, size=size)
    assert photo.shape == plan.shape == (size, size, 3)
    assert photo.dtype == plan.dtype == np.uint8
    np.random.default_rng(0).random(7)
    again = toy_pair(seed=5, size=size)
    assert (photo == again[0]).all() and (plan == again[1]).all()
    assert (plan != toy_pair(seed=6, size=size)[1]).any()
    classes(plan)


def test_a_larger_size_shows_the_same_scene() -> None:
    for seed in range(5):
        small, large = toy_pair(seed=seed)[1], toy_pair(seed=seed, size=128)[1]
        assert (small == large[::2, ::2]).all(axis=-1).mean() > 0.9


def test_each_class_matters(scenes: tuple[Pixels, Pixels]) -> None:
    seen = classes(scenes[1])
    share = {name: float((seen == index).mean()) for index, name in enumerate(PALETTE)}
    assert 0.3 < share["land"] < 0.45
    assert all(0.1 < share[name] < 0.25 for name in ("water", "road", "park", "building")), share


def test_both_looks_order_brightness_alike(scenes: tuple[Pixels, Pixels]) -> None:
    photos, seen = scenes[0].mean(axis=-1), classes(scenes[1])
    light = {name: float(photos[seen == index].mean()) for index, name in enumerate(PALETTE)}
    assert light["road"] > light["land"] > max(light["water"], light["park"])
    assert min(light["water"], light["park"]) > light["building"]


def test_hues_agree_loosely(scenes: tuple[Pixels, Pixels]) -> None:
    seen = classes(scenes[1])
    mean = {name: scenes[0][seen == index].mean(axis=0) for index, name in enumerate(PALETTE)}
    assert mean["water"].argmax() == 2 and mean["park"].argmax() == 1
    assert mean["building"].argmax() == 0


def test_a_color_look_up_does_not_solve_it(scenes: tuple[Pixels, Pixels]) -> None:
    photos, seen = scenes[0] >> 4, classes(scenes[1])
    bins = (photos.astype(np.int64) @ np.array([256, 16, 1])).reshape(len(photos), -1)
    seen = seen.reshape(len(photos), -1)
    votes = np.zeros((4096, len(PALETTE)))
    np.add.at(votes, (bins[:50].ravel(), seen[:50].ravel()), 1)
    answer, truth = votes.argmax(axis=1)[bins[50:]], seen[50:]
    recall = [(answer == truth)[truth == index].mean() for index in range(len(PALETTE))]
    assert 0.5 < np.mean(recall) < 0.75


def test_folders_are_unpaired_in_training_and_paired_in_test(tmp_path: Path) -> None:
    root = tmp_path / "data" / "toymaps"
    write_toymaps(root, size=32, train=6, test=3, val=2, seed=4)
    files = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in root.iterdir()}
    assert {name: len(found) for name, found in files.items()} == {
        "trainA": 6,
        "trainB": 6,
        "testA": 3,
        "testB": 3,
        "valA": 2,
        "valB": 2,
    }
    assert files["testA"] == files["testB"] and files["valA"] == files["valB"]
    assert list(root.parent.iterdir()) == [root]  # no stage is left behind
    streams = {
        folder: np.random.SeedSequence((4, stream)).generate_state(count, np.uint64).tolist()
        for folder, stream, count in (("trainA", 0, 6), ("trainB", 1, 6), ("test", 2, 3), ("val", 3, 2))
    }
    assert len({scene for scenes in streams.values() for scene in scenes}) == 17
    for split in ("test", "val"):
        for number, name in enumerate(files[f"{split}A"]):
            photo, plan = toy_pair(seed=streams[split][number], size=32)
            assert (read(root / f"{split}A" / name) == photo).all()
            assert (read(root / f"{split}B" / name) == plan).all()
    for number, name in enumerate(files["trainA"]):
        photo, plan = toy_pair(seed=streams["trainA"][number], size=32)
        assert (read(root / "trainA" / name) == photo).all()
        assert all((read(root / "trainB" / other) != plan).any() for other in files["trainB"])


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    root = tmp_path / "toymaps"
    root.mkdir()
    write_toymaps(root, size=16, train=1, test=1)
    before = read(root / "trainA" / "00000.png")
    with pytest.raises(FileExistsError, match="give a new or empty folder"):
        write_toymaps(root, size=16, train=1, test=1, seed=1)
    assert (read(root / "trainA" / "00000.png") == before).all()


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_toymaps(tmp_path / "toymaps", size=16, train=1, test=1)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"size is 15; .* at least 16"):
        toy_pair(seed=0, size=15)
    with pytest.raises(ValueError, match="seed is -1"):
        toy_pair(seed=-1)
    for wrong in ({"size": 8}, {"train": 0}, {"test": -1}, {"val": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match="at least"):
            write_toymaps(tmp_path / "toymaps", **wrong)
    assert list(tmp_path.iterdir()) == []
