"""Batches of digits, drawn from memory; some methods get labelled ones beside those without labels.

Noise is drawn for a whole global batch from the key (seed, purpose, step), and each process takes its rows of it: so
it is a function of (seed, purpose, step, position), and the same on every device.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unit import draws
from unit.config.data import DigitsConfig, LabelledDigitsConfig
from unit.data.batches import Batches, Share
from unit.data.digits import Digits, DigitsError, choose_labeled, read_digits

Split = Literal["train", "held_out", "test"]
CLASSES = 10


@dataclass(frozen=True)
class DigitBatch:
    """One process's share of a step's digits.

    `x`: float (B, 1, H, W) in [0, 1]; `y`: int64 (B,), their labels; `step` counts from 0; `positions` are their
    places in the global batch of `size` images; `seed` is the run's; `labelled` holds the labelled ones beside them.
    """

    x: Tensor
    y: Tensor
    step: int
    positions: range
    size: int
    seed: int
    labelled: "DigitBatch | None" = None

    def generator(self, purpose: str) -> torch.Generator:
        """For draws for the whole global batch, on the CPU."""
        return draws.generator(self.seed, purpose, self.step)

    def own(self, drawn: Tensor) -> Tensor:
        """The rows of this process of what was drawn for the whole batch, on its device."""
        return drawn[self.positions.start : self.positions.stop].to(self.x.device)

    def normals(self, purpose: str, *shape: int) -> Tensor:
        """N(0, 1) noise: float (B, *shape)."""
        return self.own(torch.randn(self.size, *shape, generator=self.generator(purpose)))


class DigitBatches(Batches[DigitBatch, DigitBatch]):
    """`digits`, without regard for labels, and `labelled_batch` of the digits numbered `kept` beside them."""

    def __init__(self, digits: Digits, share: Share, *, kept: Tensor | None = None, labelled_batch: int = 1) -> None:
        self.digits, self.share, self.kept = digits, share, kept
        self.labelled_share = replace(share, batch_size=labelled_batch)
        self.fingerprints = {"digits": digits.fingerprint}
        self.summary = f"{len(digits)} digits" + (f", {len(kept)} of them labelled" if kept is not None else "")
        self.images_a_step = share.batch_size + (labelled_batch if kept is not None else 0)

    @property
    def fraction_labelled(self) -> float:
        """The share of the digits that have labels, in [0, 1]."""
        return 0.0 if self.kept is None else len(self.kept) / len(self.digits)

    def __getitem__(self, part: int) -> DigitBatch:
        batch = self.drawn(part, self.share, "digits", torch.arange(len(self.digits)))
        if self.kept is None:
            return batch
        return replace(batch, labelled=self.drawn(part, self.labelled_share, "labelled", self.kept))

    def drawn(self, part: int, share: Share, domain: str, among: Tensor) -> DigitBatch:
        step, positions = share.step(part), share.positions(part)
        rows = among[share.visited(len(among), domain, step, positions)]
        images = self.digits.images[rows].float() / 255
        return DigitBatch(images, self.digits.labels[rows], step, positions, share.batch_size, share.seed)

    def prepare(self, stored: DigitBatch, part: int, device: torch.device) -> DigitBatch:
        beside = None if stored.labelled is None else self.prepare(stored.labelled, part, device)
        return replace(
            stored,
            x=stored.x.to(device, non_blocking=True),
            y=stored.y.to(device, non_blocking=True),
            labelled=beside,
        )


def open_digits(config: DigitsConfig, split: Split) -> Digits:
    """The digits to train on, to choose hyper-parameters on, or to take figures of; raises DigitsError."""
    digits = read_digits(
        Path(config.root), config.name, "test" if split == "test" else "train", download=config.download
    )
    side = digits.images.shape[-1]
    if digits.images.shape[-2:] != (config.size, config.size):
        raise DigitsError(
            f"{config.root}: images of {digits.images.shape[-2]}×{side} pixels; {config.name}'s have "
            f"{config.size}×{config.size}"
        )
    if split == "test":
        return digits
    if config.held_out >= len(digits):
        raise DigitsError(
            f"data.held_out: expected fewer than the {len(digits)} training images, got {config.held_out}"
        )
    kept = len(digits) - config.held_out
    if split == "held_out" and not config.held_out:
        raise DigitsError("no images are held out: data.held_out is 0, and the model was trained on all")
    return digits.part(0, kept) if split == "train" else digits.part(kept, len(digits))


def open_batches(config: DigitsConfig, share: Share) -> DigitBatches:
    """The training digits, with labelled ones beside them where the config has any; raises DigitsError."""
    digits = open_digits(config, "train")
    if not isinstance(config, LabelledDigitsConfig) or not config.labelled:
        return DigitBatches(digits, share)
    parts = share.processes * share.accumulation
    if config.labelled_batch % parts:
        raise DigitsError(
            f"data.labelled_batch: {config.labelled_batch} images can't be divided over {share.processes} processes × "
            f"{share.accumulation} accumulated parts; expected a multiple of {parts}"
        )
    kept = choose_labeled(digits.labels, config.labelled, seed=share.seed)
    return DigitBatches(digits, share, kept=kept, labelled_batch=config.labelled_batch)
