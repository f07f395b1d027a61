"""`python datasets/prepare.py NAME` makes `datasets/NAME/{trainA,trainB,testA,testB}`.

The images are downloaded, or taken from `--source`, a folder or an archive. Everything is built in
a hidden folder beside the target and renamed at the end, so the target is whole or absent; a target
with something in it is never touched. Exit code 0: done; 1: it could not be done, one line on
stderr says why; 2: the command was wrong.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from unit.data.sets.fetch import checksum_fault, fetch, record_checksum
from unit.data.sets.layout import arrange, arrange_celeba, find
from unit.data.sets.recipes import RECIPES, Recipe
from unit.data.sets.unpack import unpack
from unit.data.toymaps import write_toymaps


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argparse leaves with exit code 2 where the command itself is wrong."""
    args = _parser().parse_args(argv)
    target: Path = (args.output or Path("datasets") / args.name).resolve()
    try:
        with _staging(target) as stage:
            result = stage / "result"
            if args.name == "toymaps":
                _write_toymaps(result, args)
            else:
                _prepare(args, target.parent / "downloads", stage, result)
            counts = ", ".join(f"{name} {n}" for name, n in sorted(_counts(result).items()))
            if target.exists():  # empty; on Windows a folder cannot be renamed over another
                target.rmdir()
            os.replace(result, target)
    except (ValueError, OSError) as error:
        print(f"prepare.py {args.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"prepare.py {args.name}: interrupted; a download goes on next time", file=sys.stderr)
        return 130
    print(f"{target}: {counts}\nterms: {RECIPES[args.name].terms}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare.py", description="Prepares a data set.")
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, recipe in RECIPES.items():
        command = names.add_parser(name, help=recipe.about, description=recipe.about)
        command.add_argument("--output", type=Path, help=f"result (default: datasets/{name})")
        if name == "toymaps":
            command.add_argument("--size", type=positive, default=64, help="side in pixels")
            command.add_argument("--train", type=positive, default=1000, help="images a domain")
            command.add_argument("--test", type=positive, default=200, help="images a domain")
            command.add_argument("--seed", type=int, default=0)
            continue
        command.add_argument("--source", type=Path, help="folder or archive, not a download")
        if name == "celeba":
            command.add_argument("--attribute", required=True, help="what B has, as Smiling")
    return parser


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


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
            shutil.rmtree(stage)
        stage.mkdir()
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with suppress(OSError):  # on Windows an open file stays; there, releasing the lock removes it
            os.remove(lock.lock_file)
        lock.release()


def _prepare(args: argparse.Namespace, downloads: Path, stage: Path, result: Path) -> None:
    """Builds `result` from the source, or from the archive downloaded before or now."""
    recipe = RECIPES[args.name]
    source: Path = args.source or _download(recipe, downloads)
    downloaded, archived = args.source is None, not source.is_dir()
    if not source.exists():
        raise FileNotFoundError(f"no folder or archive {source}")
    root = stage / "unpacked" if archived else source
    if archived:
        try:
            unpack(source, root)
        except ValueError:
            if downloaded:
                source.unlink()
            raise
    if args.name == "celeba":
        _check_files(recipe, root)
        faces = stage / "faces"
        arrange_celeba(root, result, attribute=args.attribute, scratch=faces, move=archived)
    else:
        arrange(root, result, side_a=recipe.side_a, move=archived)
    _check_counts(recipe, _counts(result), strict=downloaded)
    if downloaded:
        record_checksum(source)


def _download(recipe: Recipe, downloads: Path) -> Path:
    if not recipe.mirrors:
        raise FileNotFoundError(f"{recipe.by_hand}; then name that folder by --source")
    archive = downloads / recipe.archive
    try:
        fetch(archive, recipe.mirrors, checksum=recipe.checksums.get(recipe.archive, ""))
    except ConnectionError as error:
        raise ConnectionError(f"{error}; get it elsewhere and name it by --source") from error
    return archive


def _check_files(recipe: Recipe, root: Path) -> None:
    """Warns of files that are not the published ones."""
    for name, checksum in recipe.checksums.items():
        path = find(root, name)
        fault = checksum_fault(path, checksum) if path else ""
        if fault:
            print(f"warning: {path} {fault}", file=sys.stderr)


def _counts(result: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.iterdir())) for folder in result.iterdir()}


def _check_counts(recipe: Recipe, counts: dict[str, int], *, strict: bool) -> None:
    """Holds the counts against the published ones: ValueError if strict, else a warning."""
    faults = []
    for expected_in, expected in recipe.counts.items():  # "train" stands for trainA and trainB
        found = sum(n for name, n in counts.items() if name.startswith(expected_in))
        if found != expected:
            faults.append(f"{expected_in} has {found} images instead of {expected}")
    if faults and strict:
        raise ValueError(f"{recipe.archive} is not the known one: {', '.join(faults)}")
    if faults:
        print(f"warning: not the whole known data set: {', '.join(faults)}", file=sys.stderr)


def _write_toymaps(result: Path, args: argparse.Namespace) -> None:
    write_toymaps(result, size=args.size, train=args.train, test=args.test, seed=args.seed)
