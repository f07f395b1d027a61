"""Turn a data set as its authors published it into `trainA trainB testA testB`.

Three layouts are known. *Folders*: `trainA`, `trainB`, … exist already. *Pairs*: `train`, `val` and `test` hold images
of A and B side by side; the halves are written as PNG under the name of the pair, so no pixel changes. *CelebA*: one
folder of faces and a table of their attributes. A `val` split becomes `test` if there is no `test`.
"""

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from unit.data.formats import EXTENSIONS
from unit.data.opening import opened
from unit.data.profiles import profile_of, to_srgb
from unit.data.sets.unpack import unpack
from unit.data.sets.warn import warn

__all__ = ["arrange", "arrange_celeba", "find", "images_to_copy", "transfer", "visible_folders"]

SPLITS = ("train", "val", "test")
SEARCH_DEPTH = 3  # levels below the source
PARTITION = ("train", "val", "test")  # 0, 1 and 2 in CelebA's list

Side = Literal["left", "right"]


def images(folder: Path) -> list[Path]:
    """The image files in a folder, sorted by name, with a warning about other files that are not hidden.

    Raises FileNotFoundError if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    found = [path for path in visible if path.suffix.lower() in EXTENSIONS and path.is_file()]
    if not found:
        raise FileNotFoundError(f"no images in {folder}")
    if others := sorted({path.name for path in visible} - {path.name for path in found}):
        warn(f"skipped in {folder}, not images: {_some(others)}")
    return found


def images_to_copy(folder: Path, source: Path) -> list[Path]:
    """The same of a folder of a source, without links that lead out of it, which a warning names."""
    found, top = images(folder), Path(os.path.realpath(source))
    led_out = not Path(os.path.realpath(folder)).is_relative_to(top)
    outside = {
        path
        for path in found
        if led_out or (path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(top))
    }
    if outside:
        warn(f"left out of {folder}, links that lead out of {source}: {_some(sorted(path.name for path in outside))}")
    if len(outside) == len(found):
        raise FileNotFoundError(f"no images in {folder} but links that lead out of {source}")
    return [path for path in found if path not in outside]


def _some(names: Iterable[str]) -> str:
    """The first five names, and how many more there are."""
    every = list(names)
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")


def arrange(source: Path, result: Path, *, side_a: Side = "left", move: bool = False) -> None:
    """Build `result` from the folders or the pairs found in `source` or up to three levels below it.

    `side_a` is the half of a pair that is A. With `move=True`, images that need no splitting are moved, not copied.

    Raises FileNotFoundError if a split is missing or empty, and ValueError if there is more than one data set or if a
    pair cannot be split.
    """
    root = _find_root(source)
    folders = (root / "trainA").is_dir()
    splits = [split for split in SPLITS if (root / (f"{split}A" if folders else split)).is_dir()]
    if splits == ["train"]:
        raise FileNotFoundError(f"{root} has training images only: a test or val folder is needed too")
    for split in splits:
        name = split if "test" in splits else split.replace("val", "test")
        if folders:
            for domain in "AB":
                transfer(images_to_copy(root / f"{split}{domain}", source), result / f"{name}{domain}", move=move)
        else:
            _split_pairs(root / split, result / f"{name}A", result / f"{name}B", side_a=side_a)


def arrange_celeba(source: Path, result: Path, *, attribute: str, scratch: Path, move: bool = False) -> None:
    """Build `result` from CelebA: A holds the faces without `attribute`, B those with it.

    The splits are those of `list_eval_partition.txt`; without that file, the last tenth by name is the test split.
    Zipped faces are unpacked to the new folder `scratch`.

    Raises FileNotFoundError if the faces or the table of attributes are missing, and ValueError for an unknown
    attribute, a malformed list, or a folder that would stay empty.
    """
    labels = _read_attributes(_need(source, "list_attr_celeba.txt"), attribute)
    archive, folder = find(source, "img_align_celeba.zip"), find(source, "img_align_celeba")
    source_of_faces = source
    if folder is None:
        if archive is None:
            raise FileNotFoundError(f"neither img_align_celeba nor img_align_celeba.zip in {source}")
        unpack(archive, scratch)
        folder, move, source_of_faces = scratch / "img_align_celeba", True, scratch
    inner = folder / "img_align_celeba"  # some copies have the folder nested in itself
    faces = images_to_copy(inner if inner.is_dir() else folder, source_of_faces)
    split_of = _read_partition(find(source, "list_eval_partition.txt"), faces)
    parts: dict[str, list[Path]] = {}
    for face in faces:
        if face.name not in labels or face.name not in split_of:
            raise ValueError(f"{face.name} is missing from CelebA's lists in {source}")
        parts.setdefault(f"{split_of[face.name]}{'AB'[labels[face.name]]}", []).append(face)
    for name in ("trainA", "trainB", "testA", "testB"):
        if name not in parts:
            raise ValueError(f"{name} would be empty for {attribute}: too few faces in {source}")
    for name, paths in parts.items():
        transfer(paths, result / name, move=move)


def find(source: Path, name: str) -> Path | None:
    """The file or folder called `name` that is nearest to `source`, at most three levels below it, or None."""
    level = [source]
    for _ in range(SEARCH_DEPTH + 1):
        for folder in level:
            if (folder / name).exists():
                return folder / name
        level = [child for folder in level for child in visible_folders(folder)]
    return None


def visible_folders(folder: Path) -> list[Path]:
    """The folders in a folder, except hidden ones and the __MACOSX that some archives carry."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _find_root(source: Path) -> Path:
    """The folder nearest to `source` that holds `trainA` or `train`.

    Raises FileNotFoundError if there is none, and ValueError if there are several equally near.
    """
    level = [source]
    for _ in range(SEARCH_DEPTH + 1):
        found = [f for f in level if (f / "trainA").is_dir() or (f / "train").is_dir()]
        if len(found) > 1:
            names = ", ".join(str(folder) for folder in found)
            raise ValueError(f"more than one data set in {source}: choose one of {names}")
        if found:
            return found[0]
        level = [child for folder in level for child in visible_folders(folder)]
    raise FileNotFoundError(f"no trainA or train folder in {source} or up to {SEARCH_DEPTH} levels below it")


