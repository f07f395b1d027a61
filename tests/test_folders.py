"""Two folders of images: which image comes when, on any number of processes; and what a folder may do wrong."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from unit.config import RunConfig, TrainConfig
from unit.config.data import DataConfig
from unit.config.unit import UnitConfig
from unit.data.batches import Share
from unit.data.decoding import ImageError
from unit.data.folders import (
    DRAWS_PER_IMAGE,
    DataError,
    ImageFolder,
    UnpairedBatches,
    open_folder,
    open_folders,
    training_folders,
)
from unit.training import share_of, steps_of

SIZE = 16
CONFIG = DataConfig(size=SIZE)
MUCH, NOTHING = 1e9, 0.0

Root = Callable[..., Path]


def write_images(folder: Path, count: int, *, width: int = 24, height: int = 20, seed: int = 0) -> None:
    """Images 000.png, 001.png, … of noise; the first channel of each is its number (mod 256) in every pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels[..., 0] = number % 256
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    def make(a: int = 5, b: int = 8) -> Path:
        write_images(tmp_path / "data" / "trainA", a, seed=1)
        write_images(tmp_path / "data" / "trainB", b, seed=2)
        return tmp_path / "data"

    return make


def folders(root: Path, *, budget: float = MUCH) -> tuple[ImageFolder, ImageFolder]:
    a, b = training_folders(replace(CONFIG, root=str(root)))
    return open_folder(a, CONFIG, budget=budget), open_folder(b, CONFIG, budget=budget)


def blank(count: int, side: int = SIZE) -> ImageFolder:
    """A domain of `count` images that need no files: image i is i everywhere."""
    images = [torch.full((1, side, side), number, dtype=torch.uint8) for number in range(count)]
    paths = [Path(f"{number:03}.png") for number in range(count)]
    return ImageFolder(Path(), paths, images, [], lambda path: images[int(path.stem)])  # type: ignore[arg-type]


def numbers(x: Tensor) -> list[int]:
    """Which images these are: what their first channel says."""
    assert (x[:, 0] == x[:, :1, 0, 0, None]).all()
    return [int(number) for number in x[:, 0, 0, 0]]


def visited(batches: UnpairedBatches, parts: range) -> tuple[list[int], list[int]]:
    drawn = [batches[part] for part in parts]
    return [n for part in drawn for n in numbers(part.x_a)], [n for part in drawn for n in numbers(part.x_b)]


# Which image comes when.


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_each_epoch_visits_every_image_once_in_each_domain(batch_size: int) -> None:
    # Unequal domains, and batches that go over the ends of epochs.
    batches = UnpairedBatches(blank(5), blank(8), CONFIG, Share(seed=0, batch_size=batch_size))
    seen_a, seen_b = visited(batches, range(120 // batch_size))
    for seen, count in ((seen_a, 5), (seen_b, 8)):
        epochs = [seen[start : start + count] for start in range(0, len(seen) - count + 1, count)]
        assert len(epochs) >= 14
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_no_batch_is_ever_partial() -> None:
    batches = UnpairedBatches(blank(2), blank(3), CONFIG, Share(seed=0, batch_size=7))
    for part in range(5):
        drawn = batches[part]
        assert drawn.x_a.shape == drawn.x_b.shape == (7, 1, SIZE, SIZE)
        assert drawn.u_a.shape == drawn.u_b.shape == (7, DRAWS_PER_IMAGE)
        assert drawn.x_a.dtype == torch.uint8


def test_a_batch_does_not_depend_on_which_were_drawn_before() -> None:
    def batches() -> UnpairedBatches:
        return UnpairedBatches(blank(5, 20), blank(8, 20), CONFIG, Share(seed=0, batch_size=2))

    forward, backward = batches(), batches()
    in_order = [forward[part] for part in range(12)]
    reverse = [backward[part] for part in reversed(range(12))][::-1]
    for one, other in zip(in_order, reverse, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 2), (2, 1), (2, 2), (4, 1), (2, 3), (3, 4)])
