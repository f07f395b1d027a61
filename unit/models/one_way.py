"""Translators of one direction: pix2pix's U-Net and CUT's residual network."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from unit import draws
from unit.config.base import fraction, within
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.networks.blocks import Init, initialize
from unit.networks.dropout import dropping
from unit.networks.resnet import ResnetGenerator
from unit.networks.unet import UNet


class OneWayTranslator(ImageTranslator):
    """A generator from the one domain to the other; `directions` has the one direction."""

    generator: nn.Module

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, self.images = config, config.images
        self.directions = (config.model.direction,)
        self.generator = self.build(*self.channels)
        initialize(self.generator, config.model.init)

    @abstractmethod
    def build(self, channels_in: int, channels_out: int) -> nn.Module:
        """The generator, before its weights are drawn."""

    @property
    def channels(self) -> tuple[int, int]:
        """Of the images that go in and of those that come out."""
        (direction,) = self.directions
        return self.in_channels(direction), self.out_channels(direction)


@dataclass(frozen=True)
class UNetConfig:
    """The U-Net; the defaults are pix2pix's for images of 256×256."""

    direction: Direction = "a2b"
    """which way it translates"""
    width: int = 64
    """channels of the first layer; each down-sampling doubles them, up to 8 times"""
    downsamplings: int = 8
    """convolutions of stride 2; sides of images are multiples of 2 to this power"""
    dropout: float = 0.5
    """probability with which deep layers of the way up drop each number, the only noise there is"""
    dropped_layers: int = 3
    """how many layers after the innermost do so"""
    init: Init = "normal"
    """weights from N(0, 0.02²), Kaiming's, or Xavier's normal distribution times 0.02"""

    def __post_init__(self) -> None:
        within("model.width", self.width, 1, 4096)
        within("model.downsamplings", self.downsamplings, 2, 12)
        fraction("model.dropout", self.dropout)
        within("model.dropped_layers", self.dropped_layers, 0, self.downsamplings - 2)


@dataclass(frozen=True)
class UNetTranslatorConfig:
    """What a U-Net translator is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: UNetConfig = field(default_factory=UNetConfig)


class UNetTranslator(OneWayTranslator, name="unet"):
    """pix2pix's generator: (B, C, H, W) → (B, C', H, W) in [-1, 1]."""

    Config = UNetTranslatorConfig
    config: UNetTranslatorConfig

    def build(self, channels_in: int, channels_out: int) -> nn.Module:
        model = self.config.model
        return UNet(
            channels_in,
            channels_out,
            width=model.width,
            downsamplings=model.downsamplings,
            dropout=model.dropout,
            dropped=model.dropped_layers,
        )

    @property
    def stride(self) -> int:
        return 1 << self.config.model.downsamplings

    @property
    def floats_per_pixel(self) -> float:
        """As counted: the skips, and the two outermost layers of the way up."""
        return 2.0 * self.config.model.width + 20

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.generator(x)
        return image

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        """Dropout stays on, as in the paper, with one mask for all images: each is translated as it is alone."""

        def draw(shape: tuple[int, ...], key: str) -> Tensor:
            return draws.normals(shape[1:], "dropout of a translation", key, positions=range(1), device=x.device)

        with dropping(self, draw):
            image: Tensor = self.generator(x)
        return image


@dataclass(frozen=True)
class ResnetConfig:
    """The residual network; the defaults are CUT's."""

    direction: Direction = "a2b"
    """which way it translates"""
    width: int = 64
    """channels of the first layer; each of the two down-samplings doubles them"""
    blocks: int = 9
    """residual blocks"""
    init: Init = "xavier"
    """weights from N(0, 0.02²), Kaiming's, or Xavier's normal distribution times 0.02"""

    def __post_init__(self) -> None:
        within("model.width", self.width, 1, 4096)
        within("model.blocks", self.blocks, 1, 100)


@dataclass(frozen=True)
class ResnetTranslatorConfig:
    """What a residual translator is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: ResnetConfig = field(default_factory=ResnetConfig)


class Featured(NamedTuple):
    """Translations, and the features (B, Cᵢ, Hᵢ, Wᵢ) of images and of translations, a list each; empty where none are
    wanted."""

    translated: Tensor
    of_images: list[Tensor]
    of_translated: list[Tensor]


class ResnetTranslator(OneWayTranslator, name="resnet"):
    """CUT's generator: (B, C, H, W) → (B, C', H, W) in [-1, 1]."""

    Config = ResnetTranslatorConfig
    config: ResnetTranslatorConfig
    generator: ResnetGenerator

    def build(self, channels_in: int, channels_out: int) -> nn.Module:
        model = self.config.model
        return ResnetGenerator(channels_in, channels_out, width=model.width, blocks=model.blocks)

    @property
    def stride(self) -> int:
        return 4

    @property
    def floats_per_pixel(self) -> float:
        """As counted: four feature maps of the images' size, and the images."""
        return 4.0 * self.config.model.width + 20

    def forward(self, x: Tensor, flipped: bool = False, features: bool = True) -> Featured:
        """Translations of x, and the features of x and of the translations; `flipped`: x is mirrored before it is
        translated, and the translations' features are mirrored back."""
        if not features:
            return Featured(self.generator(x.flip(3) if flipped else x), [], [])
        h, of_images = self.generator.encode(x)
        if flipped:
            h, _ = self.generator.encode(x.flip(3))
        y = self.generator.decode(h)
        _, of_translated = self.generator.encode(y)
        return Featured(y, of_images, [f.flip(3) for f in of_translated] if flipped else of_translated)

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        image: Tensor = self.generator(x)
        return image