def _need(source: Path, name: str) -> Path:
    path = find(source, name)
    if path is None:
        raise FileNotFoundError(f"no {name} in {source}")
    return path


def transfer(paths: list[Path], target: Path, *, move: bool) -> None:
    """Copy or move the files, byte for byte, into the new folder `target`."""
    target.mkdir(parents=True)
    for path in tqdm(paths, desc=target.name, unit="image", disable=None):
        if move:
            os.replace(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


def _split_pairs(folder: Path, target_a: Path, target_b: Path, *, side_a: Side) -> None:
    """Write both halves of each image in `folder`, in threads: Pillow releases the GIL."""
    pairs = images(folder)
    names = [path.stem for path in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two pairs are named {twice} in {folder}")
    target_a.mkdir(parents=True)
    target_b.mkdir(parents=True)
    left, right = (target_a, target_b) if side_a == "left" else (target_b, target_a)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(partial(_split_pair, left=left, right=right), pairs)
        for _ in tqdm(done, total=len(pairs), desc=folder.name, unit="pair", disable=None):
            pass


def _split_pair(path: Path, *, left: Path, right: Path) -> None:
    name = f"{path.stem}.png"
    try:
        with opened(path) as file:
            pair = file.copy()
        if pair.mode in ("CMYK", "YCbCr"):
            pair = to_srgb(pair, profile_of(pair))[0].convert("RGB")
            pair.info.pop("icc_profile", None)
        width, height = pair.size
        if width % 2:
            raise ValueError(f"it is {width} pixels wide, and a pair has an even width")
        # compress_level=1 takes a third of the default's time, and photos get no bigger.
        pair.crop((0, 0, width // 2, height)).save(left / name, compress_level=1)
        pair.crop((width // 2, 0, width, height)).save(right / name, compress_level=1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot split the pair {path}: {error}") from error


def _read_attributes(path: Path, attribute: str) -> dict[str, bool]:
    """File name -> whether the face has the attribute.

    The table is a line with the number of faces, a line with the 40 names, and for each face its name and 1 or -1 for
    each attribute.
    """
    _, names, *rows = [line.split() for line in f"{path.read_text('utf-8')}\n\n".splitlines()]
    if attribute not in names:
        raise ValueError(f"no attribute {attribute!r}; expected one of {', '.join(names)}")
    column = names.index(attribute)
    labels: dict[str, bool] = {}
    for row in filter(None, rows):
        name, *values = row
        if len(values) != len(names) or values[column] not in ("1", "-1"):
            raise ValueError(f"{path}: expected 1 or -1 for each of {len(names)} attributes in the row of {name}")
        labels[name] = values[column] == "1"
    return labels


def _read_partition(path: Path | None, faces: list[Path]) -> dict[str, str]:
    """File name -> split, one of PARTITION."""
    if path is None:
        first_test = len(faces) - len(faces) // 10
        warn("no list_eval_partition.txt: the last tenth of the faces, by name, is the test split")
        return {face.name: "train" if i < first_test else "test" for i, face in enumerate(faces)}
    rows = [row.split() for row in path.read_text("utf-8").splitlines()]
    if not all(len(row) == 2 and row[1] in ("0", "1", "2") for row in rows):
        raise ValueError(f"{path}: expected a file name and 0, 1 or 2 in each row")
    return {name: PARTITION[int(part)] for name, part in rows}
