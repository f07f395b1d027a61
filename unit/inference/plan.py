"""Which file is translated to which: names, nested folders, and what may not be overwritten."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unit.data.formats import EXTENSIONS, NOT_WRITTEN, WRITTEN
from unit.data.images import find_files
from unit.data.remarks import skipped_line

Format = Literal["png", "jpg", "webp", "tif", "bmp", "same"]
"""Of the translations; same: each file's own, or PNG for one that isn't written."""


@dataclass(frozen=True)
class Plan:
    """(image, its translation's path) for every image of the input, and the files that are skipped as no images."""

    jobs: list[tuple[Path, Path]]
    skipped: list[Path] = field(default_factory=list)


def plan(source: Path, output: Path, format: Format) -> Plan:
    """What is to be done; raises what `translate` does for the input and the output."""
    skipped: list[Path] = []
    if source.is_file():
        jobs = [(source, single_target(source, output, format))]
        folder = jobs[0][1].parent
    elif source.is_dir():
        inside, outside = real(output), real(source)
        found = find_files(source)
        paths, skipped = (
            [path for path in paths if inside == outside or inside not in real(path).parents] for paths in found
        )
        names = target_names([path.relative_to(source) for path in paths], format)
        jobs = [(path, output / name) for path, name in zip(paths, names, strict=True)]
        if not jobs:
            also = f"; {skipped_line(skipped)}" if skipped else ""
            raise ValueError(f"{source}: no images in it; expected files of {', '.join(EXTENSIONS)}{also}")
        folder = output
    else:
        raise FileNotFoundError(f"no input: {source} is neither a file nor a folder")
    sources = {real(path) for path, _ in jobs}
    for path, target in jobs:
        # Also under the name that it had if no other file were of its stem: a run's output is not the next one's input.
        for place in {target, target.with_name(f"{path.stem}{target.suffix}")} if source.is_dir() else {target}:
            if real(place) in sources:
                raise ValueError(f"output: the translation of {path} would take the place of the input {place}")
    standing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK):
        raise PermissionError(f"output {folder} can't be written: {standing} is not a folder you may write in")
    return Plan(jobs, skipped)


def single_target(source: Path, output: Path, format: Format) -> Path:
    """Where one image's translation goes: into the file that `output` names, or into the folder that it is."""
    suffix = output.suffix.lower()
    if not output.is_dir() and suffix in WRITTEN:
        return output
    if not output.is_dir() and suffix in NOT_WRITTEN:
        raise ValueError(f"output: {suffix} is not written; expected one of {', '.join(WRITTEN)}, got {output}")
    return output / Path(source.name).with_suffix(target_suffix(source, format))


def target_suffix(source: Path, format: Format) -> str:
    """The suffix of a file's translation."""
    if format != "same":
        return f".{format}"
    return source.suffix if source.suffix.lower() in WRITTEN else ".png"


def target_names(sources: Sequence[Path], format: Format) -> list[Path]:
    """The names of files' translations, each its own, in the same folders.

    A name is the file's with another suffix. Files that would share one, also where capitals don't count, keep their
    whole names: a.jpg and a.png become a.jpg.png and a.png.png. So names depend on which files there are, and on
    nothing else.
    """
    suffixes = [target_suffix(source, format) for source in sources]
    names = [source.with_suffix(suffix) for source, suffix in zip(sources, suffixes, strict=True)]
    whole: set[int] = set()
    while True:
        taken: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            taken.setdefault(name.as_posix().casefold(), []).append(number)
        shared = {number for numbers in taken.values() if len(numbers) > 1 for number in numbers} - whole
        if not shared:
            return names
        whole |= shared
        for number in shared:
            names[number] = sources[number].with_name(f"{sources[number].name}{suffixes[number]}")


def real(path: Path) -> Path:
    """The path without links; of a link that leads back to itself, which `Path.resolve` raises for, the path."""
    return Path(os.path.realpath(path))
