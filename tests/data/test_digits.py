"""MNIST and USPS: what is read, what is refused and in which words, and which images keep their labels."""

import gzip
import os
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from unit.data.batches import DataError
from unit.data.digits import MNIST_FILES, Digits, DigitsError, read_digits
from unit.data.labeled import choose_labeled

DATA = Path(os.environ.get("UNIT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TRAIN_IMAGES, TRAIN_LABELS = MNIST_FILES["train"]
NAMES = [name for pair in MNIST_FILES.values() for name in pair]

IMAGES = np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2) * 10
LABELS = np.array([5, 0, 9, 4], dtype=np.uint8)


def idx(array: np.ndarray, *, shape: tuple[int, ...] | None = None) -> bytes:
    """An idx file of bytes, whose header may lie about the shape."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write(folder: Path, name: str, content: bytes, *, zipped: bool) -> Path:
    path = folder / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(content) if zipped else content)
    return path


def write_mnist(folder: Path, *, zipped: bool = False) -> Path:
    """Four images for training; the last two, brighter by 1, for testing."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = (idx(IMAGES), idx(LABELS), idx(IMAGES[2:] + 1), idx(LABELS[2:]))
    for name, content in zip(NAMES, contents, strict=True):
        write(folder, name, content, zipped=zipped)
    return folder


def refused(*said: str | Path, root: Path, name: Any = "mnist", split: Any = "train", download: bool = False) -> str:
    """Reading raises DigitsError of one line with all of this in it."""
    with pytest.raises(DigitsError) as caught:
        read_digits(root, name, split, download=download)
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert str(part) in message
    return message


# MNIST.


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "MNIST/raw"])
def test_mnist_is_what_its_files_hold(tmp_path: Path, zipped: bool, inside: str) -> None:
    write_mnist(tmp_path / inside, zipped=zipped)
    train = read_digits(tmp_path, "mnist", "train")  # nothing to download
    assert train.images.dtype == torch.uint8 and train.labels.dtype == torch.int64
    assert train.images.shape == (4, 1, 3, 2) and len(train) == 4
    assert train.images[3, 0].tolist() == [[180, 190], [200, 210], [220, 230]]
    assert train.labels.tolist() == [5, 0, 9, 4]
    test = read_digits(tmp_path, "mnist", "test", download=False)
    assert torch.equal(test.images, train.images[2:] + 1) and test.labels.tolist() == [9, 4]


def test_each_file_may_be_plain_or_zipped_and_plain_goes_first(tmp_path: Path) -> None:
    write_mnist(tmp_path, zipped=True)
    write(tmp_path, TRAIN_LABELS, idx(LABELS[::-1]), zipped=False)
    assert read_digits(tmp_path, "mnist", "train").labels.tolist() == [4, 9, 0, 5]


def test_a_whole_set_goes_before_a_part_of_one(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    write(tmp_path, TRAIN_LABELS, idx(LABELS[::-1]), zipped=False)
    assert read_digits(tmp_path, "mnist", "train").labels.tolist() == [5, 0, 9, 4]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (TRAIN_IMAGES, b"", "expected the magic number 0x00000803"),
        (TRAIN_IMAGES, idx(LABELS), "starts with 0x00000801; expected the magic number 0x00000803"),
        (TRAIN_LABELS, idx(IMAGES), "starts with 0x00000803; expected the magic number 0x00000801"),
        (TRAIN_IMAGES, idx(IMAGES)[:10], "ends after 10 bytes; expected a header of 16"),
        (TRAIN_IMAGES, idx(IMAGES)[:-1], "23 bytes after its header; expected 4 × 3 × 2 = 24"),
        (TRAIN_IMAGES, idx(IMAGES) + b"x", "more bytes after its header than the expected 4 × 3 × 2 = 24"),
        (TRAIN_IMAGES, idx(IMAGES, shape=(2**32 - 1,) * 3), "4294967295 × 4294967295 × 4294967295 bytes; expected"),
        (TRAIN_IMAGES, idx(IMAGES[:0]), "0 × 3 × 2 bytes; expected 1 to"),
        (TRAIN_LABELS, idx(LABELS[:3]), "3 labels; expected 4"),
        (TRAIN_LABELS, idx(LABELS + 1), "label 10; expected 0 to 9"),
    ],
)
def test_a_wrong_idx_file_is_one_line(tmp_path: Path, zipped: bool, name: str, content: bytes, said: str) -> None:
    write_mnist(tmp_path, zipped=zipped)
    refused(write(tmp_path, name, content, zipped=zipped), said, root=tmp_path)


