"""Batches of one domain, in memory; some methods get labeled images beside those without labels.

Noise is drawn for a whole global batch from the key (seed, purpose, step), and each process takes its rows of it: so
it is a function of (seed, purpose, step, position), and the same on every device.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from unit import draws
from unit.config.data import ImagesConfig, LabeledImagesConfig
from unit.data.batches import Batches, DataError, Shard
from unit.data.domain import Domain
from unit.data.images import to_float, to_intensity
from unit.data.one_domain import open_images


@dataclass(frozen=True)
class ImageBatch:
    """One process's share of a step's images.

    `x`: float (B, C, H, W) in [-1, 1]; `y`: int64 (B,), their labels; `step` counts from 0; `positions` are their
    places in the global batch of `size` images; `seed` is the run's; `labeled` holds the labeled ones beside them.
    """

    x: Tensor
    y: Tensor
    step: int
    positions: range
    size: int
    seed: int
    labeled: "ImageBatch | None" = None

    @property
    def intensities(self) -> Tensor:
        """The images in [0, 1], as the networks and likelihoods of autoencoders take them."""
        return to_intensity(self.x)

    def generator(self, purpose: str) -> torch.Generator:
        """For draws for the whole global batch, on the CPU."""
        return draws.generator(self.seed, purpose, self.step)

    def take_rows(self, drawn: Tensor) -> Tensor:
        """The rows of this process of what was drawn for the whole batch, on its device."""
        return drawn[self.positions.start : self.positions.stop].to(self.x.device)

    def normals(self, purpose: str, *shape: int) -> Tensor:
        """N(0, 1) noise: float (B, *shape)."""
        return self.take_rows(torch.randn(self.size, *shape, generator=self.generator(purpose)))


class ImageBatches(Batches[ImageBatch, ImageBatch]):
    """`images`, without regard for labels, and `labeled_batch` of the images numbered `kept` beside them."""

    def __init__(self, images: Domain, shard: Shard, *, kept: Tensor | None = None, labeled_batch: int = 1) -> None:
        self.images, self.shard, self.kept = images, shard, kept
        self.labeled_shard = replace(shard, batch_size=labeled_batch)
        self.fingerprints = {"images": images.fingerprint}
        self.summary = f"{len(images)} images" + (f", {len(kept)} of them labeled" if kept is not None else "")
        self.complaints = images.complaints
        self.images_per_step = shard.batch_size + (labeled_batch if kept is not None else 0)

    @property
    def fraction_labeled(self) -> float:
        """The share of the images that have labels, in [0, 1]."""
        return 0.0 if self.kept is None else len(self.kept) / len(self.images)

    def __getitem__(self, number: int) -> ImageBatch:
        batch = self.draw(number, self.shard, "digits", torch.arange(len(self.images)))
        if self.kept is None:
            return batch
        return replace(batch, labeled=self.draw(number, self.labeled_shard, "labelled", self.kept))

    def draw(self, number: int, shard: Shard, key: str, among: Tensor) -> ImageBatch:
        step, positions = shard.step(number), shard.positions(number)
        rows = among[shard.indices(len(among), key, step, positions)]
        images = to_float(self.images.tensor[rows])
        return ImageBatch(images, self.images.class_labels[rows], step, positions, shard.batch_size, shard.seed)

    def prepare(self, stored: ImageBatch, number: int, device: torch.device) -> ImageBatch:
        beside = None if stored.labeled is None else self.prepare(stored.labeled, number, device)
        return replace(
            stored,
            x=stored.x.to(device, non_blocking=True),
            y=stored.y.to(device, non_blocking=True),
            labeled=beside,
        )


def open_batches(config: ImagesConfig, shard: Shard, images: Domain | None = None) -> ImageBatches:
    """The training images, the config's or those given, with labeled ones beside them where the config has any; raises
    DataError."""
    images = images or open_images(config, "train")
    if not isinstance(config, LabeledImagesConfig) or not config.labeled:
        return ImageBatches(images, shard)
    micro_batches = shard.processes * shard.accumulation
    if config.labeled_batch % micro_batches:
        raise DataError(
            f"data.labeled_batch: {config.labeled_batch} images can't be divided over {shard.processes} processes × "
            f"{shard.accumulation} micro-batches; expected a multiple of {micro_batches}"
        )
    kept = choose_labeled(images.class_labels, config.labeled, classes=images.classes, seed=shard.seed)
    return ImageBatches(images, shard, kept=kept, labeled_batch=config.labeled_batch)


def choose_labeled(labels: Tensor, count: int | Literal["all"], *, classes: int, seed: int) -> Tensor:
    """Choose which images keep their labels: as many of each class, a function of the seed.

    With one seed, a smaller choice is part of each larger one.

    Args:
        labels: int64 (N,), the class of each image.
        count: how many images keep their labels, a multiple of `classes`; or all.
        classes: how many classes there are.
        seed: of the choice.

    Returns:
        Indices of the chosen images: int64 (count,), sorted.

    Raises:
        DataError: there are no classes, `count` is no multiple of them, or a class has too few images.
    """
    if not classes:
        raise DataError("data.labeled: these images have no labels; expected 0, or a folder for each class")
    if count == "all":
        return torch.arange(len(labels))
    if count < 0 or count % classes:
        raise DataError(f"data.labeled: expected as many of each of {classes} classes, got {count}")
    each = count // classes
    chosen = []
    for label in range(classes):
        places = (labels == label).nonzero().flatten()
        if len(places) < each:
            raise DataError(f"data.labeled: {count} images need {each} of each class; class {label} has {len(places)}")
        chosen.append(places[draws.permutation(len(places), seed, "labelled", label)[:each]])
    return torch.cat(chosen).sort().values
