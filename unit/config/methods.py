"""The methods that there are, by the name that a config gives."""

from unit.config.autoencoders import (
    AAEConfig,
    ClusterAAEConfig,
    CVAEConfig,
    M1Config,
    M1M2Config,
    M2Config,
    SemiAAEConfig,
    SupervisedAAEConfig,
    VAEConfig,
    WAEConfig,
)
from unit.config.base import Config
from unit.config.unit import UnitConfig

CONFIGS_OF: dict[str, type[Config]] = {
    kind.method: kind
    for kind in (
        UnitConfig,
        VAEConfig,
        CVAEConfig,
        M1Config,
        M2Config,
        M1M2Config,
        AAEConfig,
        SupervisedAAEConfig,
        SemiAAEConfig,
        ClusterAAEConfig,
        WAEConfig,
    )
}
