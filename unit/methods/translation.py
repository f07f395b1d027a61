"""What methods of two image domains share: data, discriminators and their step, the check of sizes, sample grids."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unit.config.base import Config, ConfigError, OptimConfig, above_0, at_least, within
from unit.config.data import TwoDomainsConfig
from unit.data.batches import Batches, Shard
from unit.data.domain import Choose, Domain
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8
from unit.data.sets.prepare import draw_toymaps
from unit.data.two_domains import (
    PairedBatches,
    TranslationBatch,
    TwoDomainBatches,
    UnpairedBatches,
    center_crops,
    open_domains,
    open_split,
)
from unit.losses.gan import GanKind, discriminator_loss
from unit.memory import check_batch
from unit.methods.base import Method, Part, Phase, detached, named_domains, sum_terms
from unit.models.base import REVERSED, ImageTranslator, Model, TranslatedImages
from unit.networks.blocks import Init, Norm, Padding
from unit.networks.discriminator import DiscriminatorKind, DiscriminatorLayers

SAMPLES = 4
"""Images of each domain in a sample grid."""
MEASURED = 200
"""Images of each domain whose centers say what standardized images are."""


@dataclass(frozen=True)
class OneDiscriminatorConfig:
    """A discriminator; the defaults are those of UNIT's paper."""

    kind: DiscriminatorKind = "strided"
    """strided: convolutions of stride 2, then one of 1×1 to a logit a patch (UNIT); patchgan: convolutions of stride 2,
    one of stride 1 and one to the logits, which with 3 layers of kernel 4 see 70×70 pixels (pix2pix, CycleGAN)"""
    width: int = 64
    """channels of the first layer; each layer doubles them"""
    layers: int = 5
    """convolutions of stride 2"""
    kernel: int = 3
    """their kernel size"""
    first_kernel: int | None = None
    """kernel size of the first of them (null: the same)"""
    slope: float = 0.01
    """LeakyReLU's slope"""
    norm: Norm = "none"
    """norm after each convolution but the first and the last; batch: each image's own, as at batch size 1"""
    padding: Padding | None = None
    """what lies beyond the border (null: as model.padding says)"""
    scales: int = 1
    """how many scales the image is judged on, each at half the size of the one before"""
    spectral_norm: bool = False
    """spectral normalization of every layer"""
    init: Init | None = None
    """how its weights are drawn (null: as model.init says)"""
    weight: float = 1.0
    """factor of its loss, beside loss.gan (CycleGAN and pix2pix: ½)"""

    def __post_init__(self) -> None:
        within("discriminator.width", self.width, 1, 4096)
        within("discriminator.layers", self.layers, 1, 10)
        within("discriminator.kernel", self.kernel, 3, 7)
        if self.first_kernel is not None:
            within("discriminator.first_kernel", self.first_kernel, 3, 9)
        at_least("discriminator.slope", self.slope, 0)
        within("discriminator.scales", self.scales, 1, 10)
        above_0("discriminator.weight", self.weight)
        if self.spectral_norm and self.norm != "none":
            raise ConfigError(f"discriminator.norm: expected none with discriminator.spectral_norm, got {self.norm}")

    def options(self, *, padding: Padding, init: Init) -> dict[str, Any]:
        """The networks' keyword arguments; padding and init of the model hold where there are none here."""
        given = {name: value for name, value in asdict(self).items() if name not in ("weight", "pool")}
        return given | {"padding": self.padding or padding, "init": self.init or init}

    @property
    def count(self) -> int:
        """How many layers there are."""
        return DiscriminatorLayers(kind=self.kind, layers=self.layers).count


@dataclass(frozen=True)
class DiscriminatorConfig(OneDiscriminatorConfig):
    """The two discriminators; the defaults are those of UNIT's paper."""

    shared_layers: int = 0
    """how many of the last layers the two domains share (0: none; layers + 1, or + 2 of a patchgan: all)"""
    pool: int | None = None
    """how many earlier translations of each domain are kept, of which the discriminators judge some in place of the
    step's own (null: none; CycleGAN: 50)"""
    standardize: bool = False
    """the discriminators see images of mean 0 and deviation 1 in each channel, by the statistics of their domain's
    training images; without, one whose images are all pale, or all dark, learns late to tell two of them apart"""

    def __post_init__(self) -> None:
        super().__post_init__()
        within("discriminator.shared_layers", self.shared_layers, 0, self.count)
        if self.pool is not None:
            within("discriminator.pool", self.pool, 1, 10_000)


def sibling_optim() -> OptimConfig:
    """Adam as CycleGAN, pix2pix and CUT have it: without weight decay or a moving average."""
    return OptimConfig(lr=2e-4, weight_decay=0.0, ema=0.0)


@dataclass(frozen=True)
class TranslationConfig(Config):
    """A training on two image domains."""

    data: TwoDomainsConfig = field(default_factory=TwoDomainsConfig)

    @property
    def images(self) -> TranslatedImages:
        """What the model remembers of the images it was trained on."""
        return TranslatedImages(self.data.channels, self.data.channels_of_b, self.data.resize, self.data.size)