def test_processes_and_parts_share_out_the_global_batch_exactly(processes: int, accumulation: int) -> None:
    a, b = blank(11, 20), blank(13, 20)
    whole = UnpairedBatches(a, b, CONFIG, Share(seed=4, batch_size=12))
    ranks = [UnpairedBatches(a, b, CONFIG, Share(4, 12, accumulation, rank, processes)) for rank in range(processes)]
    for step in range(4):
        parts = [
            (rank.share.positions(part), rank[part])
            for rank in ranks
            for part in range(step * accumulation, (step + 1) * accumulation)
        ]
        assert sorted(position for positions, _ in parts for position in positions) == list(range(12))
        expected = whole[step]
        for positions, part in parts:
            for share, all_of_them in zip(part, expected, strict=True):
                assert torch.equal(share, all_of_them[list(positions)])


def test_the_two_domains_orders_coincide_no_more_than_by_chance() -> None:
    # On a pixel-aligned set of n pairs a random order meets the other's once an epoch, whatever n: Poisson of mean 1.
    epochs, count = 40, 50
    batches = UnpairedBatches(blank(count), blank(count), CONFIG, Share(seed=0, batch_size=count))
    seen_a, seen_b = visited(batches, range(epochs))
    met = sum(one == other for one, other in zip(seen_a, seen_b, strict=True))
    assert abs(met - epochs) < 5 * epochs**0.5
    assert seen_a != seen_b


def test_the_two_domains_crops_and_flips_are_drawn_apart() -> None:
    batches = UnpairedBatches(blank(3, 40), blank(3, 40), CONFIG, Share(seed=0, batch_size=500))
    drawn = batches[0]
    together = torch.stack([drawn.u_a, drawn.u_b], 1).double()
    for column in range(DRAWS_PER_IMAGE):
        assert torch.corrcoef(together[:, :, column].T)[0, 1].abs() < 5 / 500**0.5


def test_seeds_and_epochs_give_other_orders() -> None:
    orders = set()
    for seed in range(3):
        seen, _ = visited(UnpairedBatches(blank(20), blank(20), CONFIG, Share(seed, 1)), range(40))
        orders |= {tuple(seen[:20]), tuple(seen[20:])}
    assert len(orders) == 6


def test_crops_are_cut_exactly_and_reach_every_place() -> None:
    # Each pixel holds its own place: top · 16 + left.
    place = (torch.arange(19)[:, None] * 16 + torch.arange(18)).to(torch.uint8)
    whole = ImageFolder(Path(), [Path("0.png")], [place[None]], [], None)  # type: ignore[arg-type]
    batches = UnpairedBatches(whole, blank(1), CONFIG, Share(seed=0, batch_size=400))
    drawn = batches[0]
    corners = []
    for crop, u in zip(drawn.x_a, drawn.u_a, strict=True):
        top, left = divmod(int(crop[0, 0, 0]), 16)
        assert (top, left) == (int(u[0] * 4), int(u[1] * 3))
        assert torch.equal(crop[0], place[top : top + SIZE, left : left + SIZE])
        corners.append((top, left))
    assert set(corners) == set(itertools.product(range(4), range(3)))
    chi_square = sum((corners.count(corner) - 400 / 12) ** 2 / (400 / 12) for corner in set(corners))
    assert chi_square < 31.3  # 11 degrees of freedom: exceeded once in a thousand seeds


# From memory or from the disk.


def test_images_over_the_budget_are_read_at_each_use_and_give_the_same_batches(root: Root) -> None:
    path = root()
    cached, read = (UnpairedBatches(*folders(path, budget=budget), CONFIG, Share(0, 3)) for budget in (MUCH, NOTHING))
    assert cached.a.images is not None and cached.a.bytes_in_memory == 5 * 3 * 20 * 24
    assert read.a.images is None and read.b.images is None and read.a.bytes_in_memory == 0
    assert cached.a.fingerprint == read.a.fingerprint
    for part in range(6):
        assert all(torch.equal(x, y) for x, y in zip(cached[part], read[part], strict=True))


