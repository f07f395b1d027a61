"""Round trip: how far images are from what they were once translated there and back."""

from unit.evaluation.bootstrap import mean_intervals
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.models.base import REVERSED


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    return "" if len(images.model.directions) == 2 else "the model has one direction"


def measure(images: TranslationSet) -> Figures:
    """Mean absolute difference, in gray levels of 255, averaged over the pixels and then over the images."""
    by_image: dict[str, dict[str, dict[str, float]]] = {}
    rows, counts, intervals = {}, {}, {}
    for direction in images.model.directions:
        pairs = zip(images.names(f"test{direction[0].upper()}"), images.source(direction), strict=True)
        distances = {
            name: {"levels": float((x.double() - y.double()).abs().mean())}
            for (name, x), y in zip(pairs, images.round_trips(direction), strict=True)
        }
        row = f"{direction}2{REVERSED[direction][-1]}"
        by_image[direction], counts[row] = distances, len(distances)
        rows[row] = {"levels": sum(each["levels"] for each in distances.values()) / len(distances)}
        intervals[row] = mean_intervals(distances, seed=images.seed)
    return Figures(rows, title="round trip", decimals=2, counts=counts, intervals=intervals, images=by_image)


METRIC = Metric(measure, applies, better="lower")
