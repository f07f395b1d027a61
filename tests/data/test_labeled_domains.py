"""Two domains of which one has labels: an image comes with its own, the other domain's are not looked at."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adaptation_toys import CLASSES, SIDE, batches_of, write_classes
from laws import in_one_line
from torch import Tensor

from unit.config.data import LabeledDomainConfig
from unit.data.augmentation import warp
from unit.data.batches import DataError, Shard
from unit.data.domain import domain_of_array
from unit.data.images import to_float
from unit.data.labeled_domains import LabeledBatch, LabeledBatches
from unit.data.two_domains import open_domains

CPU = torch.device("cpu")
CONFIG = LabeledDomainConfig(size=SIDE, channels=1, flip=False)


def batch_at(batches: LabeledBatches, number: int) -> LabeledBatch:
    return batches.prepare(batches[number], number, CPU)


def numbers(x: Tensor) -> Tensor:
    """Which images these are: their brightness."""
    return (255 * (x[:, 0, 0, 0] + 1) / 2).round().long()


@pytest.mark.parametrize("budget", [1.0, 0.0])
@pytest.mark.parametrize("source", ["a", "b"])
def test_labels_are_the_folders_of_the_sources_images(source: str, budget: float, tmp_path: Path) -> None:
    root = write_classes(tmp_path)
    config = replace(CONFIG, root=str(root), source=source, cache_gb=budget)  # type: ignore[arg-type]
    batches = LabeledBatches(*open_domains(config), config, Shard(7, 4))
    assert batches.class_names == list(CLASSES) and batches.summary.endswith(f", 3 classes in {source}")
    seen = set()
    for number in range(6):
        batch = batch_at(batches, number)
        shown = numbers(batch.x_a if source == "a" else batch.x_b)
        assert torch.equal(batch.y, shown % 3)
        seen |= set(shown.tolist())
    assert len(seen) == (7 if source == "a" else 6)


def test_the_targets_labels_are_not_looked_at(tmp_path: Path) -> None:
    root = write_classes(tmp_path)
    for path in list((root / "trainB").glob("*/*")):
        path.rename(root / "trainB" / path.name)  # in no folder of a class
    config = replace(CONFIG, root=str(root))
    assert len(LabeledBatches(*open_domains(config), config, Shard(7, 4)).b) == 6
    with pytest.raises(DataError) as refusal:
        LabeledBatches(*open_domains(config), replace(config, source="b"), Shard(7, 4))
    assert in_one_line(refusal.value) == (
        "images of domain b, which data.source says are labeled: expected each in a folder of its class, at least 2 "
        "classes, got '0.png'"
    )


def test_arrays_bring_their_labels() -> None:
    batches = batches_of()
    assert batches.class_names == ["0", "1", "2"]
    assert torch.equal(batch_at(batches, 0).y, numbers(batch_at(batches, 0).x_a) % 3)


def test_a_batch_is_a_function_of_its_number() -> None:
    config = replace(CONFIG, warp=0.3, invert=0.5)
    whole = batch_at(batches_of(config), 3)
    images = batches_of(config)
    halves = [
        batch_at(LabeledBatches(images.a, images.b, config, Shard(7, 4, rank=rank, processes=2)), 3) for rank in (0, 1)
    ]
    for name in ("x_a", "x_b", "y"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name))


def test_images_are_warped_about_their_middle_with_black_around() -> None:
    images = domain_of_array(torch.full((3, 1, SIDE, SIDE), 255, dtype=torch.uint8), torch.arange(3))
    plain = batch_at(LabeledBatches(images, images, CONFIG, Shard(7, 4)), 1)
    warped = batch_at(LabeledBatches(images, images, replace(CONFIG, warp=0.2), Shard(7, 4)), 1)
    assert (plain.x_a == 1).all() and (warped.x_a[:, :, SIDE // 2, SIDE // 2] == 1).all()
    assert warped.x_a.min() == -1 and not torch.equal(warped.x_a, warped.x_b)
    white = to_float(images.tensor[:1].expand(4, -1, -1, -1))
    expected = 2 * warp((white + 1) / 2, 0.2, warped.normals((6,), "warp", "a")) - 1
    torch.testing.assert_close(warped.x_a, expected)


def test_that_share_of_the_images_is_inverted() -> None:
    images = domain_of_array(torch.full((3, 1, SIDE, SIDE), 255, dtype=torch.uint8), torch.arange(3))
    batches = LabeledBatches(images, images, replace(CONFIG, invert=0.3), Shard(7, 400))
    batch = batch_at(batches, 0)
    assert set(batch.x_a.unique().tolist()) == {-1.0, 1.0}
    for x in (batch.x_a, batch.x_b):
        assert abs(float((x[:, 0, 0, 0] == -1).float().mean()) - 0.3) < 0.08  # 3.5 standard deviations


def test_an_image_that_broke_ends_the_training(tmp_path: Path) -> None:
    root = write_classes(tmp_path)
    config = replace(CONFIG, root=str(root), cache_gb=0.0)
    batches = LabeledBatches(*open_domains(config), config, Shard(7, 4))
    for path in (root / "trainA").glob("*/*"):
        if path.stem != "0":
            path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a labeled domain needs all the images that it began with$"):
        batch_at(batches, 0)
