"""Batches of digits: who is visited, how a batch is shared out, what each draw is a function of, what is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from digit_toys import batch_of, noise_of, write_mnist
from torch import Tensor

from unit.config.data import DigitsConfig, LabelledDigitsConfig
from unit.data.batches import Share
from unit.data.digit_batches import DigitBatch, DigitBatches, open_batches, open_digits
from unit.data.digits import Digits, DigitsError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("digits") / "mnist")


def numbered(count: int) -> Digits:
    """Image n is of brightness n throughout, so that it is known again; its label is n mod 10."""
    each = torch.arange(count)
    return Digits(each.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4), each % 10)


def numbers(batch: DigitBatch) -> list[int]:
    """Which of the numbered images they are; their labels are theirs."""
    found = (batch.x[:, 0, 0, 0] * 255).round().long()
    assert torch.equal(batch.y, found % 10)
    return found.tolist()


def beside(batch: DigitBatch) -> DigitBatch:
    assert batch.labelled is not None
    return batch.labelled


KEPT = torch.tensor([4, 7, 11, 18, 25])


# Who is visited.


@pytest.mark.parametrize("batch_size", [1, 6, 9, 45])
def test_each_epoch_visits_each_digit_once(batch_size: int) -> None:
    batches, count = DigitBatches(numbered(30), Share(3, batch_size)), 30
    steps = 3 * count // batch_size
    seen = [number for step in range(steps) for number in numbers(batches[step])]
    assert len(seen) == 3 * count
    epochs = [seen[start : start + count] for start in range(0, len(seen), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3  # each in an order of its own
    assert list(range(count)) not in epochs


def test_labelled_batches_visit_those_with_labels_alone_each_as_often() -> None:
    batches = DigitBatches(numbered(30), Share(3, 6), kept=KEPT, labelled_batch=3)
    seen = Counter(number for step in range(10) for number in numbers(beside(batches[step])))
    assert seen == dict.fromkeys(KEPT.tolist(), 6)  # 30 images are six rounds of five
    plain = DigitBatches(numbered(30), Share(3, 6))
    assert plain[0].labelled is None
    for step in range(10):  # the others do not depend on them
        assert numbers(batches[step]) == numbers(plain[step])


def test_brightness_255_is_1_and_labels_go_with_their_images() -> None:
    digits = Digits(torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1), KEPT[:3])
    batch = DigitBatches(digits, Share(0, 3))[0]
    assert sorted(zip(batch.x.flatten().tolist(), batch.y.tolist(), strict=True)) == [
        (0.0, 4), (pytest.approx(0.2), 7), (1.0, 11),
    ]  # fmt: skip
    assert batch.x.dtype == torch.float32 and batch.y.dtype == torch.int64


def test_another_seed_is_another_order() -> None:
    orders = {tuple(numbers(DigitBatches(numbered(30), Share(seed, 30))[0])) for seed in range(5)}
    assert len(orders) == 5


def test_a_step_is_known_by_its_number_alone() -> None:
    share = Share(3, 6)
    one, other = (DigitBatches(numbered(30), share, kept=KEPT, labelled_batch=3) for _ in range(2))
    late = [numbers(other[step]) for step in reversed(range(8))]
    torch.manual_seed(1)
    assert [numbers(one[step]) for step in range(8)] == late[::-1]


# How a batch is shared out.

SHARES = [(1, 1), (1, 2), (2, 1), (2, 3), (6, 1), (3, 2)]


def parts_of(step: int, processes: int, accumulation: int) -> list[DigitBatch]:
    """A step's parts, process by process, as they are trained on."""
    parts = []
    for rank in range(processes):
        share = Share(3, 12, accumulation, rank, processes)
        batches = DigitBatches(numbered(30), share, kept=KEPT, labelled_batch=6)
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
        all_of, shares = which(whole), [which(part) for part in parts]
        assert all(share.step == step and share.size == size and share.seed == 3 for share in shares)
        assert [position for share in shares for position in share.positions] == list(range(size))
        assert len({len(share.x) for share in shares}) == 1
        assert torch.equal(torch.cat([share.x for share in shares]), all_of.x)
        assert torch.equal(torch.cat([share.y for share in shares]), all_of.y)
        assert torch.equal(torch.cat([share.own(prior[:size]) for share in shares]), prior[:size])
        noise = torch.cat([share.normals("latent", 2, 3) for share in shares])
        assert noise.shape == (size, 2, 3) and torch.equal(noise, all_of.normals("latent", 2, 3))


def test_preparing_changes_no_number_and_keeps_the_labelled_ones_beside() -> None:
    batches = DigitBatches(numbered(30), Share(3, 6), kept=KEPT, labelled_batch=3)
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


