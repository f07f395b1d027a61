"""Two folders of images, compared as if a model had turned the one into the other: nothing is translated."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from unit.evaluation import METRICS
from unit.evaluation.evaluate import find_metric, measure
from unit.evaluation.metric import Figures
from unit.evaluation.sets import TranslationSet
from unit.evaluation.store import Stored
from unit.models.base import Direction, ImageTranslator, Resize, TranslatedImages


class Unchanged(ImageTranslator):
    """What stands in the place of a model: images of a are taken for those of b as they are."""

    name = "none"
    directions = ("a2b",)
    images = TranslatedImages()
    stride = 1
    floats_per_pixel = 0.0

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return x


class TwoFolders(TranslationSet):
    """The images of folder a in the place of translations, and those of folder b in the place of what they should be
    like, all in color.

    The arguments are those of `TranslationSet`.
    """

    has_model = False

    def __init__(
        self,
        a: Path,
        b: Path,
        *,
        resize: Resize = None,
        seed: int = 0,
        weights: Path | None = None,
        subset: int = 50,
    ) -> None:
        super().__init__(Unchanged(), a, resize=resize, seed=seed, weights=weights, subset=subset)
        self.places = {"testA": a.expanduser(), "testB": b.expanduser()}

    def folder(self, name: str) -> Path:
        return self.places[name]

    def label(self, name: str) -> str:
        return str(self.places[name])

    def translated(self, direction: Direction) -> Stored:
        self.model.check_direction(direction)
        return self.test_a


def of_folders() -> list[str]:
    """The names of the metrics that have figures of two folders without a model."""
    return [name for name in METRICS if find_metric(name).folders]


def evaluate_folders(
    a: str | Path,
    b: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    resize: Resize = None,
    seed: int = 0,
    weights: str | Path | None = None,
    subset: int = 50,
) -> dict[str, Figures]:
    """How far the images of folder a are from those of folder b, without a model; nothing is written.

    Args:
        a: a folder of images, such as translations.
        b: the images that they should be like; of metrics of pairs, under the same names.
        metrics, resize, seed, weights, subset: as of `evaluate`.

    Raises:
        FileNotFoundError, ValueError: as `evaluate`.

    Example:
        >>> figures = evaluate_folders("translated", "maps/testB", metrics=["ssim"])["ssim"]
        >>> 0 < figures.rows["a2b"]["SSIM"] < 1
        True
    """
    place = None if weights is None else Path(weights)
    return measure(TwoFolders(Path(a), Path(b), resize=resize, seed=seed, weights=place, subset=subset), metrics)
