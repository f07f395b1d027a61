"""The domain classifier: would it take the translations for the other domain?

A small network learns on trainA and trainB to tell the domains apart; it never sees a translation. Its accuracy on
testA and testB says how far it can be trusted, and the share of translated test images that it takes for the target
domain says whether the translations arrive. How far they keep what they show is measured by the round trip.
"""

import itertools
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit import draws
from unit.data.images import center_square, to_float
from unit.evaluation.bootstrap import mean_interval
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, center_squares, needs_translator
from unit.evaluation.store import same_sizes

BATCH, PIXELS = 64, 64 * 128**2
"""Images that are seen at once, or as many as have so many pixels together: at 256 × 256, 16."""
EPOCHS = 5
LEARNED = 5000
"""Images of each domain that it learns on at most; of more, so many are drawn at random."""
COLUMNS = ("images", "translations")


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    if images.model.images.channels_a != images.model.images.channels_b:
        return "the domains differ in their channels, which tells them apart at once"
    missing = [name for name in ("trainA", "trainB") if not (images.root / name).is_dir()]
    return f"it learns on trainA and trainB, and {images.root} has no {' and no '.join(missing)}" if missing else ""


def measure(images: TranslationSet) -> Figures:
    """The shares of the source's test images, and of their translations, that the classifier takes for the target
    domain. All are seen as center squares, of the model's training size or what the smallest test image has."""
    shapes = images.test_a.shapes + images.test_b.shapes
    size = min([images.model.images.size, *(min(shape[1:]) for shape in shapes)])
    if "classifier" not in images.kept:
        a, b = (
            center_squares(images.load(name, at_most=LEARNED), size, str(images.root / name))
            for name in ("trainA", "trainB")
        )
        device = images.translator.device
        images.kept["classifier"] = train_classifier(a, b, seed=images.seed, epochs=EPOCHS, device=device)
    classifier = images.kept["classifier"]

    def taken_for_b(these: Iterable[Tensor]) -> Tensor:
        squares = (center_square(image, size) for image in these)
        with torch.inference_mode():
            parts = [
                classifier(to_float(part.to(images.translator.device))) > 0
                for part in same_sizes(squares, batch_of(size))
            ]
        return torch.cat(parts).double().cpu()

    b_in_a, b_in_b = taken_for_b(images.test_a), taken_for_b(images.test_b)
    right = float(torch.cat([1 - b_in_a, b_in_b]).mean())
    rows: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = {}
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for direction in images.model.directions:
        before, after = (b_in_a if direction == "a2b" else b_in_b), taken_for_b(images.translated(direction))
        taken = torch.stack([before, after], dim=1) if direction == "a2b" else 1 - torch.stack([before, after], dim=1)
        rows[direction] = dict(zip(COLUMNS, taken.mean(0).tolist(), strict=True))
        counts[direction] = len(taken)
        if len(taken) > 1:
            intervals[direction] = dict(zip(COLUMNS, mean_interval(taken, seed=images.seed), strict=True))
    note = f"the classifier is right on {right:.3f} of the real test images"
    return Figures(rows, title="taken for the target domain", notes=[note], counts=counts, intervals=intervals)


def batch_of(size: int) -> int:
    """How many images of that size are seen at once."""
    return min(BATCH, max(1, PIXELS // size**2))


def train_classifier(
    a: Sequence[Tensor], b: Sequence[Tensor], *, seed: int, epochs: int, device: torch.device
) -> nn.Module:
    """A classifier that has learned on uint8 images (C, H, W) of one size, of which it holds a batch at a time: float
    (B, C, H, W) in [-1, 1] to logits (B,), above 0 for domain b."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (a[0].shape[0], 32, 64, 128, 128)
        layers = [
            layer
            for n_in, n_out in itertools.pairwise(widths)
            for layer in (nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        ]
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1), nn.Flatten(0)]
        classifier = nn.Sequential(*layers, *pool).to(device)
    labels = torch.cat([torch.zeros(len(a)), torch.ones(len(b))])
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    for epoch in range(epochs):
        parts = -(-len(labels) // batch_of(a[0].shape[1]))
        for rows in draws.permutation(len(labels), seed, "classifier", epoch).chunk(parts):
            batch = [a[row] if row < len(a) else b[row - len(a)] for row in rows.tolist()]
            x = to_float(torch.stack(batch).to(device))
            x = x.flip(-1) if epoch % 2 else x
            loss = F.binary_cross_entropy_with_logits(classifier(x), labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return classifier.eval()


METRIC = Metric(measure, applies, better="higher")
