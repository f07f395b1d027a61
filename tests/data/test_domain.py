"""A domain's images: of folders, of lists of files and of arrays; and what each may do wrong."""

import pickle
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from domain_toys import CONFIG, MUCH, NOTHING, SIZE, read, write_images
from PIL import Image
from tqdm import tqdm

from unit.data import domain as domain_module
from unit.data.batches import DataError, Shard
from unit.data.decoding import ImageError
from unit.data.domain import Domain, SmallImageError, domain_of_array
from unit.data.two_domains import UnpairedBatches


def firsts(domain: Domain) -> list[int]:
    """The number that each image of `write_images` holds in its first channel."""
    return [int(domain[i][0, 0, 0]) for i in range(len(domain))]


# Of folders.


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_bad_files_are_left_out_and_named(tmp_path: Path, budget: float) -> None:
    folder = write_images(tmp_path / "images", 5)
    (folder / "000.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("no image by its name")
    domain = read(folder, budget=budget)
    assert len(domain) == 4 and firsts(domain) == [1, 2, 3, 4] and domain.names[0] == "001.png"
    head, line, skipped = domain.complaints
    assert head == f"{folder}: 1 file left out that can't be decoded:" and "000.png" in line
    assert skipped == f"{folder}: 1 file skipped (.txt)"
    (folder / "001.png").write_bytes(b"")
    assert read(folder, budget=budget).complaints[0] == f"{folder}: 2 files left out that can't be decoded:"


def test_a_file_that_goes_bad_during_training_is_an_error_that_names_it(tmp_path: Path) -> None:
    domain = read(write_images(tmp_path, 5), budget=NOTHING)
    (tmp_path / "004.png").write_bytes(b"not an image any more")
    with pytest.raises(ImageError, match=r"004\.png"):
        domain[4]


@pytest.mark.parametrize("budget", [MUCH, NOTHING])
def test_images_smaller_than_the_crop_are_left_out_by_name(tmp_path: Path, budget: float) -> None:
    write_images(tmp_path, 2)
    write_images(tmp_path / "small", 3, width=40, height=SIZE - 1)
    (tmp_path / "bad.png").write_bytes(b"")
    domain = read(tmp_path, budget=budget)
    assert domain.names == ["000.png", "001.png"]
    assert domain.left_out == ["bad.png", "small/000.png", "small/001.png", "small/002.png"]
    assert domain.complaints[0] == f"{tmp_path}: 1 file left out that can't be decoded:"
    assert domain.complaints[2] == (
        f"{tmp_path}: 3 files left out that are smaller than the crop of data.size 16; lower it, or set data.resize:"
    )
    assert domain.complaints[3:] == [f"  {str(tmp_path / 'small' / f'00{i}.png')!r}: 40×15 pixels" for i in range(3)]
    with pytest.raises(DataError, match=r"no image that can be used; 3 found.*small/000\.png': 40×15 pixels") as error:
        read(tmp_path / "small", budget=budget)
    assert "data.size 16" in str(error.value) and "data.resize" in str(error.value) and "\n" not in str(error.value)


def test_the_error_of_a_small_image_survives_pickling() -> None:
    error = SmallImageError("x.png", 40, 15, 16)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "'x.png': 40×15 pixels, smaller than the crop of data.size 16"


# While they are read.


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_many_images_are_announced_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, 3)
    monkeypatch.delenv("RANK", raising=False)
    read(tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(domain_module, "MANY", 2)
    read(tmp_path)
    assert capsys.readouterr() == ("", f"reading 3 images of {tmp_path}\n")
    monkeypatch.setenv("RANK", "1")  # the main process says it
    read(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(domain_module, "tqdm", lambda images, **options: tqdm(images, **{**options, "delay": 0}))
    write_images(tmp_path, 3)
    read(tmp_path)
    assert "reading" in sys.stderr.getvalue() and "/3" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_small_images_are_scaled_up_where_the_config_says_so(tmp_path: Path) -> None:
    assert read(write_images(tmp_path, 1, width=16, height=8), resize=20)[0].shape == (3, 20, 40)


def test_images_of_just_the_crops_size_have_one_crop(tmp_path: Path) -> None:
    domain = read(write_images(tmp_path, 1, width=SIZE, height=SIZE))
    batches = UnpairedBatches(domain, domain, CONFIG, Shard(0, 4))
    assert all(torch.equal(crop, domain[0]) for crop in batches[0].x_a)


def test_images_of_several_sizes_are_kept_as_they_are(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 1, width=40, height=20)
    write_images(tmp_path / "b", 1, width=17, height=30)
    domain = read(tmp_path)
    assert [domain[i].shape for i in range(2)] == [(3, 20, 40), (3, 30, 17)]
    assert domain.bytes_in_memory == 3 * (20 * 40 + 30 * 17)


def test_gray_images_on_demand(tmp_path: Path) -> None:
    assert read(write_images(tmp_path, 1), channels=1)[0].shape == (1, 20, 24)


@pytest.mark.parametrize("content", [{}, {"a.txt": b"text"}, {"a.png": b"not an image"}])
def test_a_folder_without_images_is_an_error_that_names_it(tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=r"no image that can be used") as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_the_fingerprint_is_of_names_and_contents_wherever_the_folder_lies(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write_images(tmp_path / name, 3, seed=seed)
    one, two, other = (read(tmp_path / name) for name in ("one", "two", "other"))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    (tmp_path / "two" / "002.png").rename(tmp_path / "two" / "003.png")
    assert read(tmp_path / "two").fingerprint != one.fingerprint


def test_nested_folders_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path / "b", 1)
    write_images(tmp_path / "a", 2)
    assert read(tmp_path).names == ["a/000.png", "a/001.png", "b/000.png"]


def test_several_folders_are_one_domain_in_the_order_that_they_are_given(tmp_path: Path) -> None:
    one, two = write_images(tmp_path / "one", 3, seed=1), write_images(tmp_path / "two", 2, seed=2)
    both, other_way = read(one, two), read(two, one)
    assert firsts(both) == [0, 1, 2, 0, 1] and firsts(other_way) == [0, 1, 0, 1, 2]
    assert torch.equal(both[3], read(two)[0]) and torch.equal(both[0], read(one)[0])
    assert len({both.fingerprint, other_way.fingerprint, read(one).fingerprint}) == 3


def test_folders_of_one_name_do_not_make_images_of_one_name(tmp_path: Path) -> None:
    folders = [write_images(tmp_path / place / "train", 2) for place in ("one", "two")]
    assert len(set(read(*folders).names)) == 4


def test_bad_files_of_several_folders_are_named_together(tmp_path: Path) -> None:
    one, two = write_images(tmp_path / "one", 2), write_images(tmp_path / "two", 2)
    (one / "000.png").write_bytes(b"")
    (two / "001.png").write_bytes(b"")
    domain = read(one, two)
    assert firsts(domain) == [1, 0]
    assert domain.complaints[0] == f"{one}, {two}: 2 files left out that can't be decoded:"


# Of lists of files.


def list_of(folder: Path, *lines: str, name: str = "list.txt") -> Path:
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder / name


def test_a_list_names_images_relative_to_itself_in_its_own_order(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 5)
    elsewhere = write_images(tmp_path / "elsewhere", 3) / "002.png"
    domain = read(list_of(tmp_path, "images/003.png", "", "  images/001.png  ", str(elsewhere), ""))
    assert firsts(domain) == [3, 1, 2]
    assert domain.names == ["images/003.png", "images/001.png", str(elsewhere)]


def test_a_list_and_a_folder_may_be_one_domain(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 3)
    assert firsts(read(list_of(tmp_path, "images/002.png"), folder)) == [2, 0, 1, 2]


def test_a_lists_fingerprint_is_of_its_lines(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 3)
    lines = ["images/002.png", "images/000.png"]
    one, again = (read(list_of(tmp_path, *lines, name=name)) for name in ("one.txt", "again.txt"))
    assert one.fingerprint == again.fingerprint
    assert read(list_of(tmp_path, *lines[::-1])).fingerprint != one.fingerprint


def test_a_missing_file_of_a_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 1)
    missing = r"list\.txt: 2 of its 3 files are missing, the first: .*/images/7\.png"
    with pytest.raises(DataError, match=missing) as error:
        read(list_of(tmp_path, "images/000.png", "images/7.png", "images/8.png"))
    assert "\n" not in str(error.value)


def test_a_bad_file_of_a_list_is_left_out_and_named(tmp_path: Path) -> None:
    """Also one that is no file at all."""
    write_images(tmp_path / "images", 2)
    (tmp_path / "images" / "notes.doc").write_text("no image")
    domain = read(list_of(tmp_path, "images/notes.doc", "images/001.png", "images"))
    assert firsts(domain) == [1] and len(domain.complaints) == 3 and "notes.doc" in domain.complaints[1]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"\x00.png"])
