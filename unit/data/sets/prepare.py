"""Prepare a data set, `trainA trainB testA testB`: downloaded, taken from a local copy, or drawn (the toy maps).

Everything is built in a hidden folder beside the output, which is renamed at the end: the output is complete or absent.
An output folder that has something in it is never touched.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from unit.data.sets.classes import arrange_classes
from unit.data.sets.fetch import checksum_fault, fetch, record_checksum
from unit.data.sets.folders import remove_folder
from unit.data.sets.layout import arrange, arrange_celeba, find
from unit.data.sets.recipes import MNIST_SIDE, RECIPES, Recipe
from unit.data.sets.unpack import unpack
from unit.data.sets.warn import warn
from unit.data.toymaps import write_toymaps
from unit.text import one_line

__all__ = ["Prepared", "add_arguments", "draw_toymaps", "prepare", "run"]

DRAWN = ("toymaps", "toymaps_paired")
"""The data sets that are drawn here."""
TOYMAPS = {"size": 64, "train": 1000, "test": 200, "val": 100, "seed": 0}
"""What the toy maps are drawn with unless told otherwise."""


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready: its folder, the number of images in each folder inside, and the terms of use."""

    folder: Path
    counts: Mapping[str, int]
    terms: str


@dataclass(frozen=True)
class Choice:
    """What a set leaves to choose: `prepare`'s attribute, pair and crop."""

    attribute: str | None
    pair: tuple[str, str] | None
    crop: int | None