def inverted(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-12],  # within the compressed bytes
        lambda content: content[:-4],  # all bytes of the image, but no end
        lambda content: inverted(content, len(content) - 8),  # the checksum
        lambda content: inverted(content, 10),  # the first block's type
        lambda content: b"not gzip",
    ],
)
def test_a_damaged_gzip_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_mnist(tmp_path, zipped=True) / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "can't be read (", "expected a whole idx file, plain or .gz", root=tmp_path)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("inside", ["", "MNIST/raw"])
def test_some_of_the_files_are_not_enough(tmp_path: Path, download: bool, inside: str) -> None:
    folder = write_mnist(tmp_path / inside)
    for name in NAMES[1:3]:
        (folder / name).unlink()
    message = refused(f"{folder}: MNIST without {NAMES[1]}, {NAMES[2]};", root=tmp_path, download=download)
    assert NAMES[0] not in message and NAMES[3] not in message


@pytest.mark.parametrize("there", [False, True])
def test_no_files_and_no_download_is_one_line(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "digits"
    if there:
        root.mkdir()
    refused(f"{root}: no MNIST there", *NAMES, root / "MNIST" / "raw", root=root)
    assert root.exists() == there


def test_absent_files_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(root: Path, *, download: bool) -> None:
        asked.append((root, download))
        write_mnist(Path(root) / "MNIST" / "raw")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    first = read_digits(tmp_path, "mnist", "train")
    again = read_digits(tmp_path, "mnist", "train")
    assert asked == [(tmp_path, True)]
    assert first.labels.tolist() == [5, 0, 9, 4] and first.fingerprint == again.fingerprint


def test_readers_wait_for_a_download_that_another_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, which take the lock as processes do: each opens the lock's file for itself."""
    asked = []

    def fetch(root: Path, *, download: bool) -> None:
        asked.append(root)
        time.sleep(0.2)
        write_mnist(Path(root) / "MNIST" / "raw")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    with ThreadPoolExecutor(3) as threads:
        read = list(threads.map(lambda _: read_digits(tmp_path, "mnist", "train"), range(3)))
    assert len(asked) == 1 and [digits.labels.tolist() for digits in read] == [[5, 0, 9, 4]] * 3


def test_digits_are_read_where_users_have_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid", raising=False)
    assert len(read_digits(write_mnist(tmp_path), "mnist", "train")) == 4


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error downloading:\nTried one, got:\n403\n"),
        URLError("no route"),
        OSError("the disk is full"),
        IncompleteRead(b""),
    ],
)
def test_a_failed_download_says_where_to_put_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(root: Path, *, download: bool) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    cause = " ".join(str(error).split())
    refused(f"{tmp_path}: MNIST can't be downloaded ({cause})", *NAMES, root=tmp_path, download=True)


def test_a_root_that_cannot_be_a_folder_is_one_line(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    refused(f"{root}: MNIST can't be downloaded (", root=root, download=True)  # torchvision's own, before any network


def test_a_download_that_leaves_nothing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda root, *, download: None)
    refused(f"{tmp_path}: no MNIST there", *NAMES, root=tmp_path, download=True)


# USPS.

BRIGHTNESS = (np.arange(3 * 256, dtype=np.float32) % 256 / 255).reshape(3, 256)
TARGET = np.array([6, 0, 9], dtype=np.int32)


