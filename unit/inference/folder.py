"""Translate a folder of images, or one image: nested folders, names and sizes are kept."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from unit.data.decoding import read_image
from unit.data.images import EXTENSIONS, find_images, write_image
from unit.inference.translator import Translator, load
from unit.models.base import Direction
from unit.text import one_line

Format = Literal["png", "jpg", "webp", "tif", "bmp"]

MAX_PIXELS_AT_ONCE = 2**24
"""Larger batches are not translated: nothing is gained by them, and they are a multiple of the memory."""


@dataclass
class TranslationReport:
    """What became of each file: written, left alone because it was there, or failed with a reason."""

    written: list[Path] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} images translated"]
        if self.existing:
            lines.append(f"{len(self.existing)} were there already and were left alone (--overwrite replaces them)")
        if self.failed:
            lines.append(f"{len(self.failed)} failed:")
            lines += [f"  {one_line(reason)}" for reason in self.failed.values()]
        return "\n".join(lines)


def translate(
    model: str | Path | Translator,
    input: str | Path,
    output: str | Path,
    *,
    direction: Direction = "a2b",
    cycle: bool = False,
    overwrite: bool = False,
    resize: int | None = None,
    format: Format = "png",
    batch_size: int = 8,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> TranslationReport:
    """Translate the images of a folder into another, or one image into a file or folder.

    There is no latent noise; sides that the networks can't take are padded by reflection and cropped again.

    Args:
        model: a folder that `load` takes, or a loaded translator.
        input: an image, or a folder of images (nested folders are kept).
        output: the folder for the translations; of one image, a file or a folder.
        direction: `"a2b"` or `"b2a"`.
        cycle: write the round trip (a2b2a for a2b) in place of the translation.
        overwrite: replace files that are there; without it they are left alone.
        resize: first scale images to a shorter side of this many pixels; by default they keep their sizes.
        format: of the output: png, jpg, webp, tif or bmp.
        batch_size: how many images of one size are translated at once.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.
        progress: show a bar.

    Returns:
        What became of each file; images that can't be read are in its `failed`.

    Raises:
        FileNotFoundError, CheckpointError: model or input is missing, or the model damaged.
        ValueError: options that are not allowed, or an input folder without images.
        PermissionError: the output can't be written.

    Example:
        >>> print(unit.translate("runs/maps", "photos/", "maps/", direction="a2b"))
        3 images translated
    """
    check_options(direction, format, batch_size, resize)
    jobs = plan(Path(input), Path(output), format)
    translator = model if isinstance(model, Translator) else load(model, device=device)
    translator.check_direction(direction, cycle=cycle)
    if device is not None:
        translator.to(device)

    report = TranslationReport()
    todo = unfinished(jobs, report, overwrite=overwrite)
    channels = translator.model.in_channels(direction)
    with tqdm(total=len(todo), disable=not progress, unit="image") as bar:
        for sources, targets, x in batches(todo, channels, resize, batch_size, report, bar):
            outcomes = translator.try_each(x, direction, cycle=cycle)
            for source, target, image in zip(sources, targets, outcomes, strict=True):
                write(source, target, image, report)
                bar.update()
    return report


def check_options(direction: str, format: str, batch_size: int, resize: int | None) -> None:
    """Raise ValueError for an option that is not allowed."""
    if f".{format}" not in EXTENSIONS:
        raise ValueError(f"format: expected one of {', '.join(get_args(Format))}, got {format!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if resize is not None and resize < 1:
        raise ValueError(f"resize: expected at least 1, got {resize}")
    if direction not in get_args(Direction):
        raise ValueError(f"direction: expected a2b or b2a, got {direction!r}")


def plan(source: Path, output: Path, format: Format) -> list[tuple[Path, Path]]:
    """(image, its translation's path) for every image of the input."""
    if source.is_file():
        single = output if output.suffix.lower() in EXTENSIONS and not output.is_dir() else None
        jobs = [(source, single or output / f"{source.stem}.{format}")]
        folder = jobs[0][1].parent
    elif source.is_dir():
        inside, outside = real(output), real(source)
        jobs = [
            (path, (output / path.relative_to(source)).with_suffix(f".{format}"))
            for path in find_images(source)
            if inside == outside or inside not in real(path).parents
        ]
        if not jobs:
            raise ValueError(f"{source}: no images in it; expected files of {', '.join(EXTENSIONS)}")
        folder = output
    else:
        raise FileNotFoundError(f"no input: {source} is neither a file nor a folder")
    sources = {real(path) for path, _ in jobs}
    for path, target in jobs:
        if real(target) in sources:
            raise ValueError(f"output: the translation of {path} would take the place of the input {target}")
    standing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK):
        raise PermissionError(f"output {folder} can't be written: {standing} is not a folder you may write in")
    return jobs


def real(path: Path) -> Path:
    """The path without links; of a link that leads back to itself, which `Path.resolve` raises for, the path."""
    return Path(os.path.realpath(path))


def unfinished(
    jobs: Iterable[tuple[Path, Path]], report: TranslationReport, *, overwrite: bool
) -> list[tuple[Path, Path]]:
    """The jobs that are left to do; the others are in the report."""
    todo: list[tuple[Path, Path]] = []
    taken: dict[Path, Path] = {}
    for source, target in jobs:
        if target in taken:
            report.failed[source] = f"{quoted(source)}: {quoted(target)} is the translation of {quoted(taken[target])}"
            continue
        taken[target] = source
        if os.path.lexists(target) and not overwrite:
            report.existing.append(target)
        else:
            todo.append((source, target))
    return todo


def write(source: Path, target: Path, image: Tensor | str, report: TranslationReport) -> None:
    """Write a translation, or note in the report why there is none."""
    if isinstance(image, str):
        report.failed[source] = f"{quoted(source)} could not be translated: {image}"
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, image)
        report.written.append(target)
    except (OSError, ValueError, RecursionError) as error:  # Pillow's formats have largest sizes
        report.failed[source] = f"{quoted(target)} could not be written: {error}"


def quoted(path: Path) -> str:
    """The path as Python writes it: printable and on one line, whatever is in it."""
    return repr(str(path))


def batches(
    jobs: Iterable[tuple[Path, Path]],
    channels: Literal[1, 3],
    resize: int | None,
    size: int,
    report: TranslationReport,
    bar: "tqdm[None]",
) -> Iterator[tuple[list[Path], list[Path], Tensor]]:
    """Runs of images of one size, at most `size` of them and, but for single ones, of at most MAX_PIXELS_AT_ONCE
    pixels: sources, targets, uint8 (B, C, H, W)."""
    sources: list[Path] = []
    targets: list[Path] = []
    images: list[Tensor] = []
    for source, target in jobs:
        try:
            image = read_image(source, channels=channels, resize=resize)
        except ValueError as error:
            report.failed[source] = str(error)
            bar.update()
            continue
        most = min(size, MAX_PIXELS_AT_ONCE // (image.shape[1] * image.shape[2]))
        if images and (len(images) >= most or image.shape != images[0].shape):
            yield sources, targets, torch.stack(images)
            sources, targets, images = [], [], []
        sources.append(source)
        targets.append(target)
        images.append(image)
    if images:
        yield sources, targets, torch.stack(images)
