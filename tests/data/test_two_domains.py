"""Unpaired batches of two domains: which image comes when, on any number of processes, and which part of it."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from domain_toys import CONFIG, GRAY, MUCH, NOTHING, SIZE, blank, numbers, read, write_images

from unit.config import RunConfig, TrainConfig
from unit.config.data import Channels, TwoDomainsConfig
from unit.data.batches import DataError, Shard
from unit.data.domain import Domain, domain_of_array
from unit.data.two_domains import DRAWS_PER_IMAGE, UnpairedBatches, open_domains, training_folders
from unit.methods.unit import Unit, UnitConfig
from unit.training.distributed import make_shard
from unit.training.step import iterate_micro_batches

Root = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    def make(a: int = 5, b: int = 8) -> Path:
        write_images(tmp_path / "data" / "trainA", a, seed=1)
        write_images(tmp_path / "data" / "trainB", b, seed=2)
        return tmp_path / "data"

    return make


def domains(root: Path, *, budget: float = MUCH) -> tuple[Domain, Domain]:
    return read(root / "trainA", budget=budget), read(root / "trainB", budget=budget)


def visited(batches: UnpairedBatches, parts: range) -> tuple[list[int], list[int]]:
    drawn = [batches[part] for part in parts]
    return [n for part in drawn for n in numbers(part.x_a)], [n for part in drawn for n in numbers(part.x_b)]


# Which image comes when.


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_each_epoch_visits_every_image_once_in_each_domain(batch_size: int) -> None:
    # Unequal domains, and batches that go over the ends of epochs.
    batches = UnpairedBatches(blank(5), blank(8), GRAY, Shard(seed=0, batch_size=batch_size))
    seen_a, seen_b = visited(batches, range(120 // batch_size))
    for seen, count in ((seen_a, 5), (seen_b, 8)):
        epochs = [seen[start : start + count] for start in range(0, len(seen) - count + 1, count)]
        assert len(epochs) >= 14
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_no_batch_is_ever_partial() -> None:
    batches = UnpairedBatches(blank(2), blank(3), GRAY, Shard(seed=0, batch_size=7))
    for part in range(5):
        drawn = batches[part]
        assert drawn.x_a.shape == drawn.x_b.shape == (7, 1, SIZE, SIZE)
        assert drawn.u_a.shape == drawn.u_b.shape == (7, DRAWS_PER_IMAGE)
        assert drawn.x_a.dtype == torch.uint8


def test_a_batch_does_not_depend_on_which_were_drawn_before() -> None:
    def batches() -> UnpairedBatches:
        return UnpairedBatches(blank(5, 20), blank(8, 20), GRAY, Shard(seed=0, batch_size=2))

    forward, backward = batches(), batches()
    in_order = [forward[part] for part in range(12)]
    reverse = [backward[part] for part in reversed(range(12))][::-1]
    for one, other in zip(in_order, reverse, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one[:4], other[:4], strict=True))


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 2), (2, 1), (2, 2), (4, 1), (2, 3), (3, 4)])
def test_processes_and_micro_batches_share_out_the_global_batch_exactly(processes: int, accumulation: int) -> None:
    a, b = blank(11, 20), blank(13, 20)
    whole = UnpairedBatches(a, b, GRAY, Shard(seed=4, batch_size=12))
    ranks = [UnpairedBatches(a, b, GRAY, Shard(4, 12, accumulation, rank, processes)) for rank in range(processes)]
    for step in range(4):
        parts = [
            (rank.shard.positions(part), rank[part])
            for rank in ranks
            for part in range(step * accumulation, (step + 1) * accumulation)
        ]
        assert sorted(position for positions, _ in parts for position in positions) == list(range(12))
        expected = whole[step]
        for positions, part in parts:
            for share, all_of_them in zip(part[:4], expected[:4], strict=True):
                assert torch.equal(share, all_of_them[list(positions)])


def test_the_two_domains_orders_coincide_no_more_than_by_chance() -> None:
    # On a pixel-aligned set of n pairs a random order meets the other's once an epoch, whatever n: Poisson of mean 1.
    epochs, count = 40, 50
    batches = UnpairedBatches(blank(count), blank(count), GRAY, Shard(seed=0, batch_size=count))
    seen_a, seen_b = visited(batches, range(epochs))
    met = sum(one == other for one, other in zip(seen_a, seen_b, strict=True))
    assert abs(met - epochs) < 5 * epochs**0.5
    assert seen_a != seen_b


def test_the_two_domains_crops_and_flips_are_drawn_apart() -> None:
    batches = UnpairedBatches(blank(3, 40), blank(3, 40), GRAY, Shard(seed=0, batch_size=500))
    drawn = batches[0]
    together = torch.stack([drawn.u_a, drawn.u_b], 1).double()
    for column in range(DRAWS_PER_IMAGE):
        assert torch.corrcoef(together[:, :, column].T)[0, 1].abs() < 5 / 500**0.5


def test_seeds_and_epochs_give_other_orders() -> None:
    orders = set()
    for seed in range(3):
        seen, _ = visited(UnpairedBatches(blank(20), blank(20), GRAY, Shard(seed, 1)), range(40))
        orders |= {tuple(seen[:20]), tuple(seen[20:])}
    assert len(orders) == 6


def test_crops_are_cut_exactly_and_reach_every_place() -> None:
    # Each pixel holds its own place: top · 16 + left.
    place = (torch.arange(19)[:, None] * 16 + torch.arange(18)).to(torch.uint8)
    whole = domain_of_array(place[None, None])
    batches = UnpairedBatches(whole, blank(1), GRAY, Shard(seed=0, batch_size=400))
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
    cached, reading = (
        UnpairedBatches(*domains(path, budget=budget), CONFIG, Shard(0, 3)) for budget in (MUCH, NOTHING)
    )
    assert cached.a.in_memory and cached.a.bytes_in_memory == 5 * 3 * 20 * 24 and cached.workers == 0
    assert not reading.a.in_memory and not reading.b.in_memory and reading.a.bytes_in_memory == 0
    assert reading.workers == CONFIG.workers == 2
    assert cached.fingerprints == reading.fingerprints
    for part in range(6):
        assert all(torch.equal(x, y) for x, y in zip(cached[part][:4], reading[part][:4], strict=True))


def test_the_budget_is_kept_to_the_byte(root: Root) -> None:
    path = root() / "trainA"
    need = 5 * 3 * 20 * 24
    assert read(path, budget=need).in_memory
    assert not read(path, budget=need - 1).in_memory


def test_both_domains_share_the_budget(root: Root) -> None:
    path, (a, b) = root(), (5 * 3 * 20 * 24, 8 * 3 * 20 * 24)
    for budget, kept in ((a + b, (True, True)), (a + b - 1, (True, False)), (a - 1, (False, False))):
        both = open_domains(replace(CONFIG, root=str(path), cache_gb=budget / 1e9))
        assert tuple(domain.in_memory for domain in both) == kept


def test_a_bad_file_gives_the_same_batches_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    # The budget is free to change at a resume, so it must not change what is trained on.
    write_images(tmp_path, 258, width=SIZE, height=SIZE)
    (tmp_path / "256.png").write_bytes(b"not an image")
    cached, reading = (read(tmp_path, budget=budget) for budget in (MUCH, NOTHING))
    assert cached.in_memory and not reading.in_memory
    assert cached.fingerprint == reading.fingerprint
    one, other = (UnpairedBatches(folder, folder, CONFIG, Shard(0, 32)) for folder in (cached, reading))
    assert all(numbers(one[part].x_a) == numbers(other[part].x_a) for part in range(4))


def parse_config(root: Path, *, cache_gb: float, workers: int = 0, steps: int = 4, accumulation: int = 1) -> UnitConfig:
    return UnitConfig(
        data=TwoDomainsConfig(root=str(root), size=SIZE, cache_gb=cache_gb, workers=workers, zoom=1.2, jitter=0.5),
        train=TrainConfig(steps=steps, batch_size=2, accumulation=accumulation, precision="fp32"),
        run=RunConfig(seed=3, tracker="none"),
    )


def test_the_loop_gets_the_same_batches_from_memory_and_through_workers(root: Root) -> None:
    path, accelerator = root(), Accelerator(cpu=True)
    runs = []
    for cache_gb, workers in ((1.0, 0), (0.0, 0), (0.0, 2)):
        config = parse_config(path, cache_gb=cache_gb, workers=workers)
        batches = Unit.open(config, make_shard(config, accelerator))
        runs.append(list(iterate_micro_batches(batches, config, accelerator.device, 0)))
    for other in runs[1:]:
        for (one,), (again,) in zip(runs[0], other, strict=True):
            assert torch.equal(one.x_a, again.x_a) and torch.equal(one.x_b, again.x_b)
            assert (one.step, one.positions, one.seed) == (again.step, again.positions, again.seed)


def test_the_loop_may_begin_at_any_step(root: Root) -> None:
    path, accelerator = root(), Accelerator(cpu=True)
    config = parse_config(path, cache_gb=1, accumulation=2)
    batches = Unit.open(config, make_shard(config, accelerator))
    whole = list(iterate_micro_batches(batches, config, accelerator.device, 0))
    rest = list(iterate_micro_batches(batches, config, accelerator.device, 2))
    assert [[part.step for part in parts] for parts in whole] == [[step] * 2 for step in range(4)]
    assert [[part.positions for part in parts] for parts in whole] == [[range(1), range(1, 2)]] * 4
    assert len(rest) == 2
    for one, other in zip(whole[2:], rest, strict=True):
        for part, again in zip(one, other, strict=True):
            assert torch.equal(part.x_a, again.x_a) and torch.equal(part.x_b, again.x_b)


# Which folders.


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
    a, b, o = str(path / "trainA"), str(path / "trainB"), str(other)
    assert training_folders(given) == ([a], [b])
    assert training_folders(replace(given, a=o)) == ([o], [b])
    assert training_folders(replace(given, b=o)) == ([a], [o])
    assert training_folders(replace(CONFIG, a=o, b=str(path))) == ([o], [str(path)])
    assert training_folders(replace(given, a=[o, b])) == ([o, b], [b])


def test_a_list_of_images_takes_a_folders_place(root: Root, tmp_path: Path) -> None:
    path = root()
    (tmp_path / "some.txt").write_text("data/trainA/001.png\ndata/trainA/004.png\n")
    config = replace(CONFIG, root=str(path), a=str(tmp_path / "some.txt"))
    a, b = open_domains(config)
    assert numbers(torch.stack([a[0], a[1]])) == [1, 4] and len(a) == 2 and len(b) == 8
    with pytest.raises(DataError, match=r"no folder .*other\.txt"):
        training_folders(replace(config, a=str(tmp_path / "other.txt")))


# Images of different channels, and images that were never in files.


@pytest.mark.parametrize(("a", "b"), [(1, None), (3, 1), (1, 3)])
def test_each_domain_has_channels_of_its_own(root: Root, a: Channels, b: Channels | None) -> None:
    config = UnitConfig(data=replace(CONFIG, root=str(root()), channels=a, channels_b=b), run=RunConfig(seed=3))
    batches = Unit.open(config, Shard(3, 2))
    batch = batches.prepare(batches[0], 0, torch.device("cpu"))
    assert (batch.x_a.shape[1], batch.x_b.shape[1]) == (a, a if b is None else b)
    assert [centers.shape for centers in batches.centers(4)] == [(4, a, SIZE, SIZE), (4, b or a, SIZE, SIZE)]


def arrays(a: int = 3, b: int = 4, *, side: int = 20, channels: int = 3) -> dict[str, Domain]:
    generator = np.random.default_rng(0)
    return {
        key: domain_of_array(generator.integers(0, 256, (count, side, side, channels), dtype=np.uint8))
        for key, count in (("a", a), ("b", b))
    }


def test_images_of_arrays_take_the_place_of_the_configs_folders() -> None:
    batches = Unit.open(UnitConfig(data=CONFIG), Shard(0, 2), arrays())
    assert batches.summary == "3 images in a, 4 in b" and batches.workers == 0
    assert batches[0].x_a.shape == batches[0].x_b.shape == (2, 3, SIZE, SIZE)
    again = Unit.open(UnitConfig(data=CONFIG), Shard(0, 2), arrays())
    assert batches.fingerprints == again.fingerprints
    assert batches.fingerprints != Unit.open(UnitConfig(data=CONFIG), Shard(0, 2), arrays(4)).fingerprints


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (arrays(side=SIZE - 1), r"domain a: expected at least data\.size 16 pixels, got 15×15"),
        (arrays(channels=1), r"domain a: expected 3 channels, as data\.channels says, got 1"),
        ({"a": arrays()["a"]}, "a, b|a and b"),
        ({"images": arrays()["a"]}, "a, b|a and b"),
    ],
    ids=["too small", "too gray", "one domain", "another name"],
)
def test_images_of_arrays_that_do_not_fit_are_refused(given: dict[str, Domain], words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        Unit.open(UnitConfig(data=CONFIG), Shard(0, 2), given)
    assert "\n" not in str(error.value)
