"""The linear probe: can a linear classifier tell from a shared code which domain its image is of? 0.5 is best.

If both domains' codes follow one distribution, none can. The probe learns on half of the test images and is asked about
the others; images of one name are on the same side, so that no code is compared with its pair's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unit import draws
from unit.evaluation.bootstrap import percentiles, resampled_means
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator
from unit.evaluation.shared_codes import codes_of, no_codes, stems

LEAST = 10
"""Images of each domain from which on the probe has some to learn on and some to be asked about."""
COLUMN = "accuracy"


def applies(images: EvaluationSet) -> str:
    return no_codes(images, least=LEAST) if isinstance(images, TranslationSet) else needs_translator(images)


def measure(images: TranslationSet) -> Figures:
    """The probe's accuracy, both domains counting alike, on images that it has not learned from: of the mean code of
    each image, and of single places of the codes."""
    a, b = codes_of(images, "a"), codes_of(images, "b")
    names = stems(a.names) + stems(b.names)
    of_b = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).double()
    learns = half(names, seed=images.seed)
    rows: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    views = {"codes of images": (a.means[:, None], b.means[:, None]), "places of codes": (a.places, b.places)}
    for row, (of_a, of_the_other) in views.items():
        z = torch.cat([of_a, of_the_other]).double()  # (N, P, c)
        weight, bias = fit(z[learns].flatten(0, 1), of_b[learns].repeat_interleave(z.shape[1]))
        right = (((z[~learns] @ weight + bias) > 0) == of_b[~learns, None]).double().mean(1)
        sides = {"a": right[of_b[~learns] == 0], "b": right[of_b[~learns] == 1]}
        rows[row] = {COLUMN: sum(float(side.mean()) for side in sides.values()) / 2}
        drawn = [resampled_means(side[:, None], images.seed, name) for name, side in sides.items()]
        intervals[row] = {COLUMN: percentiles(torch.stack(drawn).mean(0))[0]}
    note = f"learned on {int(learns.sum())} test images; 0.5: it can't tell them apart"
    return Figures(
        rows,
        title="domains told apart by their codes",
        notes=[note],
        counts=dict.fromkeys(rows, int((~learns).sum())),
        intervals=intervals,
    )


def half(names: list[str], *, seed: int) -> Tensor:
    """Half of the different names, drawn at random: for each whether it is among them, bool (N,)."""
    different = sorted(set(names))
    drawn = {different[i] for i in draws.permutation(len(different), seed, "probe")[: len(different) // 2].tolist()}
    return torch.tensor([name in drawn for name in names])


def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logistic regression by L-BFGS: the weight (c,) and the bias of logits of x, float64 (N, c), for y in {0, 1}.

    Numbers are scaled to mean 0 and variance 1. What is minimized is Σₙ BCEₙ·wₙ + |weight|²/2 of the scaled numbers,
    where wₙ makes both classes weigh alike: scikit-learn's `LogisticRegression(class_weight="balanced")`.
    """
    mean, sd = x.mean(0), x.std(0, correction=0).clamp_min(1e-12)
    scaled = (x - mean) / sd
    share = y.mean()
    each = torch.where(y > 0, 0.5 / share, 0.5 / (1 - share))
    parameters = torch.zeros(x.shape[1] + 1, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = scaled @ parameters[:-1] + parameters[-1]
        errors = F.binary_cross_entropy_with_logits(logits, y, weight=each, reduction="sum")
        value = (errors + parameters[:-1].square().sum() / 2) / len(x)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weight = parameters.detach()[:-1] / sd
    return weight, parameters.detach()[-1] - weight @ mean


METRIC = Metric(measure, applies)
