"""Translate a folder of images, or one image: nested folders, names and sizes are kept."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from unit.data.decoding import Decoded, decode_image
from unit.data.images import clear_partials, write_image
from unit.data.remarks import Notes, scaled_line, skipped_line
from unit.inference.plan import Format, plan
from unit.inference.translator import Translator, load
from unit.models.base import Direction, Resize
from unit.text import one_line

MAX_PIXELS_AT_ONCE = 2**24
"""Larger batches are not translated: nothing is gained by them, and they are a multiple of the memory."""


@dataclass
class TranslationReport:
    """What became of each file: written, left alone because it was there, or failed with a reason; files that were
    skipped as no images; how many were scaled, and to which shorter side; and what there is to note of those read."""

    written: list[Path] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    skipped: list[Path] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    scaled: int = 0
    shorter_side: int | None = None

    def __str__(self) -> str:
        lines = [f"{len(self.written)} images translated"]
        if self.existing:
            lines.append(f"{len(self.existing)} were there already and were left alone (--overwrite replaces them)")
        if self.failed:
            lines.append(f"{len(self.failed)} failed:")
            lines += [f"  {one_line(reason)}" for reason in self.failed.values()]
        if self.skipped:
            lines.append(skipped_line(self.skipped))
        if self.scaled:
            lines.append(scaled_line(self.scaled, self.shorter_side))
        return "\n".join(lines + self.notes.lines())


def translate(
    model: str | Path | Translator,
    input: str | Path,
    output: str | Path,
    *,
    direction: Direction = "a2b",
    cycle: bool = False,
    overwrite: bool = False,
    resize: Resize = None,
    format: Format = "png",
    batch_size: int = 8,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> TranslationReport:
    """Translate the images of a folder into another, or one image into a file or folder.

    There is no latent noise; sides that the networks can't take are padded by reflection and cropped again. Colors are
    sRGB's; alpha, resolution, EXIF and GeoTIFF tags are kept where the format has them.

    Args:
        model: a folder that `load` takes, or a loaded translator.
        input: an image, or a folder of images (nested folders are kept).
        output: the folder for the translations; of one image, a file or a folder.
        direction: `"a2b"` or `"b2a"`.
        cycle: write the round trip (a2b2a for a2b) in place of the translation.
        overwrite: replace files that are there; without it they are left alone.
        resize: first scale images to a shorter side of this many pixels; by default to that of the model's training
            (`images.resize` of its config.json), if any; "keep" keeps their sizes.
        format: of the output: png, jpg, webp, tif or bmp; or same, for each file's own (png where it isn't written).
            Files whose translations would share a name keep their whole names: a.jpg.png and a.png.png.
        batch_size: how many images of one size are translated at once.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.
        progress: show a bar on a terminal.

    Returns:
        What became of each file; images that can't be read are in its `failed`.

    Raises:
        FileNotFoundError, CheckpointError, PermissionError: model or input is missing, damaged, or output not writable.
        ValueError: options that are not allowed, a format that isn't written, or an input folder without images.
        TranslationInterrupted: Ctrl-C; a KeyboardInterrupt that says how far the translation has come.

    Example:
        >>> print(unit.translate("runs/maps", "photos/", "maps/", direction="a2b"))
        3 images translated
    """
    check_options(direction, format, batch_size)
    planned = plan(Path(input), Path(output), format)
    translator = model if isinstance(model, Translator) else load(model, device=device)
    translator.check_direction(direction, cycle=cycle)
    if device is not None:
        translator.to(device)
    report = TranslationReport(skipped=planned.skipped, shorter_side=translator.model.shorter_side(resize))
    todo = unfinished(planned.jobs, report, overwrite=overwrite)
    clear_partials({target.parent for _, target in todo})
    bar = tqdm(total=len(todo), unit="image", disable=not progress or None)
    with bar, told_if_interrupted(report, len(todo)):
        for jobs, x in batches(todo, translator.model.in_channels(direction), batch_size, report, bar):
            write_all(jobs, translator.try_each(x, direction, cycle=cycle), report, bar)
    return report


def write_all(jobs: "list[Job]", images: list[Tensor | str], report: TranslationReport, bar: "tqdm[None]") -> None:
    """Write a batch's translations."""
    for job, image in zip(jobs, images, strict=True):
        write(job, image, report)
        bar.update()