def test_the_budget_is_kept_to_the_byte(root: Root) -> None:
    path = root() / "trainA"
    need = 5 * 3 * 20 * 24
    assert open_folder(path, CONFIG, budget=need).images is not None
    assert open_folder(path, CONFIG, budget=need - 1).images is None


def test_a_bad_file_gives_the_same_batches_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    # The budget is free to change at a resume, so it must not change what is trained on.
    write_images(tmp_path, 258, width=SIZE, height=SIZE)
    (tmp_path / "256.png").write_bytes(b"not an image")
    cached, read = (open_folder(tmp_path, CONFIG, budget=budget) for budget in (MUCH, NOTHING))
    assert cached.images is not None and read.images is None
    assert cached.fingerprint == read.fingerprint
    one, other = (UnpairedBatches(folder, folder, CONFIG, Share(0, 32)) for folder in (cached, read))
    assert all(numbers(one[part].x_a) == numbers(other[part].x_a) for part in range(4))


def config_of(root: Path, *, cache_gb: float, workers: int = 0, steps: int = 4, accumulation: int = 1) -> UnitConfig:
    return UnitConfig(
        data=DataConfig(root=str(root), size=SIZE, cache_gb=cache_gb, workers=workers, zoom=1.2, jitter=0.5),
        train=TrainConfig(steps=steps, batch_size=2, accumulation=accumulation, precision="fp32"),
        run=RunConfig(seed=3, tracker="none"),
    )


def test_the_loop_gets_the_same_batches_from_memory_and_through_workers(root: Root) -> None:
    path, accelerator = root(), Accelerator(cpu=True)
    runs = []
    for cache_gb, workers in ((1.0, 0), (0.0, 0), (0.0, 2)):
        config = config_of(path, cache_gb=cache_gb, workers=workers)
        batches = open_folders(config.data, share_of(config, accelerator))
        runs.append(list(steps_of(batches, config, accelerator.device, 0)))
    for other in runs[1:]:
        for (one,), (again,) in zip(runs[0], other, strict=True):
            assert torch.equal(one.x_a, again.x_a) and torch.equal(one.x_b, again.x_b)
            assert (one.step, one.positions, one.seed) == (again.step, again.positions, again.seed)


def test_the_loop_may_begin_at_any_step(root: Root) -> None:
    path, accelerator = root(), Accelerator(cpu=True)
    config = config_of(path, cache_gb=1, accumulation=2)
    batches = open_folders(config.data, share_of(config, accelerator))
    whole = list(steps_of(batches, config, accelerator.device, 0))
    rest = list(steps_of(batches, config, accelerator.device, 2))
    assert [[part.step for part in parts] for parts in whole] == [[step] * 2 for step in range(4)]
    assert [[part.positions for part in parts] for parts in whole] == [[range(1), range(1, 2)]] * 4
    assert len(rest) == 2
    for one, other in zip(whole[2:], rest, strict=True):
        for part, again in zip(one, other, strict=True):
            assert torch.equal(part.x_a, again.x_a) and torch.equal(part.x_b, again.x_b)


# What a folder may do wrong.


def test_bad_files_are_left_out_and_counted(root: Root) -> None:
    path = root()
    (path / "trainA" / "000.png").write_bytes(b"not an image")
    (path / "trainA" / "notes.txt").write_text("no image by its name")
    a, _ = folders(path)
    assert len(a) == 4 and len(a.left_out) == 1
    assert "000.png" in str(a.left_out[0])
    assert [int(image[0, 0, 0]) for image in a.images or ()] == [1, 2, 3, 4]


