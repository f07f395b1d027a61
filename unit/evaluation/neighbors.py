"""Neighbors across domains: does an image's code lie near those of the other domain's images that show the same?

Distances are Euclidean, of codes averaged over a grid of cells, which keeps what lies where.
"""

from unit.evaluation.bootstrap import mean_intervals
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.evaluation.shared_codes import SharedCodes, codes_of, distances, no_codes, stems
from unit.models.base import DomainName

NEAREST = (1, 5)


def applies(images: EvaluationSet) -> str:
    return no_codes(images, least=2) if isinstance(images, TranslationSet) else needs_translator(images)


def measure(images: TranslationSet) -> Figures:
    """From each domain: the distance to the nearest code of the other domain, and of the own one, averaged over the
    images; and where the other domain has images of the same names, the share whose truth is among the nearest."""
    rows, counts, intervals, by_image = {}, {}, {}, {}
    directions: list[tuple[str, DomainName, DomainName]] = [("a2b", "a", "b"), ("b2a", "b", "a")]
    for direction, source, target in directions:
        z, other = codes_of(images, source), codes_of(images, target)
        by_image[direction] = found = values_of(z, other)
        columns = list(next(iter(found.values())))
        rows[direction] = {name: sum(each[name] for each in found.values()) / len(found) for name in columns}
        counts[direction] = len(found)
        intervals[direction] = mean_intervals(found, seed=images.seed)
        chance = {f"truth among {k}": min(1.0, k / len(other)) for k in NEAREST}
        if columns[0] in chance:
            rows[f"{direction}, by chance"] = chance
    return Figures(rows, title="nearest codes of the other domain", counts=counts, intervals=intervals, images=by_image)


def values_of(z: SharedCodes, other: SharedCodes) -> dict[str, dict[str, float]]:
    """By image: "truth among k", where all have one, then the distances across and within."""
    across, within = distances(z.cells, other.cells), distances(z.cells, z.cells)
    within.fill_diagonal_(float("inf"))
    place = {stem: number for number, stem in enumerate(stems(other.names))}
    truths = [place.get(stem) for stem in stems(z.names)]
    found: dict[str, dict[str, float]] = {}
    for number, (name, truth) in enumerate(zip(z.names, truths, strict=True)):
        values: dict[str, float] = {}
        if None not in truths and truth is not None:
            nearer = int((across[number] < across[number, truth]).sum())
            values = {f"truth among {k}": float(nearer < k) for k in NEAREST}
        found[name] = values | {"across": float(across[number].min()), "within": float(within[number].min())}
    return found


METRIC = Metric(measure, applies)
