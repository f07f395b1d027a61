"""A translator that returns what it is given, for tests of all that is around the networks."""

from torch import Tensor

from unit.inference.translator import Translator
from unit.models.base import Direction, TranslatedImages
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig


class Copier(UnitTranslator):
    """Returns what it is given."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return x


def copier(**images: int) -> Translator:
    """`images` are fields of TranslatedImages: what the model was trained on."""
    config = UnitTranslatorConfig(images=TranslatedImages(**images), model=UnitModelConfig(width=1, blocks=1))  # type: ignore[arg-type]
    return Translator(Copier(config))