def prepare(
    name: str,
    *,
    output: Path,
    source: Path | None = None,
    attribute: str | None = None,
    pair: tuple[str, str] | None = None,
    crop: int | None = None,
    size: int = TOYMAPS["size"],
    train: int = TOYMAPS["train"],
    test: int = TOYMAPS["test"],
    val: int = TOYMAPS["val"],
    seed: int = TOYMAPS["seed"],
) -> Prepared:
    """Build the data set `name` (a key of RECIPES) in the new or empty folder `output`.

    The images come from `source`, a folder or an archive; without it they are downloaded, and the archive is kept in
    the folder `downloads` beside `output`. CelebA needs an `attribute`, such as Smiling, which the faces of domain b
    have and those of domain a lack; cat_species and dog_breeds need the `pair` of classes that a and b are. Of digits,
    `crop` is the side of the center of MNIST's images that is kept (mnist_usps: 20 pixels, the box that a digit was
    scaled to, since USPS's fill theirs). The toy maps take `size` (side in pixels), `train`, `test` and `val` (images
    per domain) and `seed`. Warnings go to stderr, each as one line.

    Raises ValueError for a name, an option, an archive or an image that is no good, FileNotFoundError for a source that
    is missing or incomplete, FileExistsError for an output with something in it, ConnectionError if no mirror delivers,
    and other OSErrors as the system reports them.
    """
    options = {"size": size, "train": train, "test": test, "val": val, "seed": seed}
    _check_options(name, source=source, attribute=attribute, pair=pair, crop=crop, drawn=options != TOYMAPS)
    if source is not None and not source.exists():
        raise FileNotFoundError(f"no such folder or archive: {source}")
    target = output.resolve()
    with _staging(target) as stage:
        result = stage / "result"
        if name in DRAWN:
            paired = name == "toymaps_paired"
            write_toymaps(result, size=size, train=train, test=test, val=val, seed=seed, paired=paired)
        else:
            given = source or _download(RECIPES[name], target.parent / "downloads")
            choice = Choice(attribute, pair, crop)
            _build(RECIPES[name], given, result, choice, downloaded=source is None)
        counts = _count(result)
        if target.exists():  # empty; on Windows a folder cannot be renamed over another
            target.rmdir()
        os.replace(result, target)
    return Prepared(target, counts, RECIPES[name].terms)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one subcommand per data set, with the options that this set has; `run` takes what it parses."""
    parser.set_defaults(source=None, attribute=None, pair=None, crop=None, **TOYMAPS)
    names = parser.add_subparsers(prog=parser.prog, dest="name", metavar="NAME", help="a data set", required=True)
    for name, recipe in RECIPES.items():
        about = f"{recipe.about}. Terms of use: {recipe.terms}."
        add = names.add_parser(name, description=about, allow_abbrev=False).add_argument
        add("--output", type=Path, default=Path("datasets", name), help="a new folder (default: %(default)s)")
        if name in DRAWN:
            add("--size", type=_positive, default=TOYMAPS["size"], help="side in pixels (default: %(default)s)")
            add("--train", type=_positive, default=TOYMAPS["train"], help="images per domain (default: %(default)s)")
            add("--test", type=_positive, default=TOYMAPS["test"], help="images per domain (default: %(default)s)")
            add("--val", type=_natural, default=TOYMAPS["val"], help="pairs to validate on (default: %(default)s)")
            add("--seed", type=int, default=TOYMAPS["seed"], help="which towns are drawn (default: %(default)s)")
            continue
        add("--source", type=Path, help="a folder or an archive that you have, instead of a download")
        if name == "celeba":
            add("--attribute", required=True, help="what the faces of domain b have, such as Smiling")
        if recipe.classes:
            named = f"the classes that A and B are, of {', '.join(recipe.classes)}"
            add("--pair", required=True, type=_pair, metavar="A,B", help=named)
        if recipe.digits is not None:
            kept = f"side of the center of MNIST's {MNIST_SIDE}×{MNIST_SIDE} that is kept (default: {recipe.crop})"
            add("--crop", type=_positive, help=kept)


def run(args: argparse.Namespace) -> Prepared:
    """Prepare what the arguments of `add_arguments` ask for; raises what `prepare` does."""
    return prepare(
        args.name,
        output=args.output,
        source=args.source,
        attribute=args.attribute,
        pair=args.pair,
        crop=args.crop,
        size=args.size,
        train=args.train,
        test=args.test,
        val=args.val,
        seed=args.seed,
    )


def _positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _natural(text: str) -> int:
    """An argparse type: a whole number, or 0."""
    return 0 if text == "0" else _positive(text)


def _pair(text: str) -> tuple[str, str]:
    """An argparse type: two names with a comma between."""
    names = text.split(",")
    if len(names) != 2 or "" in names:
        raise argparse.ArgumentTypeError(f"expected two names with a comma between, got {text!r}")
    return names[0], names[1]


def _check_options(
    name: str,
    *,
    source: Path | None,
    attribute: str | None,
    pair: tuple[str, str] | None,
    crop: int | None,
    drawn: bool,
) -> None:
    """Raise ValueError for an unknown set, or for an option that this set does not have."""
    if name not in RECIPES:
        raise ValueError(f"no data set {name!r}; expected one of {', '.join(RECIPES)}")
    if name in DRAWN and source is not None:
        raise ValueError(f"source: toymaps are drawn here, got {source}")
    if name not in DRAWN and drawn:
        raise ValueError(f"size, train, test, val and seed are options of toymaps, not of {name}")
    if name == "celeba" and attribute is None:
        raise ValueError("attribute: celeba needs one, such as Smiling")
    if crop is not None and (RECIPES[name].digits is None or not 1 <= crop <= MNIST_SIDE):
        raise ValueError(f"crop: expected 1 to {MNIST_SIDE}, for digits alone, got {crop} for {name}")
    if name != "celeba" and attribute is not None:
        raise ValueError(f"attribute: only celeba has attributes, got {attribute!r} for {name}")
    if (pair is None) == bool(RECIPES[name].classes):
        raise ValueError(f"pair: cat_species and dog_breeds alone have two classes to choose, got {pair} for {name}")


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A new hidden folder beside `target`, hence on its file system, that no other process uses.

    Whatever a killed run left there is removed: a lock ends with its process, so a folder that is not locked is stale.
    Raises FileExistsError if `target` is a file or has something in it, ValueError if another process is preparing it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = target.with_name(f".{target.name}.preparing")
    lock = FileLock(target.with_name(f"{stage.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process is preparing {target}") from None
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(f"{target} already exists: remove it or choose another --output")
        if stage.exists():
            remove_folder(stage)
        stage.mkdir()
        yield stage
    finally:
        with suppress(OSError):
            remove_folder(stage)
        with suppress(OSError):  # on Windows an open file stays; there, releasing the lock removes it
            os.remove(lock.lock_file)
        lock.release()


def _build(recipe: Recipe, source: Path, result: Path, choice: Choice, *, downloaded: bool) -> None:
    """Build `result` from a folder or an archive; an archive that was downloaded and is damaged is deleted."""
    archived = not source.is_dir()
    root = result.with_name("unpacked") if archived else source
    if archived:
        try:
            unpack(source, root)
        except ValueError:
            if downloaded:
                source.unlink()
            raise
    if choice.attribute is not None:
        _check_files(recipe, root)
        arrange_celeba(root, result, attribute=choice.attribute, scratch=result.with_name("faces"), move=archived)
    elif choice.pair is not None:
        arrange_classes(root, result, recipe.classes, choice.pair, move=archived)
    elif recipe.digits is not None:
        from unit.data.sets.digits import arrange_digits  # which needs torch

        arrange_digits(root, result, recipe.digits, crop=choice.crop or recipe.crop)
    else:
        arrange(root, result, side_a=recipe.side_a, move=archived)
    _check_counts(recipe, result, strict=downloaded)
    if downloaded:
        record_checksum(source)


def _download(recipe: Recipe, downloads: Path) -> Path:
    if not recipe.mirrors:
        raise FileNotFoundError(f"{recipe.by_hand}; then pass that folder as --source")
    archive = downloads / recipe.archive
    try:
        fetch(archive, recipe.mirrors, checksum=recipe.checksums.get(recipe.archive, ""))
    except ConnectionError as error:
        raise ConnectionError(f"{error}; if you have it from elsewhere, pass it as --source") from error
    return archive


def _check_files(recipe: Recipe, root: Path) -> None:
    """Warn of files that differ from the published ones."""
    for name, checksum in recipe.checksums.items():
        path = find(root, name)
        fault = checksum_fault(path, checksum) if path else ""
        if fault:
            warn(f"{path} {fault}")


def _count(result: Path) -> dict[str, int]:
    """The number of images in each folder."""
    return {folder.name: sum(len(files) for _, _, files in os.walk(folder)) for folder in sorted(result.iterdir())}


def _check_counts(recipe: Recipe, result: Path, *, strict: bool) -> None:
    """Compare the numbers of images with the published ones: a difference is a ValueError if strict, else a warning."""
    counts, faults = _count(result), []
    for prefix, expected in recipe.counts.items():  # the prefix "train" stands for trainA and trainB together
        found = sum(n for name, n in counts.items() if name.startswith(prefix))
        if found != expected:
            faults.append(f"{prefix} has {found} images instead of {expected}")
    if faults and strict:
        raise ValueError(f"{recipe.archive} is not the published archive: {', '.join(faults)}")
    if faults:
        warn(f"not the complete published data set: {', '.join(faults)}")


def draw_toymaps(root: Path) -> None:
    """Draw the toy maps where `root` is their folder, `…/toymaps` or `…/toymaps_paired`, and is missing; one line says
    so."""
    if root.name in DRAWN and not root.exists():
        prepared = prepare(root.name, output=root)
        counts = ", ".join(f"{folder} {count}" for folder, count in prepared.counts.items())
        print(f"drew the toy maps, which were missing, in {one_line(root)}: {counts}", flush=True)
