"""Map accuracy: how much of a translated map has the true map's colors, beside two baselines.

The palette is found in the true maps themselves: of those known, the one that most of their pixels have.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from unit.data.images import write_grid
from unit.data.toymaps import PALETTE
from unit.evaluation.bootstrap import bootstrap
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.palette import MAPS_CONSTANT, MAPS_PALETTE, Color, accuracies, close, tally
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.evaluation.truths import answers

COLUMNS = ("max", "L2", "balanced")
SHOWN = 8
"""Columns of the picture."""
PALETTES: dict[str, tuple[dict[str, Color], Color]] = {
    "maps": (MAPS_PALETTE, MAPS_CONSTANT),
    "toymaps": (PALETTE, PALETTE["land"]),
}
"""The colors of the classes, and the constant that is the baseline."""
KNOWN = 0.75
"""The least share of pixels near a palette's colors."""


def find_palette(truths: Sequence[Tensor]) -> str | None:
    """The palette that most pixels of these maps, uint8 (3, H, W), have; None where none has KNOWN of them."""
    shares = {}
    for name, (colors, _) in PALETTES.items():
        table = torch.tensor(list(colors.values()), dtype=torch.uint8).view(-1, 3, 1, 1)
        near = [close(truth.expand(len(table), -1, -1, -1), table).any(0).double().mean() for truth in truths]
        shares[name] = float(torch.stack(near).mean())
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= KNOWN else None


def palette_of(images: TranslationSet) -> str | None:
    """The palette of the set's truths, found once for all models."""
    if "palette" not in images.kept:
        images.kept["palette"] = find_palette(images.test_b)
    found: str | None = images.kept["palette"]
    return found


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    if images.model.images.channels("b") != 3 or "a2b" not in images.model.directions:
        return f"it is of colors; expected a model a2b of 3 channels, got {images.model.images.channels('b')}"
    if images.unpaired_because:
        return images.unpaired_because
    return "" if palette_of(images) else f"the images of testB have none of the palettes {', '.join(PALETTES)}"


def measure(images: TranslationSet) -> Figures:
    """Pixel accuracy by both norms and balanced accuracy of a2b, beside a constant color and another image's truth.

    `images` has them of each image, with the mean over the classes that it shows as balanced.
    """
    palette, constant = PALETTES[palette_of(images) or "maps"]
    scored = {
        name: torch.stack([tally(x, truth, palette) for x, truth in zip(answer, images.test_b, strict=True)])
        for name, answer in answers(images, "a2b", constant=constant, other="another map").items()
    }
    rows, intervals = {}, {}
    for name, each in scored.items():
        rows[name] = dict(zip(COLUMNS, accuracies(each.mean(0, keepdim=True))[0].tolist(), strict=True))
        if len(each) > 1:
            drawn = bootstrap(each, accuracies, seed=images.seed)
            intervals[name] = dict(zip(COLUMNS, drawn, strict=True))
    of_images = accuracies(scored["model"])
    pixels = scored["model"][:, -len(palette) :].sum(0)
    absent = [name for name, count in zip(palette, pixels.tolist(), strict=True) if not count]
    return Figures(
        rows,
        title="map accuracy",
        notes=[f"without a pixel, not in balanced: {', '.join(absent)}"] if absent else [],
        counts={name: len(each) for name, each in scored.items()},
        intervals=intervals,
        images={"a2b": by_image(images.names("testA"), of_images)},
    )


def by_image(names: list[str], values: Tensor) -> dict[str, dict[str, float]]:
    """Each image's accuracies, without those of which it has none."""
    rows = zip(names, values.tolist(), strict=True)
    return {
        name: {column: value for column, value in zip(COLUMNS, row, strict=True) if not math.isnan(value)}
        for name, row in rows
    }


def write_picture(images: EvaluationSet, path: Path) -> None:
    """Write a picture of some test images, their translations, and the truths; raises ValueError without truths."""
    reason = images.unpaired_because if isinstance(images, TranslationSet) else needs_translator(images)
    if reason or not isinstance(images, TranslationSet):
        raise ValueError(f"a grid needs true translations: {reason}")
    count = min(SHOWN, len(images.test_a))
    shown = [i * len(images.test_a) // count for i in range(count)]
    rows = [torch.stack([row[i] for i in shown]) for row in (images.test_a, images.translated("a2b"), images.test_b)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_grid(path, torch.cat([row.expand(-1, 3, -1, -1) for row in rows]), columns=count)


METRIC = Metric(measure, applies, better="higher")
