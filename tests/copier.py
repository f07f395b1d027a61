"""A translator that returns what it is given, for tests of what goes in and what comes out."""

from torch import Tensor

from unit.inference.translator import Translator
from unit.models.base import Direction
from unit.models.unit import UnitModelConfig, UnitTranslator, UnitTranslatorConfig

SMALLEST = UnitTranslatorConfig(model=UnitModelConfig(width=1, blocks=1))


class Copier(UnitTranslator):
    """Returns what it is given."""

    def _translate(self, x: Tensor, direction: Direction) -> Tensor:
        return x


def copier(kind: type[UnitTranslator] = Copier) -> Translator:
    """Ready to translate; `kind` may be a subclass that does something else with its images."""
    return Translator(kind(SMALLEST))