class TranslationMethod(Method[TranslationBatch]):
    """A method whose model is an ImageTranslator; `paired` says whether image i of a belongs to image i of b."""

    paired: ClassVar[bool] = False
    validated_on: ClassVar[int | None] = 100

    @classmethod
    def check(cls, config: Any, shard: Shard) -> None:
        check_batch(len(shard.positions(0)), (config.data.channels + config.data.channels_of_b) * config.data.size**2)

    @classmethod
    def prepare_data(cls, config: Any) -> None:
        if config.data.root is not None and None in (config.data.a, config.data.b):
            draw_toymaps(Path(config.data.root).expanduser())

    @classmethod
    def open(cls, config: Any, shard: Shard, domains: Mapping[str, Domain] | None = None) -> TwoDomainBatches:
        a, b = open_domains(config.data) if domains is None else named_domains(domains, "a", "b")
        batches = PairedBatches if cls.paired else UnpairedBatches
        return batches(a, b, config.data, shard)

    @classmethod
    def read(cls, config: Any, part: Part, choose: Choose | None = None) -> dict[str, Domain]:
        if part != "train":
            return open_split(config.data, part, choose)
        return dict(zip("ab", open_domains(config.data), strict=True))

    @torch.no_grad()
    def samples(self, model: Model, batches: Batches[Any, TranslationBatch], device: torch.device) -> Grid:
        """A row for each of a few images of both domains, its columns as `sample_columns` has them."""
        assert isinstance(model, ImageTranslator) and isinstance(batches, TwoDomainBatches)
        x_a, x_b = (to_float(x).to(device) for x in batches.centers(SAMPLES))
        columns = [column.float() for column in self.sample_columns(model, x_a, x_b)]
        widest = max(column.shape[1] for column in columns)
        columns = [column.expand(-1, widest, -1, -1) for column in columns]
        return Grid(to_uint8(torch.stack(columns, dim=1).flatten(0, 1)), len(columns))

    def sample_columns(self, model: Any, x_a: Tensor, x_b: Tensor) -> list[Tensor]:
        """For each direction images, their translations and, where there is a way back, the round trips."""
        columns = []
        for direction in model.directions:
            x = x_a if direction == "a2b" else x_b
            y = model.translate(x, direction)
            columns += [x, y]
            if REVERSED[direction] in model.directions:
                columns.append(model.translate(y, REVERSED[direction]))
        return columns


def some_images(batches: Batches[Any, TranslationBatch]) -> tuple[Tensor, Tensor]:
    """Centers of training images of both domains, evenly spaced in the folders: float (n, C, size, size) in [-1, 1],
    of n = MEASURED images or of all, where there are fewer."""
    assert isinstance(batches, TwoDomainBatches)
    size, (a, b) = batches.config.size, (batches.a, batches.b)
    x_a, x_b = (to_float(center_crops(domain, min(MEASURED, len(domain)), size)) for domain in (a, b))
    return x_a, x_b


def check_pool(pool: int | None, batch_size: int) -> None:
    """Raise ConfigError for a pool that is smaller than a batch."""
    if pool is not None and pool < batch_size:
        raise ConfigError(f"discriminator.pool: expected at least train.batch_size {batch_size}, got {pool}")


def discriminator_phase(
    discriminators: nn.Module,
    real: tuple[Tensor, Tensor],
    fake: tuple[Tensor, Tensor],
    *,
    kind: GanKind,
    weight: float = 1.0,
) -> Phase:
    """−GAN of both domains, times the weight: real images (a, b) against translations (to a, to b), which are detached,
    judged in one pass through each discriminator."""
    (x_a, x_b), (n_a, n_b) = real, (len(x) for x in real)
    logits_a, logits_b = discriminators(torch.cat([x_a, fake[0].detach()]), torch.cat([x_b, fake[1].detach()]))
    terms = {
        "discriminator_a": discriminator_loss([y[:n_a] for y in logits_a], [y[n_a:] for y in logits_a], kind),
        "discriminator_b": discriminator_loss([y[:n_b] for y in logits_b], [y[n_b:] for y in logits_b], kind),
    }
    return Phase("discriminators", weight * sum_terms(terms), detached(terms))


def check_size(networks: Iterable[nn.Module], images: TranslatedImages) -> None:
    """Raise ConfigError unless the networks of both domains can take images of the training size.

    The networks are called on the meta device, as `network(x_a, x_b)`: nothing is computed.
    """
    size = images.size
    x_a, x_b = (torch.empty(1, images.channels(domain), size, size, device="meta") for domain in "ab")
    with refusing_size(size):
        for network in networks:
            copy.deepcopy(network).to("meta").eval()(x_a, x_b)


@contextmanager
def refusing_size(size: int) -> Iterator[None]:
    """Turn what networks raise for images that are too small into a ConfigError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"data.size: {size} is too small for these networks ({error})") from error
