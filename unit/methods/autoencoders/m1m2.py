"""M1+M2: M2 of the codes of M1 (Kingma et al. 2014, section 3.1).

The two learn side by side, and M2's loss does not reach M1. M2 may begin when M1's codes have settled, for it keeps the
classes that it found in early ones. M1's KL divergence may be weighted by β (Higgins et al. 2017): codes of the bound
itself are so near to N(0, I) that there is little left for M2 to find.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unit.config.base import above_0, at_least
from unit.core.regularizer import KL
from unit.data.batches import Batches
from unit.data.grid import Grid
from unit.data.labeled import ImageBatch, ImageBatches
from unit.methods.autoencoders.base import SemiSupervisedConfig, read_shape
from unit.methods.autoencoders.m2 import check_weights, conditional_samples, m2_phase
from unit.methods.autoencoders.vae import BoundMethod
from unit.methods.base import OptimizerGroup, Phase
from unit.models.base import Model
from unit.models.m1m2 import M1M2Model, M1M2ModelConfig, M1M2NetsConfig
from unit.models.m2 import Labeled


@dataclass(frozen=True)
class M1M2MethodConfig(M1M2NetsConfig):
    """M1's VAE and M2 of its codes, and how they are trained."""

    m2_noise: float = 0.0
    """standard deviation of Gaussian noise on the codes that M2's classifier learns from (0: none)"""
    beta: float = 1.0
    """weight of the KL divergence in M1's bound: below 1, codes keep more of the image, and of its cluster"""
    head_start: int = 0
    """steps that M1 learns alone before M2 begins beside it"""
    rho: float | None = None
    """weight of the labeled images' bound, averaged over them (null: their share of the images, as in the paper)"""
    classification: float = 0.1
    """α over the number of images: weight of the labeled images' cross-entropy, averaged over them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("model.m2_noise", self.m2_noise, 0)
        above_0("model.beta", self.beta)
        at_least("model.head_start", self.head_start, 0)
        check_weights(self.rho, self.classification)


@dataclass(frozen=True)
class M1M2Config(SemiSupervisedConfig):
    """M1+M2: M2 of the codes of M1 (Kingma et al. 2014)."""

    method: ClassVar[str] = "m1m2"
    model: M1M2MethodConfig = field(default_factory=M1M2MethodConfig)


class M1M2(BoundMethod):
    """M1's bound; then M2's objective for codes drawn from q(z₁|x)."""

    Config = M1M2Config
    labels_needed = True

    def __init__(self, config: M1M2Config, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        assert isinstance(batches, ImageBatches)
        nets = M1M2NetsConfig(**{field.name: getattr(config.model, field.name) for field in fields(M1M2NetsConfig)})
        self.network = M1M2Model(M1M2ModelConfig(read_shape(batches), nets))
        self.use(self.network, self.network.vae)
        self.networks["m2"] = self.network.m2
        self.regularizer = KL(config.model.beta)
        self.fraction_labeled = batches.fraction_labeled

    @torch.no_grad()
    def samples(self, model: Model, batches: Batches[Any, ImageBatch], device: torch.device) -> Grid:
        """Images; their reconstructions with the label that the classifier gives; drawn styles of every class."""
        assert isinstance(model, M1M2Model) and isinstance(batches, ImageBatches)
        return conditional_samples(model, model.images.classes, batches, device)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        return super().optimizers | {"m2": OptimizerGroup(("m2",))}

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """One step of M1; one of M2 after M1's head start."""
        yield self.bound(wrapped, batch)
        settings = self.config.model
        if batch.step < settings.head_start:
            return
        first, second = settings.latent, settings.m2_latent
        known = batch.labeled
        with torch.no_grad():
            z = self.network.vae.encode(batch.intensities).sample(batch.normals("code", first))
            if known is not None:
                z_l = self.network.vae.encode(known.intensities).sample(known.normals("labelled code", first))
        labeled = None
        if known is not None:
            seen_l = self.noisy_code(z_l, known, "labelled code noise")
            labeled = Labeled(z_l, seen_l, known.y, known.normals("labelled latent", second))
        seen = self.noisy_code(z, batch, "code noise")
        bounds = wrapped["m2"](z, seen, batch.normals("m2 latent", second), labeled)
        yield m2_phase("m2", bounds, settings, self.fraction_labeled)

    def noisy_code(self, z: Tensor, batch: ImageBatch, purpose: str) -> Tensor:
        """The codes with noise, as the classifier sees them."""
        noise = self.config.model.m2_noise
        return z + noise * batch.normals(purpose, self.config.model.latent) if noise else z
