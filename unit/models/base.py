"""What every model has: a config from which it is built again, and, if it translates images, directions.

A model knows nothing of training. Its folder is `config.json`, which is its `config`, and `model.safetensors`.
"""

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn
from typing_extensions import Self

from unit.config.base import ConfigError, within
from unit.config.data import Channels
from unit.config.schema import parse_section
from unit.models import MODELS

DomainName = Literal["a", "b"]
Direction = Literal["a2b", "b2a"]
Resize = int | Literal["keep"] | None
"""The shorter side to which images are scaled, in pixels; "keep": their own; None: that of the model's training."""
REVERSED: dict[Direction, Direction] = {"a2b": "b2a", "b2a": "a2b"}


class Model(nn.Module):
    """A network that is kept, saved, loaded and shipped.

    `Config` is a frozen dataclass whose fields are sections (dataclasses, too), and `config` an instance of it, from
    which the constructor builds the untrained network. A subclass gives its name in config.json:
    `class Mine(Model, name="mine")`.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    config: Any

    def __init_subclass__(cls, name: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if name:
            cls.name = name
            if not isinstance(MODELS.get(name), str):
                MODELS[name] = cls

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The untrained network of a config as JSON holds it; raises ConfigError for one that is not its."""
        unknown = config.keys() - {field.name for field in fields(cls.Config)}
        if unknown:
            raise ConfigError(f"unknown section {min(unknown)} of a model {cls.name}")
        types = typing.get_type_hints(cls.Config)
        sections = {
            field.name: parse_section(types[field.name], field.name, config.get(field.name))
            for field in fields(cls.Config)
        }
        return cls(cls.Config(**sections))

    def describe(self) -> dict[str, Any]:
        """What `config.json` says of the model: its name and its config."""
        return {"model": self.name, "config": asdict(self.config)}


@dataclass(frozen=True)
class TranslatedImages:
    """The images of a translator: channels of each domain, and at which scale it was trained on them."""

    channels_a: Channels = 3
    """channels of domain a's images: 1 or 3"""
    channels_b: Channels = 3
    """channels of domain b's"""
    resize: int | None = None
    """shorter side, in pixels, to which training images were scaled (null: their own size)"""
    size: int = 256
    """side of the crops that were trained on, in pixels"""

    def __post_init__(self) -> None:
        for name, channels in (("channels_a", self.channels_a), ("channels_b", self.channels_b)):
            if isinstance(channels, bool | float):  # True is equal to 1
                raise ConfigError(f"images.{name}: expected 1 or 3, got {channels!r}")
        within("images.size", self.size, 1, 2**20)
        if self.resize is not None:
            within("images.resize", self.resize, 1, 2**20)

    def channels(self, domain: str) -> Channels:
        """Channels of domain "a" or "b"."""
        return self.channels_a if domain == "a" else self.channels_b


class ImageTranslator(Model, ABC):
    """A model that turns images of one domain into images of the other. All that translation, evaluation, export and
    plots know of a translator is here.

    `directions` are those that it has, `stride` is what the sides of its images must be multiples of, and `images`
    says which images it was trained on.
    """

    directions: tuple[Direction, ...] = get_args(Direction)
    images: TranslatedImages

    @property
    @abstractmethod
    def stride(self) -> int:
        """The sides of images must be multiples of this."""

    @property
    @abstractmethod
    def floats_per_pixel(self) -> float:
        """About how many numbers per pixel of an image are in memory at once while it is translated."""

    @abstractmethod
    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        """`translate`, with the arguments checked."""

    def translate(self, x: Tensor, direction: Direction = "a2b") -> Tensor:
        """Translate a batch of images to the other domain, without latent noise.

        Args:
            x: float (B, C, H, W) in [-1, 1]; H and W multiples of `stride`, C as `in_channels(direction)` says.
            direction: `"a2b"` or `"b2a"`.

        Returns:
            float (B, C', H, W) in [-1, 1], C' as `out_channels(direction)` says.

        Raises:
            ValueError: a direction that the model does not have, or images of another shape.
        """
        self.check_direction(direction)
        if x.ndim != 4 or x.shape[1] != self.in_channels(direction):
            raise ValueError(
                f"x: expected (B, {self.in_channels(direction)}, H, W) for {direction}, got {tuple(x.shape)}"
            )
        if x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ValueError(f"x: expected sides that are multiples of {self.stride}, got {tuple(x.shape[2:])}")
        return self._translate(x, direction)

    def check_direction(self, direction: str) -> None:
        """Raise ValueError unless the model has that direction."""
        if direction not in self.directions:
            raise ValueError(f"direction: expected {' or '.join(self.directions)}, got {direction!r}")

    def shorter_side(self, resize: Resize) -> int | None:
        """The shorter side to which images are scaled before they are translated, in pixels, or None for their own.

        Raises ValueError for what is neither a number of pixels nor "keep".
        """
        if resize is None:
            return self.images.resize
        if resize == "keep":
            return None
        if isinstance(resize, bool) or not isinstance(resize, int) or resize < 1:
            raise ValueError(f"resize: expected a number of pixels of at least 1, or 'keep', got {resize!r}")
        return resize

    def in_channels(self, direction: Direction) -> Channels:
        """Channels of the images that go in."""
        return self.images.channels(direction[0])

    def out_channels(self, direction: Direction) -> Channels:
        """Channels of the images that come out."""
        return self.images.channels(direction[2])
