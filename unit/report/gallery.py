"""The gallery of translations: for each image the input, what a model or several make of it, the truth where there is
one, and the round trip, as files of a report and small ones to choose by.

Images are translated some at a time, so that a thousand of any size take no more memory than ten.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from tqdm import tqdm

from unit.data.decoding import ImageError, read_image
from unit.data.images import resize_shorter, to_float, to_uint8, write_image
from unit.evaluation.sets import TranslationSet
from unit.memory import free_memory, is_out_of_memory
from unit.models.base import REVERSED, Direction
from unit.report.facts import spread
from unit.text import one_line

AT_ONCE = 8
SMALL, THUMBNAIL = 160, 128
"""Images of at most SMALL pixels a side are their own thumbnails; of others these have a shorter side of THUMBNAIL."""
LOSSLESS = 128 * 128
"""Images of at most this many pixels are PNG, larger ones JPEG of quality 95 without subsampled colors."""
INPUT, TRANSLATION, TRUTH, ROUND_TRIP = "input", "translation", "truth", "round trip"
ORDER = {INPUT: 0, TRUTH: 2, ROUND_TRIP: 3}
"""Of a card's pictures; translations, whatever their labels, are second."""


@dataclass(frozen=True)
class Shot:
    """One picture of a card: what it is, its file and its thumbnail, below the report's folder."""

    label: str
    file: str
    thumbnail: str


@dataclass(frozen=True)
class Card:
    """An image: its name, its pictures, and its figures."""

    name: str
    shots: list[Shot]
    figures: dict[str, float]
    width: int
    height: int

    @property
    def files(self) -> list[tuple[str, str]]:
        """Each picture's label and its file."""
        return [(shot.label, shot.file) for shot in self.shots]


@dataclass(frozen=True)
class Gallery:
    """The cards of one direction, out of `total` images; `better` says of a figure which end is the good one."""

    direction: str
    title: str
    labels: list[str]
    cards: list[Card]
    total: int
    better: dict[str, str]
    notes: list[str] = field(default_factory=list)

    @property
    def figures(self) -> list[str]:
        """The names of the cards' figures."""
        return list(dict.fromkeys(name for card in self.cards for name in card.figures))


@dataclass(frozen=True)
class Source:
    """The images of a direction: their names and paths, and their truths' paths where the two domains are pairs."""

    names: list[str]
    paths: list[Path]
    truths: list[Path] | None


def make_gallery(
    folder: Path,
    sets: Mapping[str, TranslationSet],
    direction: Direction,
    *,
    count: int,
    figures: Mapping[str, Mapping[str, float]],
    better: Mapping[str, str],
    round_trips: bool = True,
) -> Gallery:
    """Translate images and write them below `folder`.

    Args:
        folder: the report's.
        sets: translators and their data by the label of their pictures; the first one's images are shown.
        direction: from which domain to which; all translators have it.
        count: the most images, evenly over all by their order.
        figures: of each image, by its name.
        better: higher or lower, by figure.
        round_trips: whether what is translated back is shown, too, and how far it is from the input.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or empty.
    """
    first = next(iter(sets.values()))
    source = find_source(first, direction)
    there, back = direction[0], direction[-1]
    gallery = Gallery(direction, f"{there} → {back}", [], [], len(source.paths), dict(better))
    below = folder / "images" / direction
    below.mkdir(parents=True)
    chosen = spread(len(source.paths), count)
    shown = tqdm(total=len(chosen), desc=gallery.title, unit="image", disable=None, leave=False)
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        pictures = Pictures(source, part, direction, gallery.notes)
        for label, images in sets.items():
            pictures.translate(images, label, back=round_trips)
        pictures.add_truths(first)
        for number, of_one in zip(part, pictures.of_each, strict=True):
            if INPUT in of_one:
                gallery.cards.append(write_card(folder, below, number, source.names[number], of_one, figures, gallery))
        shown.update(len(part))
    shown.close()
    gallery.labels.extend(dict.fromkeys(shot.label for card in gallery.cards for shot in card.shots))
    return gallery


def find_source(images: TranslationSet, direction: Direction) -> Source:
    """The test images, and their truths: those of the other domain, if all are of the same names."""
    folders = {"a": "testA", "b": "testB"}
    begin, end = folders[direction[0]], folders[direction[-1]]
    paths = images.paths(begin)
    try:
        truths = images.paths(end)
    except (OSError, ValueError):
        truths = []
    stems = [stems_below(images.root / name, found) for name, found in ((begin, paths), (end, truths))]
    return Source(images.names(begin), paths, truths if stems[0] == stems[1] else None)


def stems_below(folder: Path, paths: list[Path]) -> list[PurePosixPath]:
    return [PurePosixPath(path.relative_to(folder).as_posix()).with_suffix("") for path in paths]


