"""The domain classifier: would it take the translations for the other domain?

A small network learns on trainA and trainB to tell the domains apart; it never sees a translation. Its accuracy on
testA and testB says how far it can be trusted, and the share of translated test images that it takes for the target
domain says whether the translations arrive. How far they keep what they show is measured by the round trip.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit import draws
from unit.data.images import to_float
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, center_squares, needs_translator

BATCH = 64
EPOCHS = 5


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
    tests = images.test_a + images.test_b
    size = min([images.model.images.size, *(min(image.shape[1:]) for image in tests)])
    a, b = (center_squares(images.load(name), size, str(images.root / name)) for name in ("trainA", "trainB"))
    classifier = train_classifier(a, b, seed=images.seed, epochs=EPOCHS, device=images.translator.device)

    def share_of_b(these: list[Tensor]) -> float:
        squares = center_squares(these, size, str(images.root))
        with torch.inference_mode():
            parts = [
                classifier(to_float(part.to(images.translator.device))) > 0 for part in torch.split(squares, BATCH)
            ]
        return float(torch.cat(parts).float().mean())

    b_in_a, b_in_b = share_of_b(images.test_a), share_of_b(images.test_b)
    accuracy = ((1 - b_in_a) * len(images.test_a) + b_in_b * len(images.test_b)) / len(tests)
    rows: dict[str, dict[str, float]] = {}
    for direction in images.model.directions:
        share = share_of_b(images.translated(direction))
        rows[direction] = {
            "images": b_in_a if direction == "a2b" else 1 - b_in_b,
            "translations": share if direction == "a2b" else 1 - share,
        }
    note = f"the classifier is right on {accuracy:.3f} of the real test images"
    return Figures(rows, title="taken for the target domain", notes=[note])


def train_classifier(a: Tensor, b: Tensor, *, seed: int, epochs: int, device: torch.device) -> nn.Module:
    """A classifier of uint8 images (N, C, H, W): logits (N,), above 0 for domain b."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (a.shape[1], 32, 64, 128, 128)
        layers = [
            layer
            for n_in, n_out in itertools.pairwise(widths)
            for layer in (nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        ]
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1), nn.Flatten(0)]
        classifier = nn.Sequential(*layers, *pool).to(device)
    images, labels = torch.cat([a, b]), torch.cat([torch.zeros(len(a)), torch.ones(len(b))])
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3)
    for epoch in range(epochs):
        for rows in draws.permutation(len(images), seed, "classifier", epoch).chunk(-(-len(images) // BATCH)):
            x = to_float(images[rows].to(device))
            x = x.flip(-1) if epoch % 2 else x
            loss = F.binary_cross_entropy_with_logits(classifier(x), labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return classifier.eval()


METRIC = Metric(measure, applies)
