"""The methods that there are, by the name that a config gives."""

from unit.config.base import Config
from unit.config.unit import UnitConfig

CONFIGS_OF: dict[str, type[Config]] = {kind.method: kind for kind in (UnitConfig,)}