def write_usps(path: Path, *, data: Any = BRIGHTNESS, target: Any = TARGET) -> Path:
    """train as given (None: left out), and a test split of the first image."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["test/data"], file["test/target"] = BRIGHTNESS[:1], TARGET[:1]
        for key, value in (("data", data), ("target", target)):
            if value is not None:
                file[f"train/{key}"] = value
    return path


@pytest.mark.parametrize("file_itself", [False, True])
def test_usps_is_what_its_file_holds(tmp_path: Path, file_itself: bool) -> None:
    path = write_usps(tmp_path / ("other.h5" if file_itself else "usps.h5"))
    root = path if file_itself else tmp_path
    train = read_digits(root, "usps", "train")
    assert train.images.dtype == torch.uint8 and train.labels.dtype == torch.int64
    assert train.images.shape == (3, 1, 16, 16)
    assert torch.equal(train.images, torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(3, 1, 1, 1))
    assert train.labels.tolist() == [6, 0, 9]
    assert read_digits(root, "usps", "test").labels.tolist() == [6]


def test_usps_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    given = torch.tensor([0.0, 0.49, 0.51, 1.49, 100.4, 254.6, 255.0]) / 255
    data = np.zeros((3, 256), dtype=np.float32)
    data[1, :7] = given.numpy()
    write_usps(tmp_path / "usps.h5", data=data)
    images = read_digits(tmp_path, "usps", "train").images
    assert images[1].flatten()[:7].tolist() == [0, 0, 1, 1, 100, 255, 255]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": None}, "no dataset train/data; expected data and target"),
        ({"target": None}, "no dataset train/target; expected data and target"),
        ({"data": None, "target": None}, "no dataset train/data"),
        ({"data": BRIGHTNESS[:, :255]}, "train/data is float32 of shape (3, 255); expected N × 256 float numbers"),
        ({"data": BRIGHTNESS[0]}, "train/data is float32 of shape (256,); expected N × 256 float numbers"),
        ({"data": BRIGHTNESS[:0]}, "train/data is float32 of shape (0, 256); expected N × 256 float numbers"),
        ({"data": TARGET[:, None].repeat(256, 1)}, "train/data is int32 of shape (3, 256); expected N × 256 float"),
        ({"target": BRIGHTNESS[:, 0]}, "train/target is float32 of shape (3,); expected N integer numbers"),
        ({"target": 3}, "train/target is int64 of shape (); expected N integer numbers"),
        ({"data": BRIGHTNESS * 2 - 1}, "train/data is from -1.0 to 1.0; expected numbers in [0, 1]"),
        ({"data": BRIGHTNESS * np.nan}, "train/data is from nan to nan; expected numbers in [0, 1]"),
        ({"target": TARGET[:2]}, "train/target: 2 labels; expected 3"),
        ({"target": TARGET + 1}, "train/target: label 10; expected 0 to 9"),
        ({"target": TARGET - 1}, "train/target: label -1; expected 0 to 9"),
    ],
)
def test_a_wrong_usps_is_one_line(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    path = write_usps(tmp_path / "usps.h5", **given)
    refused(path, said, root=tmp_path, name="usps")


@pytest.mark.parametrize("count", [10**12, 2**58])  # 2^58 rows of 2^10 bytes: more than an int64 counts
def test_a_usps_that_says_it_is_huge_is_not_read(tmp_path: Path, count: int) -> None:
    path = write_usps(tmp_path / "usps.h5", data=None)
    with pytest.importorskip("h5py").File(path, "a") as file:
        file.create_dataset("train/data", shape=(count, 256), chunks=(1, 256), dtype="f4")
    refused(path, f"train/data is float32 of shape ({count}, 256)", root=tmp_path, name="usps")


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: b"no HDF5", lambda content: content[:2000]])
def test_a_damaged_usps_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_usps(tmp_path / "usps.h5")
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "can't be read (", "expected a whole HDF5 file", root=tmp_path, name="usps")


@pytest.mark.parametrize("download", [False, True])
def test_an_absent_usps_is_one_line(tmp_path: Path, download: bool) -> None:
    for root, path in ((tmp_path, tmp_path / "usps.h5"), (tmp_path / "my.h5", tmp_path / "my.h5")):
        refused(f"{path}: no such file; expected USPS as HDF5", root=root, name="usps", download=download)


def test_usps_without_h5py_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usps.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = refused(root=tmp_path, name="usps")
    assert message == "reading USPS needs h5py; pip install 'unit-translation[usps]'"


# Digits.


def digits(count: int = 6) -> Digits:
    return Digits(torch.arange(count * 4, dtype=torch.uint8).view(count, 1, 2, 2), torch.arange(count) % 10)


def test_the_fingerprint_tells_digits_apart() -> None:
    whole = digits()
    other_image, other_label = whole.images.clone(), whole.labels.clone()
    other_image[5, 0, 1, 1] += 1
    other_label[0] += 1
    assert whole.fingerprint == digits().fingerprint
    others = [
        Digits(other_image, whole.labels),
        Digits(whole.images, other_label),
        Digits(whole.images.view(6, 1, 1, 4), whole.labels),
        Digits(whole.images.flip(0), whole.labels.flip(0)),
        whole.part(0, 5),
        whole.part(0, 0),
    ]
    assert len({whole.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_a_part_is_its_images_and_labels_without_a_copy() -> None:
    whole = digits()
    part = whole.part(2, 5)
    assert len(part) == 3 and part.labels.tolist() == [2, 3, 4]
    assert part.images.data_ptr() == whole.images[2:].data_ptr()
    assert part.fingerprint == Digits(whole.images[2:5].clone(), whole.labels[2:5].clone()).fingerprint


# Which images keep their labels.


@pytest.fixture
def uneven() -> torch.Tensor:
    """Labels in no order: 20 zeros, 21 ones, …, 29 nines."""
    labels = torch.cat([torch.full((20 + digit,), digit) for digit in range(10)])
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


def keep(labels: torch.Tensor, count: int, *, seed: int = 3) -> torch.Tensor:
    return choose_labeled(labels, count, classes=10, seed=seed)


@pytest.mark.parametrize("count", [0, 10, 70, 200])
def test_as_many_of_each_class_keep_their_labels(uneven: torch.Tensor, count: int) -> None:
    chosen = keep(uneven, count)
    assert chosen.dtype == torch.int64 and chosen.shape == (count,)
    assert (chosen.diff() > 0).all()  # sorted and distinct
    assert uneven[chosen].bincount(minlength=10).tolist() == [count // 10] * 10


def test_who_keeps_labels_is_a_function_of_the_seed(uneven: torch.Tensor) -> None:
    assert torch.equal(keep(uneven, 50), keep(uneven, 50))
    assert not torch.equal(keep(uneven, 50), keep(uneven, 50, seed=4))


def test_fewer_labels_are_part_of_more(uneven: torch.Tensor) -> None:
    assert set(keep(uneven, 30).tolist()) < set(keep(uneven, 100).tolist())


def test_every_image_may_keep_its_label() -> None:
    """Each of a class's four images is the one that keeps its label under about a quarter of 1000 seeds."""
    labels = torch.arange(8) % 2
    drawn = torch.cat([choose_labeled(labels, 2, classes=2, seed=seed) for seed in range(1000)])
    assert ((drawn.bincount(minlength=8) - 250).abs() < 70).all()  # five standard deviations: √(1000 · ¼ · ¾) = 13.7


