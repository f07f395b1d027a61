"""Was the training really unpaired? How often its order puts two images of the same name side by side.

Two loaders that are seeded alike draw the same permutation for both domains; on a data set of pairs that silently pairs
them. Here each domain has an order of its own, so that pairs meet by chance alone, which this counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from unit import weights
from unit.config.data import TwoDomainsConfig
from unit.config.files import load
from unit.data.batches import Shard
from unit.data.domain import list_sources
from unit.data.two_domains import training_folders
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, TranslationSet, needs_translator

EPOCHS = 10


@dataclass(frozen=True)
class Pairing:
    """Of the first `drawn` pairs (a_i, b_i) of a training, `same` have one name, against `chance` on average."""

    drawn: int
    same: int
    chance: float


def count_pairs(a: Sequence[str], b: Sequence[str], shard: Shard) -> Pairing:
    """Over the first epochs of the larger domain; `a` and `b` are the images' names in the order of the folders."""
    drawn = EPOCHS * max(len(a), len(b))
    positions = range(drawn)
    orders = (shard.indices(len(names), domain, 0, positions) for domain, names in (("a", a), ("b", b)))
    same = sum(a[i] == b[j] for i, j in zip(*orders, strict=True))
    of_b = Counter(b)
    matches = sum(of_b[name] for name in a)
    return Pairing(drawn, same, drawn * matches / (len(a) * len(b)))


def measure_pairing(run: Path | None) -> Pairing | None:
    """That of a run, from its config and the names in its data folders; None where `run` is no run of two domains, or
    its data is not there any more."""
    if run is None or not (run / "config.yaml").is_file():
        return None
    try:
        config = load(run / "config.yaml")
        data = getattr(config, "data", None)
        if not isinstance(data, TwoDomainsConfig):
            return None
        aside = weights.read_held_out(run)["set_aside"]
        names = [
            [PurePath(name).with_suffix("").as_posix() for name, _ in list_sources(folders)[0] if name not in without]
            for folders, without in zip(training_folders(data), (aside.get("a", ()), aside.get("b", ())), strict=True)
        ]
    except (ValueError, OSError):
        return None
    return count_pairs(names[0], names[1], Shard(config.run.seed, config.train.batch_size)) if all(names) else None


def applies(images: EvaluationSet) -> str:
    if not isinstance(images, TranslationSet):
        return needs_translator(images)
    return "" if measure_pairing(images.run) is not None else "the run's training folders are not at hand"


def measure(images: TranslationSet) -> Figures:
    """How many of the first pairs drawn have one name in both domains, and how many would by chance."""
    pairing = measure_pairing(images.run)
    assert pairing is not None
    row = {"drawn": float(pairing.drawn), "of one name": float(pairing.same), "by chance": pairing.chance}
    return Figures({"training": row}, title="pairs in the order", decimals=1)


METRIC = Metric(measure, applies)
