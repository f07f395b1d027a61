"""What is evaluated: a model, and images that it has not seen, each loaded and translated once."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from unit.data.decoding import decode_image
from unit.data.domain import Domain
from unit.data.images import center_square, find_images, to_float, to_uint8
from unit.inference.translator import Translator
from unit.models.autoencoder import ImageAutoencoder
from unit.models.base import REVERSED, Direction, ImageTranslator, Model, Resize

BATCH = 500
TRANSLATED_AT_ONCE = 8


class TranslationSet:
    """The test images of both domains, and what a translator makes of them.

    Args:
        model: the translator.
        root: the folder that holds testA and testB (and trainA and trainB, for metrics that learn).
        resize: scale images to this shorter side; by default as the model's training did; "keep" keeps their sizes.
        seed: of whatever a metric draws.
        run: the model's run, if it is one's.

    `scaled` are the files that were scaled as they were loaded. Images are lists of uint8 (C, H, W), in the order of
    their names. Raises FileNotFoundError or ValueError where a folder is missing or empty.
    """

    def __init__(
        self, model: ImageTranslator, root: Path, *, resize: Resize = None, seed: int = 0, run: Path | None = None
    ) -> None:
        self.model, self.translator = model, Translator(model)
        self.root, self.seed, self.run = root.expanduser(), seed, run
        self.resize = model.shorter_side(resize)
        self.scaled: set[Path] = set()
        self._translated: dict[Direction, list[Tensor]] = {}
        self._round_trips: dict[Direction, list[Tensor]] = {}

    def paths(self, folder: str) -> list[Path]:
        """The images of root/folder; raises ValueError where there is none."""
        found = find_images(self.root / folder)
        if not found:
            raise ValueError(f"{self.root / folder}: no images in it")
        return found

    def names(self, folder: str) -> list[str]:
        """The images' names below root/folder."""
        return [path.relative_to(self.root / folder).as_posix() for path in self.paths(folder)]

    def load(self, folder: str) -> list[Tensor]:
        """The images of root/folder, with the channels that the model wants of that domain."""
        channels = self.model.images.channels(folder[-1].lower())
        images = []
        for path in self.paths(folder):
            decoded = decode_image(path, channels=channels, resize=self.resize)
            images.append(decoded.pixels)
            if decoded.scaled:
                self.scaled.add(path)
        return images

    @cached_property
    def test_a(self) -> list[Tensor]:
        return self.load("testA")

    @cached_property
    def test_b(self) -> list[Tensor]:
        return self.load("testB")

    def source(self, direction: Direction) -> list[Tensor]:
        """The test images that the direction begins at."""
        return self.test_a if direction == "a2b" else self.test_b

    def target(self, direction: Direction) -> list[Tensor]:
        """Those of the domain that it leads to."""
        return self.test_b if direction == "a2b" else self.test_a

    def translated(self, direction: Direction) -> list[Tensor]:
        """The source's translations: uint8, each of its image's size."""
        if direction not in self._translated:
            self._translate(direction)
        return self._translated[direction]

    def round_trips(self, direction: Direction) -> list[Tensor]:
        """The source's images translated there and back: uint8, each of its size."""
        if direction not in self._round_trips:
            self._translate(direction)
        return self._round_trips[direction]

    def _translate(self, direction: Direction) -> None:
        """Translate the source, and back if there is a way, in batches of images of one size."""
        there, back = [], []
        for x in same_sizes(self.source(direction), TRANSLATED_AT_ONCE):
            y = self.translator.translate_floats(to_float(x), direction)
            there += list(to_uint8(y).cpu())
            if REVERSED[direction] in self.model.directions:
                back += list(to_uint8(self.translator.translate_floats(y, REVERSED[direction])).cpu())
        self._translated[direction], self._round_trips[direction] = there, back

    @cached_property
    def unpaired_because(self) -> str:
        """Why testA and testB are not pairs under the same names, or nothing where they are."""
        a, b = self.names("testA"), self.names("testB")
        if [Path(name).with_suffix("") for name in a] != [Path(name).with_suffix("") for name in b]:
            return f"testA has {len(a)} images and testB {len(b)}; expected pairs under the same names"
        for name, x, y in zip(a, self.test_a, self.test_b, strict=True):
            if x.shape[1:] != y.shape[1:]:
                return f"{name} has the shape {tuple(x.shape)}, its truth in testB {tuple(y.shape)}"
        return ""


@dataclass(frozen=True)
class ImageSet:
    """An autoencoder, the images that its figures are of, and images that it was trained on."""

    model: Model
    images: Domain
    seen: Domain

    def __post_init__(self) -> None:
        """Raise ValueError for labels that the model's networks can't take."""
        if isinstance(self.model, ImageAutoencoder) and self.model.labels != "none":
            reason = self.unlabeled_because
            if reason:
                raise ValueError(f"data: a model {self.model.name} that takes labels has no figures here: {reason}")

    @property
    def unlabeled_because(self) -> str:
        """Why the images' labels are none that the model knows, or nothing where they are."""
        known, given = self.model.config.images.classes, self.images.classes
        if not given:
            return "the images have no labels"
        return f"the images have {given} classes, the model {known}" if given > known else ""

    def parts(self, of: Domain | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Images in [-1, 1] and labels, some at a time."""
        domain = of or self.images
        for start in range(0, len(domain), BATCH):
            x = domain.tensor[start : start + BATCH]
            yield to_float(x), domain.class_labels[start : start + BATCH]


EvaluationSet = TranslationSet | ImageSet


def needs_translator(images: EvaluationSet) -> str:
    """Why what is of translations has none of this set, or nothing."""
    return (
        "" if isinstance(images, TranslationSet) else f"it is of translators, and this is a model {images.model.name}"
    )


def same_sizes(images: list[Tensor], count: int) -> Iterator[Tensor]:
    """Runs of at most `count` images of one size, in order: (B, C, H, W)."""
    for _, run in itertools.groupby(images, key=lambda image: image.shape):
        yield from torch.split(torch.stack(list(run)), count)


def center_squares(images: list[Tensor], size: int, where: str) -> Tensor:
    """The images' centers: uint8 (N, C, size, size); raises ValueError for one that is smaller."""
    crops = []
    for image in images:
        if min(image.shape[1:]) < size:
            raise ValueError(f"{where}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of {size}")
        crops.append(center_square(image, size))
    return torch.stack(crops)
