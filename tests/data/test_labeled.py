"""Batches of one domain: which images, how a batch is shared out, what each draw is a function of, what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from digit_toys import batch_of, beside, noise_of, numbered, write_mnist
from laws import in_one_line
from torch import Tensor

from unit.config.data import LabeledImagesConfig
from unit.data.batches import DataError, Shard
from unit.data.domain import domain_of_array
from unit.data.labeled import ImageBatch, ImageBatches, open_batches
from unit.data.one_domain import open_images

CPU = torch.device("cpu")
KEPT = torch.tensor([4, 7, 11, 18, 25])


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


def numbers(batch: ImageBatch) -> list[int]:
    """Which of the numbered images they are; their labels are theirs."""
    found = ((batch.x[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(batch.y, found % 10)
    return found.tolist()


# Who is visited.


@pytest.mark.parametrize("batch_size", [1, 6, 9, 45])
def test_each_epoch_visits_each_image_once(batch_size: int) -> None:
    batches, count = ImageBatches(numbered(30), Shard(3, batch_size)), 30
    steps = 3 * count // batch_size
    seen = [number for step in range(steps) for number in numbers(batches[step])]
    assert len(seen) == 3 * count
    epochs = [seen[start : start + count] for start in range(0, len(seen), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3  # each in an order of its own
    assert list(range(count)) not in epochs


def test_labeled_batches_visit_those_with_labels_alone_each_as_often() -> None:
    batches = ImageBatches(numbered(30), Shard(3, 6), kept=KEPT, labeled_batch=3)
    seen = Counter(number for step in range(10) for number in numbers(beside(batches[step])))
    assert seen == dict.fromkeys(KEPT.tolist(), 6)  # 30 images are six rounds of five
    plain = ImageBatches(numbered(30), Shard(3, 6))
    assert plain[0].labeled is None
    for step in range(10):  # the others do not depend on them
        assert numbers(batches[step]) == numbers(plain[step])


def test_brightness_0_is_minus_1_and_255_is_1_and_labels_go_with_their_images() -> None:
    images = domain_of_array(torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1), KEPT[:3])
    batch = ImageBatches(images, Shard(0, 3))[0]
    assert sorted(zip(batch.x.flatten().tolist(), batch.y.tolist(), strict=True)) == [
        (-1.0, 4), (pytest.approx(-0.6), 7), (1.0, 11),
    ]  # fmt: skip
    assert batch.x.dtype == torch.float32 and batch.y.dtype == torch.int64


def test_intensities_are_bytes_over_255() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    batch = ImageBatches(domain_of_array(levels.view(256, 1, 1, 1), torch.arange(256)), Shard(0, 256))[0]
    assert batch.intensities.shape == batch.x.shape and batch.intensities.dtype == torch.float32
    torch.testing.assert_close(batch.intensities.flatten(), batch.y / 255, rtol=0, atol=1e-7)
    assert batch.intensities.min() == 0 and batch.intensities.max() == 1


def test_another_seed_is_another_order() -> None:
    orders = {tuple(numbers(ImageBatches(numbered(30), Shard(seed, 30))[0])) for seed in range(5)}
    assert len(orders) == 5


def test_a_step_is_known_by_its_number_alone() -> None:
    shard = Shard(3, 6)
    one, other = (ImageBatches(numbered(30), shard, kept=KEPT, labeled_batch=3) for _ in range(2))
    late = [numbers(other[step]) for step in reversed(range(8))]
    torch.manual_seed(1)
    assert [numbers(one[step]) for step in range(8)] == late[::-1]


# How a batch is shared out.

SHARES = [(1, 1), (1, 2), (2, 1), (2, 3), (6, 1), (3, 2)]


def parts_of(step: int, processes: int, accumulation: int) -> list[ImageBatch]:
    """A step's micro-batches, process by process, as they are trained on."""
    parts = []
    for rank in range(processes):
        shard = Shard(3, 12, accumulation, rank, processes)
        batches = ImageBatches(numbered(30), shard, kept=KEPT, labeled_batch=6)
        for part in range(step * accumulation, (step + 1) * accumulation):
            parts.append(batches.prepare(batches[part], part, CPU))
    return parts


@pytest.mark.parametrize(("processes", "accumulation"), SHARES)
def test_processes_and_parts_share_a_batch_out_exactly(processes: int, accumulation: int) -> None:
    step = 4
    (whole,), parts = parts_of(step, 1, 1), parts_of(step, processes, accumulation)
    assert len(parts) == processes * accumulation
    prior = torch.arange(12 * 2).view(12, 2)
    for which, size in ((lambda batch: batch, 12), (beside, 6)):
        all_of, shards = which(whole), [which(part) for part in parts]
        assert all(shard.step == step and shard.size == size and shard.seed == 3 for shard in shards)
        assert [position for shard in shards for position in shard.positions] == list(range(size))
        assert len({len(shard.x) for shard in shards}) == 1
        assert torch.equal(torch.cat([shard.x for shard in shards]), all_of.x)
        assert torch.equal(torch.cat([shard.y for shard in shards]), all_of.y)
        assert torch.equal(torch.cat([shard.take_rows(prior[:size]) for shard in shards]), prior[:size])
        noise = torch.cat([shard.normals("latent", 2, 3) for shard in shards])
        assert noise.shape == (size, 2, 3) and torch.equal(noise, all_of.normals("latent", 2, 3))


