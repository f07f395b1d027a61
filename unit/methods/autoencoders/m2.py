"""M2: a VAE with the label as a second, partly observed code (Kingma et al. 2014, sections 3.1.2 and 3.2).

Notation: L(x, y) and U(x) are the bounds of images with and without a label (models/m2.py). ρ weights L of the labeled
images: in the paper it is their share of all; more of it ties each label to its class sooner.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from unit import draws
from unit.config.base import above_0
from unit.data.batches import Batches
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8
from unit.data.labeled import ImageBatch, ImageBatches
from unit.methods.autoencoders.base import (
    SAMPLES,
    ImageMethod,
    SemiSupervisedConfig,
    read_shape,
    with_noise,
)
from unit.methods.base import Phase, detached
from unit.models.base import Model
from unit.models.m2 import Bounds, Labeled, M2Model, M2ModelConfig, M2NetsConfig


@dataclass(frozen=True)
class M2MethodConfig(M2NetsConfig):
    """M2's networks, and the weights of its objective."""

    rho: float | None = None
    """weight of the labeled images' bound, averaged over them (null: their share of the images, as in the paper)"""
    classification: float = 0.1
    """α over the number of images: weight of the labeled images' cross-entropy, averaged over them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self.rho, self.classification)


def check_weights(rho: float | None, classification: float) -> None:
    """Raise ConfigError for weights that are not above 0."""
    if rho is not None:
        above_0("model.rho", rho)
    above_0("model.classification", classification)


@dataclass(frozen=True)
class M2Config(SemiSupervisedConfig):
    """M2: a VAE with the label as a second, partly observed code (Kingma et al. 2014)."""

    method: ClassVar[str] = "m2"
    model: M2MethodConfig = field(default_factory=M2MethodConfig)


class M2(ImageMethod):
    """U of all images + ρ·L of the labeled ones + their cross-entropy, weighted, each averaged over its images."""

    Config = M2Config
    labels_needed = True

    def __init__(self, config: M2Config, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        assert isinstance(batches, ImageBatches)
        nets = M2NetsConfig(**{field.name: getattr(config.model, field.name) for field in fields(M2NetsConfig)})
        self.model = self.network = M2Model(M2ModelConfig(read_shape(batches), nets))
        self.networks = {"model": self.network}
        self.fraction_labeled = batches.fraction_labeled

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of all networks."""
        latent = self.config.model.latent
        seen = with_noise(batch, self.config.model).flatten(1)
        labeled = None
        if (known := batch.labeled) is not None:
            labeled = Labeled(
                known.intensities.flatten(1),
                with_noise(known, self.config.model, "labelled noise").flatten(1),
                known.y,
                known.normals("labelled latent", latent),
            )
        bounds = wrapped["model"](batch.intensities.flatten(1), seen, batch.normals("latent", latent), labeled)
        yield m2_phase("model", bounds, self.config.model, self.fraction_labeled)

    @torch.no_grad()
    def samples(self, model: Model, batches: Batches[Any, ImageBatch], device: torch.device) -> Grid:
        """Images; their reconstructions with the label that the classifier gives; drawn styles of every class."""
        assert isinstance(model, M2Model) and isinstance(batches, ImageBatches)
        return conditional_samples(model, model.images.classes, batches, device)


class Weights(Protocol):
    """The weights of M2's objective."""

    @property
    def rho(self) -> float | None: ...
    @property
    def classification(self) -> float: ...


def m2_phase(optimizer: str, bounds: Bounds, weights: Weights, fraction_labeled: float) -> Phase:
    """The objective of M2 from the bounds of a batch (equation 9)."""
    terms = {"unlabeled": bounds.unlabeled.mean()}
    loss = terms["unlabeled"]
    if bounds.labeled is not None and bounds.classification is not None:
        terms |= {"labeled": bounds.labeled.mean(), "classification": bounds.classification.mean()}
        rho = fraction_labeled if weights.rho is None else weights.rho
        loss = loss + rho * terms["labeled"] + weights.classification * terms["classification"]
    return Phase(optimizer, loss, detached(terms))


class Conditional(Protocol):
    """A network that names the class of an image and separates it from its style."""

    latent: int

    def classify(self, x: Tensor) -> Tensor: ...
    def code(self, x: Tensor, y: Tensor) -> Tensor: ...
    def image(self, z: Tensor, y: Tensor) -> Tensor: ...


def conditional_samples(model: Conditional, classes: int, batches: ImageBatches, device: torch.device) -> Grid:
    """Images; their reconstructions with the label that the classifier gives; drawn styles of every class."""
    x = to_float(batches.images.tensor[:SAMPLES]).to(device)
    y = model.classify(x).argmax(1)
    z = torch.randn(len(x), model.latent, generator=draws.generator(0, "samples")).to(device)
    drawn = model.image(z, torch.arange(len(x), device=device) % classes)
    return Grid(to_uint8(torch.cat([x, model.image(model.code(x, y), y), drawn])), len(x))
