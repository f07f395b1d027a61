"""Translate a folder of images, or one image: nested folders, names and sizes are kept."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from unit.data.decoding import read_image
from unit.data.images import EXTENSIONS, find_images, to_float, to_uint8, write_image
from unit.memory import free_memory, is_out_of_memory
from unit.methods.translator import Direction, Translator
from unit.model import load
from unit.text import one_line

Format = Literal["png", "jpg", "webp", "tif", "bmp"]

PIXELS_AT_ONCE = 2**24
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

    Each image goes through the encoder of its domain and the other's generator, without latent noise; sides that the
    networks can't take are padded by reflection and cropped again. With `cycle` the round trip is written instead.
    Files that are there are left alone unless `overwrite` is set. Images that can't be read are in the report's
    `failed`.

    Raises FileNotFoundError where model or input is missing, CheckpointError for a damaged model, ValueError for
    options that are not allowed or an input folder without images, PermissionError where output can't be written.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction: expected a2b or b2a, got {direction!r}")
    if f".{format}" not in EXTENSIONS:
        raise ValueError(f"format: expected one of {', '.join(get_args(Format))}, got {format!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if resize is not None and resize < 1:
        raise ValueError(f"resize: expected at least 1, got {resize}")
    jobs = plan(Path(input), Path(output), format)
    translator = load(model) if not isinstance(model, Translator) else model
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        translator = translator.to(device).eval()
    except (RuntimeError, AssertionError) as error:  # torch knows no such device, or was built without it
        raise ValueError(f"device {device}: {str(error).splitlines()[0]}") from error

    report = TranslationReport()
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
    with tqdm(total=len(todo), disable=not progress, unit="image") as bar:
        for sources, targets, x in batches(todo, translator.channels, resize, batch_size, report, bar):
            outcomes = translations(translator, x, torch.device(device), direction, cycle)
            for source, target, image in zip(sources, targets, outcomes, strict=True):
                if isinstance(image, str):
                    report.failed[source] = f"{quoted(source)} could not be translated: {image}"
                else:
                    try:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        write_image(target, image)
                        report.written.append(target)
                    except (OSError, ValueError, RecursionError) as error:  # Pillow's formats have largest sizes
                        report.failed[source] = f"{quoted(target)} could not be written: {error}"
                bar.update()
    return report


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
    """Runs of images of one size, at most `size` of them and, but for single ones, of at most PIXELS_AT_ONCE pixels:
    sources, targets, uint8 (B, C, H, W)."""
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
        most = min(size, PIXELS_AT_ONCE // (image.shape[1] * image.shape[2]))
        if images and (len(images) >= most or image.shape != images[0].shape):
            yield sources, targets, torch.stack(images)
            sources, targets, images = [], [], []
        sources.append(source)
        targets.append(target)
        images.append(image)
    if images:
        yield sources, targets, torch.stack(images)


def translations(
    translator: Translator, images: Tensor, device: torch.device, direction: Direction, cycle: bool
) -> list[Tensor | str]:
    """Each image's translation, uint8 (C, H, W) on the CPU, or why there is none; what fails together is tried alone.

    A CPU's memory is asked for beforehand: a system that has promised more than it has ends the process.
    """
    height, width = images.shape[2:]
    needed, free = memory_needed(translator, images), free_memory(device)
    try:
        if needed > free:
            raise MemoryError(
                f"{width} × {height} pixels need about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
            )
        return list(carried(translator, images.to(device), direction, cycle))
    except (MemoryError, RuntimeError, ValueError) as error:  # ValueError: pixels that are not numbers
        if not isinstance(error, ValueError) and not is_out_of_memory(error):
            raise
        reason = str(error) or type(error).__name__
    if len(images) == 1:
        return [reason]
    return [
        one for image in torch.split(images, 1) for one in translations(translator, image, device, direction, cycle)
    ]


def memory_needed(translator: Translator, images: Tensor) -> float:
    """About how many bytes a translation takes on a CPU, as measured: four feature maps of the images' size, or seven
    where the generator resizes, and the images."""
    maps = 4 if translator.config.upsampling == "transposed" else 7
    return 4.0 * (maps * translator.config.width + 10) * images.numel() / images.shape[1]


@torch.inference_mode()
def carried(translator: Translator, images: Tensor, direction: Direction, cycle: bool) -> Tensor:
    """uint8 (B, C, H, W) translated, or brought there and back: uint8 of the same shape, on the CPU."""
    height, width = images.shape[2:]
    x = padded(to_float(images), translator.stride)
    y = translator.translate(x, direction)
    if cycle:
        y = translator.translate(y, "b2a" if direction == "a2b" else "a2b")
    return to_uint8(y[..., :height, :width]).cpu()


def padded(x: Tensor, stride: int) -> Tensor:
    """Grow H and W to multiples of the stride, and to what the networks need at least, on the right and at the bottom.

    The border is mirrored as far as there is image to mirror, then repeated.
    """
    for axis in (-1, -2):
        side = x.shape[axis]
        missing = max(-(-side // stride), 4) * stride - side
        mirrored = min(missing, side - 1)
        for mode, amount in (("reflect", mirrored), ("replicate", missing - mirrored)):
            if amount:
                x = F.pad(x, (0, amount, 0, 0) if axis == -1 else (0, 0, 0, amount), mode=mode)
    return x