def test_what_is_no_list_of_images_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"list\.txt") as error:
        read(tmp_path / "list.txt")
    assert "\n" not in str(error.value)


# Of arrays.


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_arrays_are_channels_last_and_tensors_channels_first() -> None:
    color = noise(4, 6, 5, 3)
    domain = domain_of_array(color)
    assert domain.tensor.shape == (4, 3, 6, 5) and torch.equal(domain[1], torch.from_numpy(color[1]).permute(2, 0, 1))
    assert torch.equal(domain_of_array(torch.from_numpy(color).permute(0, 3, 1, 2)).tensor, domain.tensor)
    gray = noise(4, 6, 5)
    assert torch.equal(domain_of_array(gray).tensor, torch.from_numpy(gray)[:, None])
    assert torch.equal(domain_of_array(gray[..., None]).tensor, torch.from_numpy(gray)[:, None])
    assert domain.names == ["0", "1", "2", "3"] and domain.in_memory and domain.bytes_in_memory == color.size


def test_views_and_arrays_that_may_not_be_written_are_taken_too() -> None:
    color = noise(4, 6, 5, 3)
    mirrored = color[:, :, ::-1]
    assert torch.equal(domain_of_array(mirrored).tensor, domain_of_array(mirrored.copy()).tensor)
    color.flags.writeable = False
    assert torch.equal(domain_of_array(color).tensor.permute(0, 2, 3, 1), torch.from_numpy(color.copy()))


