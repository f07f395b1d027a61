"""Two classes of a collection as A and B: folders named after ImageNet's synsets or after the classes themselves."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from unit.data.sets.layout import find, images_to_copy, transfer, visible_folders
from unit.data.sets.warn import warn

TEST_SHARE = 10
"""Without a val folder, every class's last images by name are the test split: one in so many."""


def arrange_classes(
    source: Path, result: Path, classes: Mapping[str, tuple[str, ...]], pair: tuple[str, str], *, move: bool = False
) -> None:
    """Build `result` from the folders of two classes, A and B, in `source` or up to three levels below it.

    `classes` has the synsets of each class; a folder is a class's if it has its name, or begins with one of its synsets
    (`n02129604`, `n02110185-Siberian_husky`), and a class may have several. Below `train` they are the training
    images and below `val` the test images; else the last tenth by name of each class is the test split.

    Raises ValueError for a class that is not among them or for one class twice, FileNotFoundError where a class has no
    images.
    """
    for name in pair:
        if name not in classes:
            raise ValueError(f"pair: expected two of {', '.join(classes)}, got {name!r}")
    if pair[0] == pair[1]:
        raise ValueError(f"pair: expected two classes, got {pair[0]} twice")
    train, val = find(source, "train"), find(source, "val")
    if train is None or val is None:
        train, val = train or source, None
        warn("no train and val folders: the last tenth of each class's images, by name, is the test split")
    for name, domain in zip(pair, "AB", strict=True):
        seen = images_of(train, source, name, classes[name])
        if val is None:
            count = max(1, len(seen) // TEST_SHARE)
            seen, unseen = seen[:-count], seen[-count:]
        else:
            unseen = images_of(val, source, name, classes[name])
        if not seen:
            raise FileNotFoundError(f"{name} has too few images in {train}")
        transfer(seen, result / f"train{domain}", move=move)
        transfer(unseen, result / f"test{domain}", move=move)


def images_of(root: Path, source: Path, name: str, synsets: tuple[str, ...]) -> list[Path]:
    """A class's images, sorted by name; raises FileNotFoundError where there is no folder of it, or no image, and
    ValueError where two have one name."""
    level, folders = [root], []
    for _ in range(4):
        folders = [folder for folder in level if folder.name == name or folder.name.startswith(synsets)]
        if folders:
            break
        level = [child for folder in level for child in visible_folders(folder)]
    if not folders:
        raise FileNotFoundError(f"no folder {name} or {' or '.join(synsets)} in {root}")
    found = sorted((path for folder in folders for path in images_to_copy(folder, source)), key=lambda path: path.name)
    for one, other in itertools.pairwise(found):
        if one.name == other.name:
            raise ValueError(f"two images of {name} are named {one.name}: {one} and {other}")
    return found
