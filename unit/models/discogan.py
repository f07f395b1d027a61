"""DiscoGAN's translator: a generator each way, with batch norm."""

from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from torch import Tensor

from unit.config.base import ConfigError, within
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.networks.discogan import DiscoGenerator


@dataclass(frozen=True)
class DiscoModelConfig:
    """The two generators; the defaults are the paper's for images of 64×64."""

    width: int = 64
    """channels of the first layer; each down-sampling after it doubles them"""
    downsamplings: int = 4
    """convolutions of stride 2"""
    deep: bool = False
    """the deeper variant, whose code is 100 channels of 1×1 for images of 64×64"""
    group: int = 64
    """how many images of a batch have the batch norms' statistics, and the mean features that are matched, in common;
    a process's part of a batch is a multiple of it"""

    def __post_init__(self) -> None:
        within("model.width", self.width, 1, 4096)
        within("model.downsamplings", self.downsamplings, 2, 10)
        if self.group < 2:
            raise ConfigError(f"model.group: expected at least 2 images, got {self.group}")

    @property
    def stride(self) -> int:
        """Sides of images are multiples of this."""
        return (4 if self.deep else 1) << self.downsamplings


@dataclass(frozen=True)
class DiscoTranslatorConfig:
    """What a DiscoGAN translator is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: DiscoModelConfig = field(default_factory=DiscoModelConfig)


class RoundTrips(NamedTuple):
    """Translations and round trips: float (B, C, H, W) in [-1, 1]."""

    x_ab: Tensor
    x_ba: Tensor
    x_aba: Tensor | None = None
    x_bab: Tensor | None = None


class DiscoTranslator(ImageTranslator, name="discogan"):
    """G_ab and G_ba."""

    Config = DiscoTranslatorConfig
    config: DiscoTranslatorConfig

    def __init__(self, config: DiscoTranslatorConfig) -> None:
        super().__init__()
        self.config, self.images = config, config.images
        model, (a, b) = config.model, (config.images.channels_a, config.images.channels_b)
        self.a2b = DiscoGenerator(a, b, **asdict(model))
        self.b2a = DiscoGenerator(b, a, **asdict(model))

    @property
    def stride(self) -> int:
        return self.config.model.stride

    @property
    def floats_per_pixel(self) -> float:
        """As counted: the layers of half the images' size, and the images."""
        return 1.0 * self.config.model.width + 20

    def forward(self, x_a: Tensor, x_b: Tensor, round_trips: bool = True) -> RoundTrips:
        x_ab, x_ba = self.a2b(x_a), self.b2a(x_b)
        return RoundTrips(x_ab, x_ba, self.b2a(x_ab), self.a2b(x_ba)) if round_trips else RoundTrips(x_ab, x_ba)

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        image: Tensor = (self.a2b if direction == "a2b" else self.b2a)(x)
        return image
