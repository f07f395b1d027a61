"""Images that a generative model draws: codes of its prior, decoded."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot

from unit import draws
from unit.core.prior import Prior
from unit.data.images import clear_partials, to_uint8, write_image
from unit.inference.translator import default_device, move, to_pil
from unit.models.autoencoder import ImageAutoencoder
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder
from unit.models.folder import load_model
from unit.models.m1 import M1Model
from unit.models.m1m2 import M1M2Model
from unit.models.m2 import M2Model

BATCH = 100
"""Images that are drawn at once."""
MOST, LARGEST = 10**6, 8192
"""Images that are drawn at most, and their largest side."""


@dataclass(frozen=True)
class Drawing:
    """How a model draws: its prior, its image of codes (B, d) and labels (B,), and how many labels there are to choose
    from (0: none): the classes, or the categories, or the parts of the prior."""

    prior: Prior
    image: Callable[[Tensor, Tensor], Tensor]
    labels: int
    at: Callable[[Tensor, Tensor, int], Tensor] | None = None
    """the image at a given size, of models that draw at any"""

    def label(self, number: int, wanted: int | None) -> int:
        """The label that is wanted, or all in turn."""
        return number % max(1, self.labels) if wanted is None else wanted

    def code(self, number: int, label: int, seed: int) -> Tensor:
        """The code of that number, a function of (seed, number): (1, d)."""
        of_part = torch.tensor([label]) if self.prior.labels else None
        return self.prior.sample(1, draws.generator(seed, "sample", number), of_part)


def drawing_of(model: Model) -> Drawing:
    """How the model draws; raises ValueError for one that has no prior."""
    match model:
        case ImageAutoencoder():
            labels = model.images.classes if model.labels != "none" else model.prior.labels
            at = (lambda z, y, size: model.image(z, y, size=size)) if model.any_size else None
            return Drawing(model.prior, model.image, labels, at)
        case M1Model():
            return drawing_of(model.vae)
        case M2Model() | M1M2Model():
            return Drawing(model.m2.prior, model.image, model.images.classes)
        case CategoricalAutoencoder():
            categories = model.config.model.categories
            return Drawing(model.style_prior, lambda z, y: model.image(one_hot(y, categories).float(), z), categories)
    raise ValueError(f"a model {model.name} has no prior to draw from; expected an autoencoder")


class Sampler:
    """A model that is ready to draw.

    Args:
        model: an autoencoder's folder, a run's, or one of a run's checkpoints.
        label: of models whose decoder takes a label, or whose code has categories or a prior in parts: which, from 0;
            by default all in turn.
        seed: of the draws.
        size: side of the images, in pixels, of a decoder of coordinates; by default that of the training's.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Raises what `sample` does.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        label: int | None = None,
        seed: int = 0,
        size: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.model = load_model(model)
        self.drawing = drawing_of(self.model)
        self.wanted, self.seed, self.size = label, seed, size
        self.device = default_device() if device is None else device
        if size is not None and self.drawing.at is None:
            raise ValueError(f"size: this model {self.model.name} draws at one size alone; expected none, got {size}")
        if size is not None and not 1 <= size <= LARGEST:
            raise ValueError(f"size: expected 1 to {LARGEST}, got {size}")
        labels = self.drawing.labels
        if label is not None and not labels:
            raise ValueError(f"label: this model {self.model.name} draws without labels; expected none, got {label}")
        if label is not None and not 0 <= label < labels:
            raise ValueError(f"label: expected 0 to {labels - 1}, got {label}")
        move(self.model, self.device)

    def name(self, number: int) -> str:
        """000013.png; of a model with labels, 3-000013.png."""
        label = f"{self.drawing.label(number, self.wanted)}-" if self.drawing.labels else ""
        return f"{label}{number:06d}.png"

    @torch.inference_mode()
    def draw(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """The images of these numbers, each a function of (seed, number): uint8 (C, H, W) on the CPU."""
        together = BATCH if self.size is None else 1
        for start in range(0, len(numbers), together):
            some = numbers[start : start + together]
            labels = [self.drawing.label(number, self.wanted) for number in some]
            codes = [self.drawing.code(n, y, self.seed) for n, y in zip(some, labels, strict=True)]
            z, y = torch.cat(codes).to(self.device), torch.tensor(labels, device=self.device)
            at, size = self.drawing.at, self.size
            yield from to_uint8(self.drawing.image(z, y) if at is None or size is None else at(z, y, size)).cpu()


def sample(
    model: str | Path,
    count: int = 16,
    *,
    label: int | None = None,
    seed: int = 0,
    size: int | None = None,
    device: torch.device | str | None = None,
) -> list[Image.Image]:
    """Images of codes that are drawn from a model's prior.

    Image number n is a function of the seed and n: if more are drawn, the first ones stay.

    Args:
        model: an autoencoder's folder, a run's, or one of a run's checkpoints.
        count: how many.
        label: of models whose decoder takes a label, or whose code has categories or a prior in parts: which, from 0;
            by default all in turn.
        seed: of the draws.
        size: side of the images, in pixels, of a decoder of coordinates (`model.decoder: coordinates`), which draws at
            any; by default that of the training's.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Returns:
        PIL images, L or RGB.

    Raises:
        FileNotFoundError, CheckpointError: there is no model, or it is damaged.
        ValueError: a model without a prior, or a count, label, size or device that it can't draw.

    Example:
        >>> unit.sample("runs/mnist_vae", 2)[0].size
        (28, 28)
    """
    check_count(count)
    sampler = Sampler(model, label=label, seed=seed, size=size, device=device)
    return [to_pil(image) for image in sampler.draw(range(count))]


def check_count(count: int) -> None:
    """Raise ValueError for a number of images that can't be drawn."""
    if not 1 <= count <= MOST:
        raise ValueError(f"count: expected 1 to {MOST}, got {count}")


@dataclass
class SampleReport:
    """Which images were written, and which were left alone because they were there."""

    written: list[Path] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} images drawn"]
        if self.existing:
            lines.append(f"{len(self.existing)} were there already and were left alone (--overwrite replaces them)")
        return "\n".join(lines)


def write_samples(sampler: Sampler, output: Path, count: int, *, overwrite: bool = False) -> SampleReport:
    """Write the first `count` images into a folder, each under its number and label.

    Raises NotADirectoryError where the folder is a file, and what `sample` does for the count.
    """
    check_count(count)
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the images")
    report, todo = SampleReport(), []
    for number in range(count):
        there = os.path.lexists(output / sampler.name(number))
        if there and not overwrite:
            report.existing.append(output / sampler.name(number))
        else:
            todo.append(number)
    output.mkdir(parents=True, exist_ok=True)
    clear_partials([output])
    for number, image in zip(todo, sampler.draw(todo), strict=True):
        write_image(output / sampler.name(number), image)
        report.written.append(output / sampler.name(number))
    return report