def test_labels_go_with_their_images() -> None:
    domain = domain_of_array(noise(4, 6, 5), [2, 0, 1, 2])
    assert domain.class_labels.tolist() == [2, 0, 1, 2] and domain.class_labels.dtype == torch.int64
    assert domain.classes == 3
    part = domain.part(1, 3)
    assert part.class_labels.tolist() == [0, 1] and part.classes == 3 and part.names == ["1", "2"]
    assert torch.equal(part.tensor, domain.tensor[1:3])
    without = domain_of_array(noise(4, 6, 5))
    assert without.labels is None and without.classes == 0 and without.class_labels.tolist() == [0] * 4
    for labels in (np.array([2, 0, 1, 2], np.uint8), torch.tensor([2, 0, 1, 2], dtype=torch.int32)):
        assert domain_of_array(noise(4, 6, 5), labels).fingerprint == domain.fingerprint


def test_the_fingerprint_of_an_array_is_of_shapes_images_and_labels() -> None:
    images = noise(4, 6, 5)
    other = images.copy()
    other[3, 5, 4] ^= 1
    domains = [
        domain_of_array(images), domain_of_array(other), domain_of_array(images[:3]), domain_of_array(images, [0] * 4),
        domain_of_array(images, [0, 0, 0, 1]), domain_of_array(images.reshape(4, 5, 6)),
    ]  # fmt: skip
    assert len({domain.fingerprint for domain in domains}) == len(domains)
    assert domain_of_array(images.copy()).fingerprint == domains[0].fingerprint


def test_a_single_image_is_a_domain() -> None:
    domain = domain_of_array(noise(1, SIZE, SIZE, 3))
    batches = UnpairedBatches(domain, domain, CONFIG, Shard(0, 3))
    assert batches.summary == "1 image in a, 1 in b" and batches[0].x_a.shape == (3, 3, SIZE, SIZE)


WRONG = {
    "floats": noise(2, 4, 4) / 255,
    "16 bits": noise(2, 4, 4).astype(np.uint16),
    "one image": noise(4, 4),
    "two channels": noise(2, 4, 4, 2),
    "channels first": noise(2, 3, 4, 4),
    "channels last": torch.from_numpy(noise(2, 4, 4, 3)),
    "a tensor without channels": torch.from_numpy(noise(2, 4, 4)),
    "no images": noise(0, 4, 4),
    "no pixels": noise(2, 0, 4),
    "five dimensions": noise(1, 1, 4, 4, 3),
    "objects": np.array([None, None]),
    "a path": "images/",
    "nothing": None,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_array_of_images_is_refused(wrong: str) -> None:
    with pytest.raises(DataError, match=r"images: expected uint8, \(N, ") as error:
        domain_of_array(WRONG[wrong])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "labels", [[0], [0, 1, 2], [], [0, -1], [[0], [1]], [0.5, 1.0], ["cat", "dog"], [None, None], 3], ids=str
)
def test_labels_that_are_not_one_number_per_image_are_refused(labels: Any) -> None:
    with pytest.raises(DataError, match="labels: expected 2 integers from 0") as error:
        domain_of_array(noise(2, 4, 4), labels)
    assert "\n" not in str(error.value)


# What is noted of files that are used.


def test_skipped_files_are_counted_with_their_suffixes(tmp_path: Path) -> None:
    one, two = write_images(tmp_path / "one", 2), write_images(tmp_path / "two", 1)
    for path in (one / "a.HEIC", one / "b.heic", two / "notes.txt", two / "deep.d" / "README", one / ".hidden.txt"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert read(one, two).complaints == [f"{one}, {two}: 4 files skipped (.heic, .txt, no suffix)"]
    for path in one.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"0 found by name.* 2 files skipped \(\.heic\)"):
        read(one)


def test_ignored_profiles_are_counted_and_the_first_named(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (24, 20)).save(tmp_path / f"{number}.png", icc_profile=b"nonsense" if number else None)
    domain = read(tmp_path)
    assert len(domain) == 3
    assert domain.complaints == [
        f"{tmp_path}: 2 files with a broken color profile, which is ignored; the first is '1.png'"
    ]


def test_animated_files_and_pages_are_counted_and_the_first_named(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (24, 20), color) for color in ("red", "lime", "blue")]
    for name in ("a.webp", "b.png", "c.tif", "d.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "e.png")
    domain = read(tmp_path)
    assert [int(domain[i][0, 8, 8]) > 250 for i in range(5)] == [True] * 4 + [False]
    line = "4 files with several frames or pages, of which the first is used; the first is 'a.webp'"
    assert domain.complaints == [f"{tmp_path}: {line}"]
