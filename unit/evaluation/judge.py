"""Judging a model while it trains: one figure of it, on images that are given, not found in a folder."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from unit import draws
from unit.data.domain import Domain
from unit.evaluation.evaluate import measure
from unit.evaluation.figure import find_figure
from unit.evaluation.metric import Figures
from unit.evaluation.sets import ImageSet, TranslationSet
from unit.models.base import ImageTranslator, Model


class Judge:
    """Gives a model the figure of a name.

    Args:
        name: of the figure, as `find_figure` takes it.
        images: the images that the figure is of, by domain: `a` and `b`, or `images`.
        seen: those that are trained on, likewise, for metrics that learn.
        root: the data's folder, which messages name.
        unpaired: why images of one name are no pairs, if they are none.

    Raises:
        ValueError: an unknown name, or a figure of which neither more nor less is better.
    """

    def __init__(
        self, name: str, images: Mapping[str, Domain], seen: Mapping[str, Domain], *, root: Path, unpaired: str
    ) -> None:
        self.figure = find_figure(name)
        self.images, self.seen, self.root, self.unpaired = images, seen, root, unpaired
        self.set: TranslationSet | None = None

    def __call__(self, model: Model, device: torch.device) -> tuple[float, Figures]:
        """The figure, and the table of its metric; raises ValueError where it has none of this model and images.

        Torch's generators are as they were afterwards. A translator is moved to the device, and in the end to the CPU.
        """
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if isinstance(model, ImageTranslator):
                found = self.measure_translator(model, device)
            else:
                found = measure(ImageSet(model, self.images["images"], self.seen["images"]), [self.figure.metric])
        table = found[self.figure.metric]
        return self.figure.value(table), table

    def measure_translator(self, model: ImageTranslator, device: torch.device) -> dict[str, Figures]:
        if self.set is None:
            self.set = GivenSet(model, self.images, self.seen, root=self.root, unpaired=self.unpaired)
        self.set = self.set.with_model(model)  # for which nothing is loaded again
        self.set.translator.to(device)
        found = measure(self.set, [self.figure.metric])
        self.set.translator.to("cpu")
        return found


class GivenSet(TranslationSet):
    """A set of images that stand for testA and testB, and of those that are trained on."""

    def __init__(
        self,
        model: ImageTranslator,
        images: Mapping[str, Domain],
        seen: Mapping[str, Domain],
        *,
        root: Path,
        unpaired: str,
    ) -> None:
        super().__init__(model, root, subset=max(2, min(50, *map(len, images.values()))))
        self.domains = {f"test{key.upper()}": domain for key, domain in images.items()}
        self.domains |= {f"train{key.upper()}": domain for key, domain in seen.items()}
        self.unpaired = unpaired

    def label(self, name: str) -> str:
        return name[-1].lower()

    def paths(self, folder: str) -> list[Path]:
        return list(map(Path, self.names(folder)))

    def names(self, folder: str) -> list[str]:
        return self.domains[folder].names

    def load(self, folder: str, *, at_most: int | None = None) -> Iterator[Tensor]:
        domain = self.domains[folder]
        order = list(range(len(domain)))
        if at_most is not None and len(order) > at_most:
            order = sorted(draws.permutation(len(order), self.seed, folder)[:at_most].tolist())
        return (domain[index] for index in order)

    @cached_property
    def unpaired_because(self) -> str:
        return self.unpaired or super().unpaired_because
