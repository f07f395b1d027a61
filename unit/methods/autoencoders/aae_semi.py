"""Semi-supervised AAE: the encoder gives a category and a style, each with a discriminator of its own (Makhzani et al.
2016, section 5). Without labels it clusters (section 6, aae_cluster.py).

Notation: y is the category's probabilities (B, K), z the style (B, d). With `heads` the decoder gets one point of few
dimensions, y's learned point plus z (section 7).

Three things are not in the paper. With `smoothness` the categories are to be the same all around an image: virtual
adversarial training (Miyato et al., Virtual Adversarial Training, 2018), and with `warp` under small affine maps too.
With `balance` they are to be used alike, which a discriminator that sees one code at a time brings about unsteadily.
With `normalized` the encoder's images are centered and its layers normalized: only so do smooth clusters form.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit.config.base import MAX_WIDTH, Config, ConfigError, above_0, at_least, within
from unit.config.data import LabeledImagesConfig
from unit.core.regularizer import Adversarial, imbalance_in_groups
from unit.data.augmentation import warp
from unit.data.batches import Batches, DataError, Shard
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8
from unit.data.labeled import ImageBatch, ImageBatches
from unit.losses.gan import generator_loss
from unit.methods.autoencoders.base import (
    AdversarialConfig,
    ImageMethod,
    code_discriminator_phase,
    read_shape,
    require_labels,
    with_noise,
)
from unit.methods.base import OptimizerGroup, Phase, check_groups, detached, sum_terms
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder, CategoricalAutoencoderConfig, CategoricalConfig, Code
from unit.networks.codes import Centered, vector_discriminators


@dataclass(frozen=True)
class CategoricalAAEConfig(AdversarialConfig):
    """An AAE whose code is a category and a style."""

    latent: int = 10
    categories: int = 10
    """how many categories: the classes, or clusters"""
    discriminator_noise: float = 0.0
    """standard deviation of noise on the categories that the discriminator sees, so that it can't tell one-hot samples
    of the prior from probabilities by their being exactly 0 and 1"""
    discriminator_noise_end: float | None = None
    """what discriminator_noise comes to, linearly, at the end of the training: much noise keeps all categories in use,
    little makes them sure (null: it stays)"""
    classification: float = 1.0
    """weight of the labeled images' cross-entropy with model.combined (else it has a step of its own)"""
    smoothness: float = 0.0
    """weight of virtual adversarial training: an image's categories are to stay the same under the change of the image
    that changes them most; needs model.combined (0: none)"""
    radius: float = 1.0
    """length of that change, as a vector of pixels in [0, 1]"""
    warp: float = 0.0
    """strength of a random affine map under which, with that change, the categories are to stay the same: standard
    deviation of its angle in radians and of its shear, with half as much stretch (0: none)"""
    balance: float = 0.0
    """weight of the KL divergence between the mean of the images' categories and equal shares, which keeps all
    categories in use; needs model.combined (0: none)"""
    group: int = 100
    """that mean is over groups of this many images; a process's micro-batch must hold whole groups"""
    normalized: bool = False
    """the encoder is a perceptron with layer normalization, and sees images less the mean of all training images"""
    heads: float = 0.0
    """dimensionality reduction: the code is a learned point of each category plus the style, and points nearer to one
    another than this are driven apart (0: category and style side by side)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("model.categories", self.categories, 2, MAX_WIDTH)
        at_least("model.discriminator_noise", self.discriminator_noise, 0)
        if self.discriminator_noise_end is not None:
            at_least("model.discriminator_noise_end", self.discriminator_noise_end, 0)
        at_least("model.heads", self.heads, 0)
        above_0("model.classification", self.classification)
        at_least("model.smoothness", self.smoothness, 0)
        above_0("model.radius", self.radius)
        at_least("model.warp", self.warp, 0)
        at_least("model.balance", self.balance, 0)
        at_least("model.group", self.group, 2)
        for key, value, needed in (
            ("smoothness", self.smoothness, "combined"),
            ("balance", self.balance, "combined"),
            ("warp", self.warp, "smoothness"),
        ):
            if value and not getattr(self, needed):
                raise ConfigError(f"model.{key}: expected 0 without model.{needed}, got {value}")
        if self.normalized and self.architecture != "mlp":
            raise ConfigError(f"model.normalized: expected false with model.architecture {self.architecture}, got true")


@dataclass(frozen=True)
class SemiAAEConfig(Config):
    """A semi-supervised AAE: categories are classes, learned from the labeled images (section 5)."""

    method: ClassVar[str] = "aae_semi"

    data: LabeledImagesConfig = field(default_factory=LabeledImagesConfig)
    model: CategoricalAAEConfig = field(default_factory=CategoricalAAEConfig)

    def __post_init__(self) -> None:
        require_labels(self.data)


class SemiAAE(ImageMethod):
    """−log p(x|y, z) in one step, BCE of both discriminators in the next, fooling them in the third, and the labeled
    images' cross-entropy in the last; `combined` > 0 puts all but the second into one step."""

    Config: ClassVar[type[Any]] = SemiAAEConfig
    supervised = True
    labels_needed = True

    def __init__(self, config: Any, batches: Batches[Any, ImageBatch]) -> None:
        super().__init__(config, batches)
        self.settings = settings = config.model
        images = read_shape(batches)
        if self.supervised and settings.categories != images.classes:
            raise DataError(
                f"model.categories: expected {images.classes}, one for each class, got {settings.categories}"
            )
        nets = CategoricalConfig(
            **settings.nets(),
            categories=settings.categories,
            heads=settings.heads,
            normalized=settings.normalized,
            supervised=self.supervised,
        )
        self.model = self.network = CategoricalAutoencoder(CategoricalAutoencoderConfig(images, nets))
        self.discriminator = vector_discriminators(
            [settings.categories, settings.latent], hidden=settings.discriminator
        )
        self.adversary = Adversarial(self.discriminator, settings.combined)
        self.networks = {
            "encoder": self.network.encoder,
            "decoder": self.network.decoder,
            "discriminator": self.discriminator,
        }
        for module in self.network.encoder.modules():
            if isinstance(module, Centered) and not module.mean.is_meta:
                assert isinstance(batches, ImageBatches)
                module.mean.copy_(batches.images.tensor.sum(0) / (255 * len(batches.images)))

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        super().check(config, shard)
        if config.model.balance:
            check_groups(shard, config.model.group)

    @property
    def optimizers(self) -> dict[str, OptimizerGroup]:
        groups = {
            "autoencoder": OptimizerGroup(("encoder", "decoder")),
            "discriminator": OptimizerGroup(("discriminator",), self.settings.discriminator_lr),
        }
        if not self.settings.combined:
            groups["encoder"] = OptimizerGroup(("encoder",))
            if self.supervised:
                groups["classifier"] = OptimizerGroup(("encoder",))
        return groups

    def encode(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, purpose: str = "noise") -> Code:
        return self.network.split(wrapped["encoder"](with_noise(batch, self.settings, purpose)))

    def phases(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, *, recompute: bool) -> Iterator[Phase]:
        """Reconstruction, discriminators, encoder (as often as the config says), classifier.

        Combined: discriminators, and then all that the encoder learns.
        """
        combined = self.settings.combined
        if not combined:
            yield self.reconstruction_phase(wrapped, batch)
        with torch.no_grad():
            code = self.encode(wrapped, batch)
        self.discriminator.requires_grad_(True)
        codes = self.discriminator_inputs(batch, code, "codes")
        yield code_discriminator_phase(self.adversary, wrapped["discriminator"], self.real_codes(batch), codes)
        self.discriminator.requires_grad_(False)
        if combined:
            yield self.combined_phase(wrapped, batch, code.y)
            return
        for number in range(self.settings.generator_steps):
            terms = self.generator_terms(batch, self.encode(wrapped, batch), f"fooling {number}")
            yield Phase("encoder", sum_terms(terms), detached(terms))
        if self.supervised:
            assert batch.labeled is not None
            logits = self.encode(wrapped, batch.labeled, "labelled noise").logits
            loss = F.cross_entropy(logits, batch.labeled.y)
            yield Phase("classifier", loss, {"classification": loss.detach()})

    def reconstruction_phase(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch) -> Phase:
        terms = self.reconstruction(wrapped, batch, self.encode(wrapped, batch))
        return Phase("autoencoder", sum_terms(terms), detached(terms))

    def combined_phase(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, y: Tensor) -> Phase:
        """All that the encoder learns, with the config's weights, in one pass through it; y are the batch's categories,
        without their graph."""
        settings, known = self.settings, batch.labeled
        x = with_noise(batch, settings)
        seen = [x]
        if settings.smoothness:
            changed = x + self.perturbation(x, y, batch.normals("perturbation", *x.shape[1:]))
            seen.append(warp(changed, settings.warp, batch.normals("warp", 6)) if settings.warp else changed)
        if known is not None:
            seen.append(with_noise(known, settings, "labelled noise"))
        codes = [self.network.split(part) for part in wrapped["encoder"](torch.cat(seen)).split([*map(len, seen)])]
        terms = self.reconstruction(wrapped, batch, codes[0])
        code_gan = self.generator_terms(batch, codes[0], "fooling")
        loss = sum_terms(terms) + settings.combined * sum_terms(code_gan)
        terms |= code_gan
        if settings.balance:
            terms["imbalance"] = imbalance_in_groups(codes[0].y, settings.group)
            loss = loss + settings.balance * terms["imbalance"]
        if settings.smoothness:
            terms["smoothness"] = divergence(y, codes[1].logits)
            loss = loss + settings.smoothness * terms["smoothness"]
        if known is not None:
            terms["classification"] = F.cross_entropy(codes[-1].logits, known.y)
            loss = loss + settings.classification * terms["classification"]
        return Phase("autoencoder", loss, detached(terms))

    def reconstruction(self, wrapped: Mapping[str, nn.Module], batch: ImageBatch, code: Code) -> dict[str, Tensor]:
        terms = {
            "reconstruction": self.network.likelihood.nll(batch.intensities, wrapped["decoder"](code.y, code.z)).mean()
        }
        heads = self.network.decoder.heads
        if heads is not None:
            terms["heads"] = closeness(heads.weight.T, self.settings.heads)
        return terms

    def perturbation(self, x: Tensor, y: Tensor, normals: Tensor) -> Tensor:
        """For each image the change of length `radius` that changes its categories y most: radius · g/‖g‖, where g is
        the divergence's gradient at a random change of that length (Miyato et al. 2018, equations 8 to 12)."""
        radius, encoder = self.settings.radius, self.network.encoder
        r = (radius * direction(normals)).requires_grad_()
        encoder.requires_grad_(False)
        (gradient,) = torch.autograd.grad(len(x) * divergence(y, self.network.split(encoder(x + r)).logits), r)
        encoder.requires_grad_(True)
        change: Tensor = radius * direction(gradient)
        return change

    def generator_terms(self, batch: ImageBatch, code: Code, purpose: str) -> dict[str, Tensor]:
        of_y, of_z = self.discriminator(*self.discriminator_inputs(batch, code, purpose))
        return {"code_gan_category": generator_loss([of_y], "bce"), "code_gan_style": generator_loss([of_z], "bce")}

    def discriminator_inputs(self, batch: ImageBatch, code: Code, purpose: str) -> list[Tensor]:
        """What the discriminators see of a code."""
        return [self.with_category_noise(batch, code.y, purpose), code.z]

    def real_codes(self, batch: ImageBatch) -> list[Tensor]:
        """Samples of both priors."""
        categories = self.network.category_prior.sample(batch.size, batch.generator("category"))
        styles = self.network.style_prior.sample(batch.size, batch.generator("style"))
        return [self.with_category_noise(batch, batch.take_rows(categories), "categories"), batch.take_rows(styles)]

    def with_category_noise(self, batch: ImageBatch, y: Tensor, purpose: str) -> Tensor:
        """Categories with the noise of `discriminator_noise`."""
        sd, end = self.settings.discriminator_noise, self.settings.discriminator_noise_end
        if end is not None:
            sd += (end - sd) * batch.step / self.config.train.steps
        return y + sd * batch.normals(f"judge {purpose}", y.shape[1]) if sd else y

    @torch.no_grad()
    def samples(self, model: Model, batches: Batches[Any, ImageBatch], device: torch.device) -> Grid:
        """Images, their reconstructions, and each category's image of style 0."""
        assert isinstance(model, CategoricalAutoencoder) and isinstance(batches, ImageBatches)
        categories = self.settings.categories
        rows = torch.arange(categories) % len(batches.images)
        x = to_float(batches.images.tensor[rows]).to(device)
        code = model.code(x)
        heads = model.image(torch.eye(categories, device=device), torch.zeros_like(code.z))
        return Grid(to_uint8(torch.cat([x, model.image(code.y, code.z), heads])), categories)


def divergence(y: Tensor, logits: Tensor) -> Tensor:
    """KL(y ‖ softmax of the logits), both (B, K), averaged over the images: a scalar."""
    return F.kl_div(logits.log_softmax(1), y, reduction="batchmean")


def direction(x: Tensor) -> Tensor:
    """Images (B, …) scaled to length 1; those of length 0 stay."""
    return F.normalize(x.flatten(1)).view_as(x)


def closeness(points: Tensor, threshold: float) -> Tensor:
    """Σ max(0, threshold − ‖wᵢ − wⱼ‖) over the pairs of points (K, d): a scalar (section 7)."""
    pairs = list(itertools.combinations(range(len(points)), 2))
    first, second = (points[list(side)] for side in zip(*pairs, strict=True))
    distances: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return (threshold - distances).clamp(min=0).sum()