def test_a_generator_is_the_same_on_every_process_and_own_takes_its_rows() -> None:
    whole = batch_of(6)
    part = replace(whole, x=whole.x[2:4], y=whole.y[2:4], positions=range(2, 4))
    drawn = [torch.rand(6, 2, generator=batch.generator("prior")) for batch in (whole, part)]
    assert torch.equal(*drawn)
    assert torch.equal(part.own(drawn[0]), drawn[0][2:4])


# The splits.


@pytest.mark.parametrize("held_out", [0, 1, 13, 59])
def test_the_splits_are_disjoint_and_complete(mnist: Path, held_out: int) -> None:
    config = DigitsConfig(root=str(mnist), download=False, held_out=held_out)
    every = open_digits(replace(config, held_out=0), "train")
    train, test = open_digits(config, "train"), open_digits(config, "test")
    parts = [train] + ([open_digits(config, "held_out")] if held_out else [])
    assert [len(part) for part in parts] == ([60 - held_out, held_out] if held_out else [60])
    assert torch.equal(torch.cat([part.images for part in parts]), every.images)  # and so disjoint, for all differ
    assert torch.equal(torch.cat([part.labels for part in parts]), every.labels)
    assert len(test) == 20
    assert len({image.numpy().tobytes() for image in torch.cat([every.images, test.images])}) == 80


def test_held_out_images_are_neither_trained_on_nor_labelled(mnist: Path) -> None:
    config = LabelledDigitsConfig(root=str(mnist), download=False, held_out=12, labelled=20, labelled_batch=4)
    batches, held_out = open_batches(config, Share(0, 6)), open_digits(config, "held_out")
    forbidden = {image.numpy().tobytes() for image in held_out.images}
    for step in range(16):
        for x in (*batches[step].x, *beside(batches[step]).x):
            assert (x * 255).round().to(torch.uint8).numpy().tobytes() not in forbidden


def test_opened_batches_say_what_there_is(mnist: Path) -> None:
    config = LabelledDigitsConfig(root=str(mnist), download=False, held_out=12, labelled=20, labelled_batch=4)
    batches = open_batches(config, Share(5, 6))
    assert batches.summary == "48 digits, 20 of them labelled" and batches.images_a_step == 10
    assert batches.kept is not None
    assert batches.digits.labels[batches.kept].bincount().tolist() == [2] * 10
    assert batches.fingerprints == {"digits": open_digits(config, "train").fingerprint}
    plain = open_batches(replace(config, labelled=0), Share(5, 6))
    assert plain.kept is None and plain.summary == "48 digits" and plain.images_a_step == 6


# What is refused.


def refusal(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(DigitsError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("held_out", [60, 61])
def test_as_many_held_out_as_there_are_is_refused(mnist: Path, split: str, held_out: int) -> None:
    config = DigitsConfig(root=str(mnist), download=False, held_out=held_out)
    said = refusal(open_digits, config, split)
    assert said == f"data.held_out: expected fewer than the 60 training images, got {held_out}"


def test_held_out_images_of_a_run_without_any_are_refused(mnist: Path) -> None:
    said = refusal(open_digits, DigitsConfig(root=str(mnist), download=False), "held_out")
    assert said == "no images are held out: data.held_out is 0, and the model was trained on all"


@pytest.mark.parametrize(("processes", "accumulation", "labelled_batch"), [(2, 1, 5), (1, 2, 3), (2, 3, 8)])
def test_a_labelled_batch_that_cannot_be_shared_out_is_refused(
    mnist: Path, processes: int, accumulation: int, labelled_batch: int
) -> None:
    config = LabelledDigitsConfig(root=str(mnist), download=False, labelled=20, labelled_batch=labelled_batch)
    said = refusal(open_batches, config, Share(0, 12, accumulation, 0, processes))
    assert said == (
        f"data.labelled_batch: {labelled_batch} images can't be divided over {processes} processes × {accumulation} "
        f"accumulated parts; expected a multiple of {processes * accumulation}"
    )
    open_batches(replace(config, labelled=0), Share(0, 12, accumulation, 0, processes))  # nothing to share out


def test_more_labels_than_there_are_images_of_a_digit_are_refused(mnist: Path) -> None:
    config = LabelledDigitsConfig(root=str(mnist), download=False, labelled=70, labelled_batch=1)
    said = refusal(open_batches, config, Share(0, 4))
    assert said == "labeled: 70 images need 7 of each class; class 0 has 6"


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("side", [16, 27])
def test_images_of_another_size_are_refused(tmp_path: Path, split: str, side: int) -> None:
    root = write_mnist(tmp_path / "mnist", side=side)
    said = refusal(open_digits, DigitsConfig(root=str(root), download=False), split)
    assert said == f"{root}: images of {side}×{side} pixels; mnist's have 28×28"
