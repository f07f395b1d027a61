"""What is evaluated: a model, and images that it has not seen, each loaded and translated once."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from unit import draws
from unit.data.decoding import decode_image
from unit.data.domain import Domain
from unit.data.images import center_square, find_images, to_float, to_uint8
from unit.evaluation.store import Stored, same_sizes
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
        weights: the folder of published weights that metrics need, by default that of torch's hub.
        subset: how many images KID's subsets have.

    `scaled` are the files that were scaled as they were loaded. Images are uint8 (C, H, W), in the order of their
    names; they lie in temporary files, so that any number of them can be evaluated. Raises FileNotFoundError or
    ValueError where a folder is missing or empty.
    """

    has_model = True
    """Whether its translations are a model's."""

    def __init__(
        self,
        model: ImageTranslator,
        root: Path,
        *,
        resize: Resize = None,
        seed: int = 0,
        run: Path | None = None,
        weights: Path | None = None,
        subset: int = 50,
    ) -> None:
        if subset < 2:
            raise ValueError(f"subset: expected at least 2 images, got {subset}")
        self.model, self.translator = model, Translator(model)
        self.root, self.seed, self.run = root.expanduser(), seed, run
        self.weights, self.subset = weights, subset
        self.resize = model.shorter_side(resize)
        self.scaled: set[Path] = set()
        self.kept: dict[str, Any] = {}
        """What metrics keep by name that does not depend on the model's weights."""
        self.codes: dict[str, Any] = {}
        """The codes of each domain, once they are wanted."""
        self._translated: dict[Direction, Stored] = {}
        self._round_trips: dict[Direction, Stored] = {}

    def with_model(self, model: Model) -> "TranslationSet":
        """The same images for another translator of the same images, such as the last iterate: they are not loaded
        again."""
        _ = self.test_a, self.test_b  # loaded now, for both
        assert isinstance(model, ImageTranslator)
        other = copy.copy(self)
        other.model, other.translator = model, Translator(model).to(self.translator.device)
        other.codes, other._translated, other._round_trips = {}, {}, {}
        return other

    def folder(self, name: str) -> Path:
        """Where testA, testB, trainA or trainB lies."""
        return self.root / name

    def label(self, name: str) -> str:
        """What it is called where an error names it."""
        return name

    def paths(self, folder: str) -> list[Path]:
        """The images of root/folder; raises ValueError where there is none."""
        found = find_images(self.folder(folder))
        if not found:
            raise ValueError(f"{self.folder(folder)}: no images in it")
        return found

    def names(self, folder: str) -> list[str]:
        """The images' names below root/folder."""
        return [path.relative_to(self.folder(folder)).as_posix() for path in self.paths(folder)]

    def load(self, folder: str, *, at_most: int | None = None) -> Iterator[Tensor]:
        """The images of root/folder, one by one, with the channels that the model wants of that domain; of more than
        `at_most` so many that are drawn at random."""
        channels = self.model.images.channels(folder[-1].lower())
        paths = self.paths(folder)
        if at_most is not None and len(paths) > at_most:
            paths = [paths[i] for i in sorted(draws.permutation(len(paths), self.seed, folder)[:at_most].tolist())]
        for path in paths:
            decoded = decode_image(path, channels=channels, resize=self.resize)
            if decoded.scaled:
                self.scaled.add(path)
            yield decoded.pixels

    @cached_property
    def test_a(self) -> Stored:
        return Stored(self.load("testA"))

    @cached_property
    def test_b(self) -> Stored:
        return Stored(self.load("testB"))

    def source(self, direction: Direction) -> Stored:
        """The test images that the direction begins at."""
        return self.test_a if direction == "a2b" else self.test_b

    def target(self, direction: Direction) -> Stored:
        """Those of the domain that it leads to."""
        return self.test_b if direction == "a2b" else self.test_a

    def translated(self, direction: Direction) -> Stored:
        """The source's translations: uint8, each of its image's size."""
        if direction not in self._translated:
            self._translate(direction)
        return self._translated[direction]

    def round_trips(self, direction: Direction) -> Stored:
        """The source's images translated there and back: uint8, each of its size."""
        if direction not in self._round_trips:
            self._translate(direction)
        return self._round_trips[direction]

    def _translate(self, direction: Direction) -> None:
        """Translate the source, and back if there is a way, in batches of images of one size."""
        there, back = Stored(), Stored()
        for x in same_sizes(self.source(direction), TRANSLATED_AT_ONCE):
            y = self.translator.translate_floats(to_float(x), direction)
            there.extend(to_uint8(y))
            if REVERSED[direction] in self.model.directions:
                back.extend(to_uint8(self.translator.translate_floats(y, REVERSED[direction])))
        self._translated[direction], self._round_trips[direction] = there, back

    @cached_property
    def unpaired_because(self) -> str:
        """Why testA and testB are not pairs under the same names, or nothing where they are."""
        a, b = self.names("testA"), self.names("testB")
        if [Path(name).with_suffix("") for name in a] != [Path(name).with_suffix("") for name in b]:
            counts = f"{self.label('testA')} has {len(a)} images and {self.label('testB')} {len(b)}"
            return f"{counts}; expected pairs under the same names"
        for name, x, y in zip(a, self.test_a.shapes, self.test_b.shapes, strict=True):
            if x[1:] != y[1:]:
                return f"{name} has the shape {x}, its truth in {self.label('testB')} {y}"
        return ""


@dataclass(frozen=True)
class ImageSet:
    """An autoencoder, the images that its figures are of, and images that it was trained on; and which images the first
    are, where they are not the run's usual ones."""

    model: Model
    images: Domain
    seen: Domain
    elsewhere: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for labels that the model's networks can't take."""
        if isinstance(self.model, ImageAutoencoder) and self.model.labels != "none":
            reason = self.unlabeled_because
            if reason:
                raise ValueError(f"data: a model {self.model.name} that takes labels has no figures here: {reason}")

    def with_model(self, model: Model) -> "ImageSet":
        """The same images for another model of the same images, such as the last iterate."""
        return replace(self, model=model)

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


def center_squares(images: Iterable[Tensor], size: int, where: str) -> Stored:
    """The images' centers: uint8 (C, size, size) each; raises ValueError for an image that is smaller."""
    crops = Stored()
    for image in images:
        if min(image.shape[1:]) < size:
            raise ValueError(f"{where}: {image.shape[2]}×{image.shape[1]} pixels, smaller than the crop of {size}")
        crops.append(center_square(image, size))
    return crops