def test_a_file_that_goes_bad_during_training_is_an_error_that_names_it(root: Root) -> None:
    path = root()
    a, _ = folders(path, budget=NOTHING)
    (path / "trainA" / "004.png").write_bytes(b"not an image any more")
    with pytest.raises(ImageError, match=r"004\.png"):
        a[4]


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_an_image_smaller_than_the_crop_is_an_error_that_names_it(tmp_path: Path, budget: float) -> None:
    write_images(tmp_path, 2)
    write_images(tmp_path / "small", 1, width=40, height=SIZE - 1)
    with pytest.raises(DataError, match=r"small/000\.png': 40×15 pixels.*data\.size 16") as error:
        open_folder(tmp_path, CONFIG, budget=budget)
    assert "\n" not in str(error.value)


def test_small_images_are_scaled_up_where_the_config_says_so(tmp_path: Path) -> None:
    write_images(tmp_path, 1, width=16, height=8)
    folder = open_folder(tmp_path, replace(CONFIG, resize=20), budget=MUCH)
    assert folder[0].shape == (3, 20, 40)


def test_images_of_just_the_crops_size_have_one_crop(tmp_path: Path) -> None:
    write_images(tmp_path, 1, width=SIZE, height=SIZE)
    folder = open_folder(tmp_path, CONFIG, budget=MUCH)
    batches = UnpairedBatches(folder, folder, CONFIG, Share(0, 4))
    assert all(torch.equal(crop, folder[0]) for crop in batches[0].x_a)


def test_grey_images_on_demand(root: Root) -> None:
    a, _ = training_folders(replace(CONFIG, root=str(root())))
    assert open_folder(a, replace(CONFIG, channels=1), budget=MUCH)[0].shape == (1, 20, 24)


@pytest.mark.parametrize("content", [{}, {"a.txt": b"text"}, {"a.png": b"not an image"}])
def test_a_folder_without_images_is_an_error_that_names_it(tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=r"no image that can be used") as error:
        open_folder(tmp_path, CONFIG, budget=MUCH)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["trainA", "trainB"])
def test_a_missing_side_is_an_error_that_names_it(tmp_path: Path, missing: str) -> None:
    write_images(tmp_path / ("trainB" if missing == "trainA" else "trainA"), 1)
    with pytest.raises(DataError, match=f"no folder .*{missing}"):
        training_folders(replace(CONFIG, root=str(tmp_path)))
    (tmp_path / missing).write_text("a file, no folder")
    with pytest.raises(DataError, match=f"no folder .*{missing}"):
        training_folders(replace(CONFIG, root=str(tmp_path)))


def test_no_folder_given_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.a: no folder given"):
        training_folders(CONFIG)
    with pytest.raises(DataError, match=r"data\.b: no folder given"):
        training_folders(replace(CONFIG, a=str(tmp_path)))


def test_data_a_and_b_take_the_place_of_roots_folders(root: Root, tmp_path: Path) -> None:
    path, other = root(), tmp_path / "other"
    other.mkdir()
    given = replace(CONFIG, root=str(path))
    assert training_folders(given) == (path / "trainA", path / "trainB")
    assert training_folders(replace(given, a=str(other))) == (other, path / "trainB")
    assert training_folders(replace(given, b=str(other))) == (path / "trainA", other)
    assert training_folders(replace(CONFIG, a=str(other), b=str(path))) == (other, path)


def test_the_fingerprint_is_of_the_names_wherever_the_folder_lies(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        write_images(tmp_path / name, 3, seed=seed)
    one, two = (open_folder(tmp_path / name, CONFIG, budget=MUCH) for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    (tmp_path / "two" / "002.png").rename(tmp_path / "two" / "003.png")
    assert open_folder(tmp_path / "two", CONFIG, budget=MUCH).fingerprint != one.fingerprint


def test_nested_folders_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path / "b", 1)
    write_images(tmp_path / "a", 2)
    folder = open_folder(tmp_path, CONFIG, budget=MUCH)
    assert [path.relative_to(tmp_path).as_posix() for path in folder.paths] == ["a/000.png", "a/001.png", "b/000.png"]