def test_preparing_changes_no_number_and_keeps_the_labeled_ones_beside() -> None:
    batches = ImageBatches(numbered(30), Shard(3, 6), kept=KEPT, labeled_batch=3)
    stored = batches[2]
    ready = batches.prepare(stored, 2, CPU)
    assert torch.equal(ready.x, stored.x) and torch.equal(ready.y, stored.y)
    assert torch.equal(beside(ready).x, beside(stored).x) and torch.equal(beside(ready).y, beside(stored).y)
    assert (ready.step, ready.positions, ready.size, ready.seed) == (2, range(6), 6, 3)


# What a draw is a function of.


def test_noise_is_a_function_of_seed_purpose_step_and_position() -> None:
    batch = batch_of(4)
    first = batch.normals("latent", 5)
    torch.rand(3)  # whatever was drawn before
    assert torch.equal(batch.normals("latent", 5), first)
    assert torch.equal(first, noise_of(batch, "latent", 5))
    rows: list[Tensor] = list(first)
    for other in (replace(batch, seed=8), replace(batch, step=4)):
        rows += list(other.normals("latent", 5))
    rows += list(batch.normals("noise", 5))
    assert len({tuple(row.tolist()) for row in rows}) == len(rows) == 16


def test_noise_is_normal() -> None:
    noise = batch_of(4).normals("latent", 5000)
    assert noise.shape == (4, 5000) and noise.mean().abs() < 0.03 and (noise.std() - 1).abs() < 0.03


def test_a_generator_is_the_same_on_every_process_and_each_takes_its_rows() -> None:
    whole = batch_of(6)
    part = replace(whole, x=whole.x[2:4], y=whole.y[2:4], positions=range(2, 4))
    drawn = [torch.rand(6, 2, generator=batch.generator("prior")) for batch in (whole, part)]
    assert torch.equal(*drawn)
    assert torch.equal(part.take_rows(drawn[0]), drawn[0][2:4])


# Opened from a folder.


def test_held_out_images_are_neither_trained_on_nor_labeled(mnist: Path) -> None:
    config = LabeledImagesConfig(root=str(mnist), download=False, held_out=12, labeled=20, labeled_batch=4)
    batches, held_out = open_batches(config, Shard(0, 6)), open_images(config, "held_out")
    forbidden = {image.numpy().tobytes() for image in held_out.tensor}
    trained = {image.numpy().tobytes() for image in open_images(config, "train").tensor}
    assert len(trained) == 48 and not trained & forbidden
    for step in range(16):
        for x in (*batches[step].x, *beside(batches[step]).x):
            assert ((x + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() in trained


def test_opened_batches_say_what_there_is(mnist: Path) -> None:
    config = LabeledImagesConfig(root=str(mnist), download=False, held_out=12, labeled=20, labeled_batch=4)
    batches = open_batches(config, Shard(5, 6))
    assert batches.summary == "48 images, 20 of them labeled" and batches.images_per_step == 10
    assert batches.kept is not None
    assert batches.images.class_labels[batches.kept].bincount().tolist() == [2] * 10
    assert batches.fingerprints == {"images": open_images(config, "train").fingerprint}
    plain = open_batches(replace(config, labeled=0), Shard(5, 6))
    assert plain.kept is None and plain.summary == "48 images" and plain.images_per_step == 6


# What is refused.


def refusal(call: object, *arguments: object) -> str:
    """What a DataError says, in one line."""
    assert callable(call)
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return in_one_line(caught.value)


@pytest.mark.parametrize(("processes", "accumulation", "labeled_batch"), [(2, 1, 5), (1, 2, 3), (2, 3, 8)])
def test_a_labeled_batch_that_cannot_be_shared_out_is_refused(
    mnist: Path, processes: int, accumulation: int, labeled_batch: int
) -> None:
    config = LabeledImagesConfig(root=str(mnist), download=False, labeled=20, labeled_batch=labeled_batch)
    said = refusal(open_batches, config, Shard(0, 12, accumulation, 0, processes))
    assert said == (
        f"data.labeled_batch: {labeled_batch} images can't be divided over {processes} processes × {accumulation} "
        f"micro-batches; expected a multiple of {processes * accumulation}"
    )
    open_batches(replace(config, labeled=0), Shard(0, 12, accumulation, 0, processes))  # nothing to share out


def test_more_labels_than_there_are_images_of_a_class_are_refused(mnist: Path) -> None:
    config = LabeledImagesConfig(root=str(mnist), download=False, labeled=70, labeled_batch=1)
    said = refusal(open_batches, config, Shard(0, 4))
    assert said == "data.labeled: 70 images need 7 of each class; class 0 has 6"
