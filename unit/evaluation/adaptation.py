"""Domain adaptation: how many test images of the domain without labels get their right class."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from unit.data.images import to_float
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import BATCH, EvaluationSet, TranslationSet, center_squares, needs_translator
from unit.evaluation.store import same_sizes
from unit.models.adaptation import AdaptedTranslator, Source

FOLDERS: dict[Source, str] = {"a": "testA", "b": "testB"}


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    if not isinstance(images.model, AdaptedTranslator):
        return f"it is of method adaptation, and this is a model {images.model.name}"
    names = images.model.config.classes.names
    for folder in FOLDERS.values():
        for name in images.names(folder):
            if Path(name).parent.name not in names:
                return f"{images.root / folder}: {name!r} is in no folder of a class ({', '.join(names)})"
    return ""


def measure(images: TranslationSet) -> Figures:
    """The share of right answers on both domains' test images, its 95 % interval (Wilson's) and the number of images;
    they are seen as center squares of the model's training size."""
    model = images.model
    assert isinstance(model, AdaptedTranslator)
    found = Figures({}, title="classified right", decimals=4)
    for domain, folder in FOLDERS.items():
        role = "source" if domain == model.config.classes.source else "target"
        tests = images.test_a if domain == "a" else images.test_b
        given = answers(model, center_squares(tests, model.images.size, folder), domain, images.translator.device)
        names = model.config.classes.names
        truth = torch.tensor([names.index(Path(name).parent.name) for name in images.names(folder)])
        right, count = int((given == truth).sum()), len(truth)
        row = f"{role} ({domain})"
        found.rows[row], found.counts[row] = {"accuracy": right / count}, count
        found.intervals[row] = {"accuracy": wilson(right, count)}
        if right < count:
            found.notes.append(f"{role}: {most_often_wrong(given, truth, names)}")
    return found


@torch.inference_mode()
def answers(model: AdaptedTranslator, squares: Iterable[Tensor], domain: Source, device: torch.device) -> Tensor:
    """The class that each image is given: uint8 (C, H, W) each → int64 (N,)."""
    parts = same_sizes(squares, BATCH)
    return torch.cat([model.classify(to_float(part.to(device)), domain).argmax(1).cpu() for part in parts])


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)."""
    p, square = right / count, z * z / count
    spread = z * math.sqrt(p * (1 - p) / count + square / (4 * count))
    return (p + square / 2 - spread) / (1 + square), (p + square / 2 + spread) / (1 + square)


def most_often_wrong(given: Tensor, truth: Tensor, names: list[str]) -> str:
    """Which class is most often taken for which: many, where the classes of the target came out in another order."""
    wrong = (truth * len(names) + given)[given != truth].bincount(minlength=len(names) ** 2)
    place = int(wrong.argmax())
    true, other = names[place // len(names)], names[place % len(names)]
    count = int((truth == place // len(names)).sum())
    return f"{int(wrong[place])} of {count} images of {true} are taken for {other}, the most frequent mistake"


METRIC = Metric(measure, applies, better="higher")
