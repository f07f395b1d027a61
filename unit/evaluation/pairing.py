"""Was the training really unpaired? How often its order puts two images of the same name side by side.

Two loaders that are seeded alike draw the same permutation for both domains; on a data set of pairs that silently pairs
them. Here each domain has an order of its own, so that pairs meet by chance alone, which this counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from unit.config.unit import UnitConfig
from unit.data.batches import Share
from unit.data.folders import training_folders
from unit.data.images import find_images
from unit.options import parse

EPOCHS = 10


@dataclass(frozen=True)
class Pairing:
    """Of the first `drawn` pairs (a_i, b_i) of a training, `same` have one name, against `chance` on average."""

    drawn: int
    same: int
    chance: float

    def line(self) -> str:
        met = f"{self.same} of the first {self.drawn} pairs drawn have one name"
        return f"data check: {met} in both domains, against {self.chance:.1f} by chance"


def pairing(a: Sequence[str], b: Sequence[str], share: Share) -> Pairing:
    """Over the first epochs of the larger domain; `a` and `b` are the images' names in the order of the folders."""
    drawn = EPOCHS * max(len(a), len(b))
    positions = range(drawn)
    orders = (share.visited(len(names), domain, 0, positions) for domain, names in (("a", a), ("b", b)))
    same = sum(a[i] == b[j] for i, j in zip(*orders, strict=True))
    of_b = Counter(b)
    matches = sum(of_b[name] for name in a)
    return Pairing(drawn, same, drawn * matches / (len(a) * len(b)))


def pairing_of(run: Path) -> Pairing | None:
    """That of a run, from its config and the names in its data folders; None where `run` is no run of a translator's,
    or its data is not there any more."""
    if not (run / "config.yaml").is_file():
        return None
    try:
        config = parse(["--config", str(run / "config.yaml")])
        if not isinstance(config, UnitConfig):
            return None
        names = [
            [PurePath(path.relative_to(folder)).with_suffix("").as_posix() for path in find_images(folder)]
            for folder in training_folders(config.data)
        ]
    except (ValueError, OSError):
        return None
    if not all(names):
        return None
    return pairing(names[0], names[1], Share(config.run.seed, config.train.batch_size))