class Pictures:
    """The pictures of some images, uint8 (C, H, W) by label, one dictionary an image; one that fails has fewer, and
    `notes` says why."""

    def __init__(self, source: Source, numbers: list[int], direction: Direction, notes: list[str]) -> None:
        self.source, self.numbers, self.direction, self.notes = source, numbers, direction, notes
        self.of_each: list[dict[str, Tensor]] = [{} for _ in numbers]

    def translate(self, images: TranslationSet, label: str, *, back: bool) -> None:
        """Add what a translator makes of each; its inputs, too, if there are none yet."""
        inputs = [self.read(images, self.source.paths[number], self.direction[0]) for number in self.numbers]
        places = [place for place, image in enumerate(inputs) if image is not None]
        for _, group in itertools.groupby(places, key=lambda place: shape_of(inputs[place])):
            alike = list(group)
            x = torch.stack([image for place in alike if (image := inputs[place]) is not None])
            try:
                check_memory(images, x)
                y, again = translate(images, x, self.direction, back=back)
            except (MemoryError, RuntimeError, ValueError) as error:  # ValueError: pixels that are NaN
                if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                    raise
                self.notes.append(one_line(f"{label} of {self.source.names[self.numbers[alike[0]]]}: {error}"))
                continue
            for row, place in enumerate(alike):
                of_one = self.of_each[place]
                of_one.setdefault(INPUT, x[row])
                of_one[label] = y[row]
                if again is not None:
                    of_one[ROUND_TRIP] = again[row]

    def add_truths(self, images: TranslationSet) -> None:
        """Add the truths, where they are known and of their inputs' sizes."""
        for number, of_one in zip(self.numbers, self.of_each, strict=True):
            if self.source.truths is not None and INPUT in of_one:
                truth = self.read(images, self.source.truths[number], self.direction[-1])
                if truth is not None and truth.shape[1:] == of_one[INPUT].shape[1:]:
                    of_one[TRUTH] = truth

    def read(self, images: TranslationSet, path: Path, domain: str) -> Tensor | None:
        try:
            return read_image(path, channels=images.model.images.channels(domain), resize=images.resize)
        except (ImageError, OSError) as error:
            if one_line(error) not in self.notes:
                self.notes.append(one_line(error))
            return None


def shape_of(image: Tensor | None) -> tuple[int, ...]:
    return () if image is None else tuple(image.shape)


def check_memory(images: TranslationSet, x: Tensor) -> None:
    """Raise MemoryError where a translation needs more than is free: a system that has promised more ends the
    process."""
    needed = 4.0 * images.model.floats_per_pixel * len(x) * x.shape[2] * x.shape[3]
    if needed > free_memory(images.translator.device):
        raise MemoryError(f"needs about {needed / 1e9:.1f} GB of memory, which is not free; scale it with --resize")


def translate(images: TranslationSet, x: Tensor, direction: Direction, *, back: bool) -> tuple[Tensor, Tensor | None]:
    """Translations and, if the model has the way back, round trips: uint8 (B, C, H, W)."""
    y = images.translator.translate_floats(to_float(x), direction)
    again = None
    if back and REVERSED[direction] in images.model.directions:
        again = to_uint8(images.translator.translate_floats(y, REVERSED[direction])).cpu()
    return to_uint8(y).cpu(), again


def write_card(
    folder: Path,
    below: Path,
    number: int,
    name: str,
    pictures: Mapping[str, Tensor],
    figures: Mapping[str, Mapping[str, float]],
    gallery: Gallery,
) -> Card:
    """Write an image's pictures, and return its card. Files are named by number: its own name may be anything."""
    shots = []
    for place, label in enumerate(sorted(pictures, key=lambda label: ORDER.get(label, 1))):
        file = write_shot(below / f"{number:05d}-{place}", pictures[label])
        shots.append(Shot(label, *(path.relative_to(folder).as_posix() for path in file)))
    own = dict(figures.get(name, {})) or distances(pictures, gallery.better)
    height, width = pictures[INPUT].shape[1:]
    return Card(one_line(name), shots, own, width, height)


def write_shot(stem: Path, image: Tensor) -> tuple[Path, Path]:
    """Write an image and its thumbnail, which may be the same file; returns their paths."""
    height, width = image.shape[1:]
    file = stem.with_suffix(".png" if height * width <= LOSSLESS else ".jpg")
    write_image(file, image)
    if max(height, width) <= SMALL:
        return file, file
    thumbnail = stem.with_name(f"{stem.name}-small.jpg")
    write_image(thumbnail, resize_shorter(image, THUMBNAIL))
    return file, thumbnail


def distances(pictures: Mapping[str, Tensor], better: dict[str, str]) -> dict[str, float]:
    """Figures for an image that no metric has any of: how far its translation is from the truth, and its round trip
    from it, as the mean absolute difference in gray levels of 255."""
    found = {}
    several = len(pictures.keys() - ORDER.keys()) > 1
    to_truth = [
        (f"{label}: L1 to the truth" if several else "L1 to the truth", label, TRUTH)
        for label in pictures
        if label not in ORDER
    ]
    for label, one, other in [*to_truth, ("L1 of the round trip", INPUT, ROUND_TRIP)]:
        if one in pictures and other in pictures and pictures[one].shape == pictures[other].shape:
            difference = pictures[one].double() - pictures[other].double()
            found[label] = float(difference.abs().mean())
            better[label] = "lower"
    return found
