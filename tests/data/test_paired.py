"""Paired batches: both sides of a pair come together, and share their crop and their mirroring."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from domain_toys import CONFIG, MUCH, NOTHING, SIZE, read, write_images
from PIL import Image, ImageOps

from unit.data.batches import DataError, Shard
from unit.data.domain import Domain, domain_of_array
from unit.data.two_domains import PairedBatches, UnpairedBatches

CPU = torch.device("cpu")


def pairs(root: Path, count: int = 6) -> tuple[Path, Path]:
    """Image i of b is the negative of image i of a."""
    a, b = write_images(root / "a", count), root / "b"
    b.mkdir(parents=True)
    for path in a.iterdir():
        ImageOps.invert(Image.open(path)).save(b / path.name)
    return a, b


def batches_of(a: Domain, b: Domain, shard: Shard, **more: float) -> PairedBatches:
    return PairedBatches(a, b, replace(CONFIG, **more), shard)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_both_sides_are_of_one_pair_with_one_crop_and_one_mirroring(tmp_path: Path, budget: float) -> None:
    a, b = (read(folder, budget=budget) for folder in pairs(tmp_path))
    batches = batches_of(a, b, Shard(0, 32), zoom=1.5)
    stored = batches[3]
    assert torch.equal(stored.x_a, 255 - stored.x_b) and torch.equal(stored.u_a, stored.u_b)
    batch = batches.prepare(stored, 3, CPU)
    torch.testing.assert_close(batch.x_a, -batch.x_b, rtol=0, atol=1e-5)
    assert len({tuple(u[:2].tolist()) for u in stored.u_a}) == 32  # each pair has a crop of its own
    mirrored = (stored.u_a[:, 2] < 0.5).sum()
    assert 5 < mirrored < 27


def test_each_epoch_visits_every_pair_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    a, b = (read(folder) for folder in pairs(tmp_path))
    batches = batches_of(a, b, Shard(0, 4))
    seen = [int(x[0, 0, 0]) for number in range(6) for x in batches[number].x_a]
    epochs = [tuple(seen[start : start + 6]) for start in range(0, 24, 6)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs) and len(set(epochs)) > 1
    unpaired = UnpairedBatches(a, b, CONFIG, Shard(0, 4))
    assert [int(x[0, 0, 0]) for number in range(6) for x in unpaired[number].x_a] != seen


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 2), (2, 1), (3, 2)])
def test_processes_and_micro_batches_share_out_the_pairs_exactly(
    tmp_path: Path, processes: int, accumulation: int
) -> None:
    a, b = (read(folder) for folder in pairs(tmp_path))
    whole = batches_of(a, b, Shard(4, 12))[2]
    for rank in range(processes):
        batches = batches_of(a, b, Shard(4, 12, accumulation, rank, processes))
        for number in range(2 * accumulation, 3 * accumulation):
            positions = list(batches.shard.positions(number))
            for part, all_of_them in zip(batches[number][:4], whole[:4], strict=True):
                assert torch.equal(part, all_of_them[positions])


def test_pairs_may_have_files_of_two_kinds_and_channels(tmp_path: Path) -> None:
    a, b = pairs(tmp_path)
    for path in b.iterdir():
        Image.open(path).convert("L").save(path.with_suffix(".bmp"))
        path.unlink()
    stored = batches_of(read(a), read(b, channels=1), Shard(0, 4), channels_b=1)[0]
    assert stored.x_a.shape == (4, 3, SIZE, SIZE) and stored.x_b.shape == (4, 1, SIZE, SIZE)


def test_pairs_of_several_folders(tmp_path: Path) -> None:
    """Whatever the folders are called."""
    (a, b), (more_a, more_b) = pairs(tmp_path / "one", 3), pairs(tmp_path / "two", 2)
    stored = batches_of(read(a, more_a), read(b, more_b), Shard(0, 16))[0]
    assert torch.equal(stored.x_a, 255 - stored.x_b)


def test_pairs_of_arrays() -> None:
    x = torch.randint(0, 256, (5, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    stored = batches_of(domain_of_array(x), domain_of_array(255 - x), Shard(0, 16))[0]
    assert torch.equal(stored.x_a, 255 - stored.x_b)


# What is refused.


def refusal(a: Domain, b: Domain) -> str:
    with pytest.raises(DataError) as error:
        batches_of(a, b, Shard(0, 2))
    assert "\n" not in str(error.value)
    return str(error.value)


Harm = Callable[[Path, Path], object]


@pytest.mark.parametrize(
    ("harm", "lone"),
    [
        (lambda a, b: (b / "002.png").unlink(), "002"),
        (lambda a, b: (a / "002.png").rename(a / "other.png"), "002"),
        (lambda a, b: write_images(b, 7), "006"),
    ],
    ids=["lacking", "of another name", "more than its"],
)
def test_an_image_without_its_other_half_is_refused_by_name(tmp_path: Path, harm: Harm, lone: str) -> None:
    a, b = pairs(tmp_path)
    harm(a, b)
    said = refusal(read(a), read(b))
    assert "same names in both domains" in said and f"{lone} is in one of them only" in said


def test_lists_in_another_order_are_refused(tmp_path: Path) -> None:
    a, b = pairs(tmp_path)
    for folder, lines in ((a, "000.png\n001.png"), (b, "001.png\n000.png")):
        (folder / "list.txt").write_text(lines)
    assert "another order" in refusal(read(a / "list.txt"), read(b / "list.txt"))


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_a_pair_of_two_sizes_is_refused_by_name(tmp_path: Path, budget: float) -> None:
    a, b = pairs(tmp_path)
    write_images(b, 1, width=20, height=24)
    said = refusal(read(a, budget=budget), read(b, budget=budget))
    assert "'000'" in said and "24×20 pixels in a" in said and "20×24 in b" in said


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_an_image_that_is_left_out_takes_its_partner_with_it(tmp_path: Path, budget: float) -> None:
    a, b = pairs(tmp_path)
    write_images(a, 1, width=8)
    (b / "004.png").write_bytes(b"")
    batches = batches_of(read(a, budget=budget), read(b, budget=budget), Shard(0, 4))
    assert batches.a.names == batches.b.names == ["001.png", "002.png", "003.png", "005.png"]
    stored = batches[0]
    assert torch.equal(stored.x_a, 255 - stored.x_b)
    assert "1 image of b left out for want of a partner: '000.png'" in batches.complaints
    assert "1 image of a left out for want of a partner: '004.png'" in batches.complaints
    whole = batches_of(read(a, budget=budget), read(a, budget=budget), Shard(0, 4))
    assert batches.fingerprints["a"] != whole.fingerprints["a"]
    for path in list(b.iterdir())[:-1]:
        path.write_bytes(b"")
    for path in a.iterdir():
        if (b / path.name).stat().st_size:
            path.write_bytes(b"")
    with pytest.raises(DataError, match="no pair can be used"):
        batches_of(read(a, budget=budget), read(b, budget=budget), Shard(0, 4))
