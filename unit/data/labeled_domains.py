"""Batches of two domains of which one has labels: the class of an image is the folder that it lies in.

The other domain's labels are never read.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from unit import draws
from unit.config.data import LabeledDomainConfig
from unit.data.augmentation import warp
from unit.data.batches import DataError, Shard
from unit.data.domain import Domain
from unit.data.images import to_intensity
from unit.data.two_domains import StoredBatch, TranslationBatch, UnpairedBatches


@dataclass(frozen=True)
class LabeledBatch(TranslationBatch):
    """The same, with the labels of the source's images: int64 (B,)."""

    y: Tensor


class LabeledBatches(UnpairedBatches):
    """Each domain in an order of its own; `class_names` are those of the source's classes, in the order of labels."""

    def __init__(self, a: Domain, b: Domain, config: LabeledDomainConfig, shard: Shard) -> None:
        super().__init__(a, b, config, shard)
        self.labels = config
        self.source, self.class_names = labeled_by_folder(a if config.source == "a" else b, config.source)
        self.summary += f", {len(self.class_names)} classes in {config.source}"

    def prepare(self, stored: StoredBatch, number: int, device: torch.device) -> LabeledBatch:
        if stored.broken:  # another image, which would take its place, need not be of its class
            raise DataError(f"{stored.broken[0]}; a labeled domain needs all the images that it began with")
        batch = super().prepare(stored, number, device)
        x = {"a": batch.x_a, "b": batch.x_b}
        for domain in x:
            x[domain] = self.warped(x[domain], domain, batch)
        indices = self.shard.indices(len(self.source), self.labels.source, batch.step, batch.positions)
        y = self.source.class_labels[indices].to(device, non_blocking=True)
        return LabeledBatch(x["a"], x["b"], batch.step, batch.positions, batch.seed, y)

    def warped(self, x: Tensor, domain: str, batch: TranslationBatch) -> Tensor:
        """Images of a domain, warped and some of them inverted, as functions of (seed, domain, step, position)."""
        if self.labels.warp:
            x = 2 * warp(to_intensity(x), self.labels.warp, batch.normals((6,), "warp", domain)) - 1
        if self.labels.invert:
            key = (batch.seed, "invert", domain, batch.step)
            u = torch.cat([draws.uniforms(1, *key, position) for position in batch.positions]).to(x.device)
            x = torch.where((u < self.labels.invert)[:, None, None, None], -x, x)
        return x


def labeled_by_folder(domain: Domain, name: str) -> tuple[Domain, list[str]]:
    """The domain with labels, and the classes' names: its own labels, or the folders in which the images lie, sorted.

    Raises DataError for images that lie in fewer than two folders.
    """
    if domain.labels is not None:
        return domain, [str(label) for label in range(domain.classes)]
    folders = [Path(image).parent.name for image in domain.names]
    names = sorted(set(folders))
    if len(names) < 2 or "" in names:
        raise DataError(
            f"images of domain {name}, which data.source says are labeled: expected each in a folder of its class, at "
            f"least 2 classes, got {domain.names[folders.index(names[0])]!r}"
        )
    labels = torch.tensor([names.index(folder) for folder in folders])
    return replace(domain, labels=labels, classes=len(names)), names