@pytest.mark.parametrize(
    ("count", "classes", "said"),
    [
        (15, 10, "data.labeled: expected as many of each of 10 classes, got 15"),
        (-10, 10, "expected as many of each of 10 classes, got -10"),
        (4, 0, "these images have no labels; expected 0, or a folder for each class"),
        (210, 10, "210 images need 21 of each class; class 0 has 20"),
        (11, 11, "11 images need 1 of each class; class 10 has 0"),
    ],
)
def test_labels_that_cannot_be_shared_out_are_refused(
    uneven: torch.Tensor, count: int, classes: int, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        choose_labeled(uneven, count, classes=classes, seed=0)
    assert said in str(caught.value) and "\n" not in str(caught.value)


# The real ones.


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="no real MNIST (UNIT_DATA)")
def test_the_real_mnist() -> None:
    train, test = (read_digits(DATA / "mnist", "mnist", split, download=False) for split in ("train", "test"))
    assert train.images.shape == (60000, 1, 28, 28) and test.images.shape == (10000, 1, 28, 28)
    assert train.images.float().mean().item() == pytest.approx(33.3, abs=0.05)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert train.labels.bincount().min() == 5421  # fives


@pytest.mark.skipif(not (DATA / "usps").is_dir(), reason="no real USPS (UNIT_DATA)")
def test_the_real_usps() -> None:
    pytest.importorskip("h5py")
    train, test = (read_digits(DATA / "usps", "usps", split) for split in ("train", "test"))
    assert train.images.shape == (7291, 1, 16, 16) and test.images.shape == (2007, 1, 16, 16)
    assert train.images.min() == 0 and train.images.max() == 255
    assert train.labels[:5].tolist() == [6, 5, 4, 7, 3] and train.labels.max() == 9