def check_options(direction: str, format: str, batch_size: int) -> None:
    """Raise ValueError for an option that is not allowed."""
    if format not in get_args(Format):
        raise ValueError(f"format: expected one of {', '.join(get_args(Format))}, got {format!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if direction not in get_args(Direction):
        raise ValueError(f"direction: expected a2b or b2a, got {direction!r}")


class TranslationInterrupted(KeyboardInterrupt):
    """Ctrl-C in a translation; `report` says what had become of the files, and the message how many are left."""

    def __init__(self, report: TranslationReport, count: int) -> None:
        super().__init__(
            f"interrupted: {len(report.written)} of {count} images are translated; the same command (without "
            "--overwrite) goes on with the others"
        )
        self.report = report


@contextmanager
def told_if_interrupted(report: TranslationReport, count: int) -> Iterator[None]:
    """Have an interruption say how far the translation has come."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise TranslationInterrupted(report, count) from interruption


def unfinished(
    jobs: Iterable[tuple[Path, Path]], report: TranslationReport, *, overwrite: bool
) -> list[tuple[Path, Path]]:
    """The jobs that are left to do; the others are in the report."""
    todo: list[tuple[Path, Path]] = []
    for source, target in jobs:
        if os.path.lexists(target) and not overwrite:
            report.existing.append(target)
        else:
            todo.append((source, target))
    return todo


@dataclass(frozen=True)
class Job:
    """An image that was read, and where its translation goes."""

    source: Path
    target: Path
    image: Decoded


def write(job: Job, image: Tensor | str, report: TranslationReport) -> None:
    """Write a translation, with the alpha and metadata of its source, or note in the report why there is none."""
    if isinstance(image, str):
        report.failed[job.source] = f"{quoted(job.source)} could not be translated: {image}"
        return
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, image, alpha=job.image.alpha, metadata=job.image.metadata)
        report.written.append(job.target)
    except (OSError, ValueError, RecursionError) as error:  # Pillow's formats have largest sizes
        report.failed[job.source] = f"{quoted(job.target)} could not be written: {error}"


def quoted(path: Path) -> str:
    """The path as Python writes it: printable and on one line, whatever is in it."""
    return repr(str(path))


def batches(
    todo: Iterable[tuple[Path, Path]],
    channels: Literal[1, 3],
    size: int,
    report: TranslationReport,
    bar: "tqdm[None]",
) -> Iterator[tuple[list[Job], Tensor]]:
    """Runs of images of one size, at most `size` of them and, but for single ones, of at most MAX_PIXELS_AT_ONCE
    pixels: jobs, uint8 (B, C, H, W)."""
    jobs: list[Job] = []
    for source, target in todo:
        try:
            image = decode_image(
                source, channels=channels, resize=report.shorter_side, keep_alpha=True, keep_metadata=True
            )
        except ValueError as error:
            report.failed[source] = str(error)
            bar.update()
            continue
        report.notes.add(source, image.notes)
        report.scaled += image.scaled
        shape = image.pixels.shape
        most = min(size, MAX_PIXELS_AT_ONCE // (shape[1] * shape[2]))
        if jobs and (len(jobs) >= most or shape != jobs[0].image.pixels.shape):
            yield jobs, torch.stack([job.image.pixels for job in jobs])
            jobs = []
        jobs.append(Job(source, target, image))
    if jobs:
        yield jobs, torch.stack([job.image.pixels for job in jobs])
