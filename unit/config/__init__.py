"""The configuration of a run: one dataclass a section, one file a family of methods."""

from unit.config.base import Config, ConfigError, OptimConfig, RunConfig, TrainConfig

__all__ = ["Config", "ConfigError", "OptimConfig", "RunConfig", "TrainConfig"]
