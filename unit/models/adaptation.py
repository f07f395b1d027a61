"""UNIT's translator with a classifier for both domains, which learned its classes from one of them.

Liu, Breuel, Kautz 2017, section 5: domain adaptation.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal

from torch import Tensor

from unit.config.base import ConfigError, at_least, fraction, within
from unit.models.base import Direction, ImageTranslator, TranslatedImages
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig
from unit.networks.blocks import Init, Norm
from unit.networks.classifier import DomainClassifier

Source = Literal["a", "b"]


@dataclass(frozen=True)
class ClassifierConfig:
    """The layers that the classifier and the discriminators have in common."""

    width: int = 64
    """channels of the first layer; each layer doubles them"""
    layers: int = 4
    """convolutions of stride 2"""
    shared_layers: int = 3
    """how many of the last of them the two domains share"""
    kernel: int = 5
    """their kernel size"""
    slope: float = 0.0
    """LeakyReLU's slope (0 is ReLU)"""
    norm: Norm = "none"
    """norm after each convolution but the first; batch: each image's own, as at batch size 1"""
    dropout: float = 0.0
    """probability with which each feature is dropped before the classes are named"""
    init: Init = "kaiming"
    """how its weights are drawn"""

    def __post_init__(self) -> None:
        within("discriminator.width", self.width, 1, 4096)
        within("discriminator.layers", self.layers, 1, 10)
        within("discriminator.shared_layers", self.shared_layers, 1, self.layers)
        within("discriminator.kernel", self.kernel, 3, 7)
        at_least("discriminator.slope", self.slope, 0)
        fraction("discriminator.dropout", self.dropout)


@dataclass(frozen=True)
class ClassesConfig:
    """What the classifier names, and from which domain it learned that."""

    names: list[str] = field(default_factory=lambda: [str(digit) for digit in range(10)])
    """the classes, in the order of the logits"""
    source: Source = "a"
    """the domain whose labels were known"""

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise ConfigError(f"classes.names: expected at least 2 different names, got {self.names}")


@dataclass(frozen=True)
class AdaptedTranslatorConfig:
    """What an adapted translator is built from."""

    images: TranslatedImages = field(default_factory=TranslatedImages)
    model: UnitModelConfig = field(default_factory=UnitModelConfig)
    discriminator: ClassifierConfig = field(default_factory=ClassifierConfig)
    classes: ClassesConfig = field(default_factory=ClassesConfig)

    def __post_init__(self) -> None:
        a, b = self.images.channels_a, self.images.channels_b
        if self.discriminator.shared_layers == self.discriminator.layers and a != b:
            raise ConfigError(
                f"discriminator.shared_layers: expected at most {self.discriminator.layers - 1} where the domains have "
                f"{a} and {b} channels, got {self.discriminator.shared_layers}"
            )


class AdaptedTranslator(ImageTranslator, name="adaptation"):
    """The translator, and the classifier of both domains' images."""

    Config = AdaptedTranslatorConfig
    config: AdaptedTranslatorConfig

    def __init__(self, config: AdaptedTranslatorConfig) -> None:
        super().__init__()
        self.config, self.images = config, config.images
        self.translator = UnitTranslator(UnitTranslatorConfig(config.images, config.model))
        self.classifier = DomainClassifier(
            config.images.channels_a,
            config.images.channels_b,
            len(config.classes.names),
            same_start=config.model.same_start,
            **asdict(config.discriminator),
        )

    @property
    def stride(self) -> int:
        return self.translator.stride

    @property
    def floats_per_pixel(self) -> float:
        return self.translator.floats_per_pixel

    def classify(self, x: Tensor, domain: Source) -> Tensor:
        """The classes' logits of images of a domain: float (B, C, H, W) in [-1, 1] → (B, K), in the order of
        `config.classes.names`."""
        logits: Tensor = self.classifier(x, domain)
        return logits

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return self.translator.translate(x, direction)
