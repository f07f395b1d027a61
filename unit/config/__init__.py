"""The configuration of a run: typed sections, and the way from YAML and the command line to them and back."""

from unit.config.base import Config, ConfigError, OptimConfig, RunConfig, TrainConfig
from unit.config.files import config_names, differences, find, load, to_yaml
from unit.config.schema import Schema, from_sections, parse_section, schema

__all__ = [
    "Config",
    "ConfigError",
    "OptimConfig",
    "RunConfig",
    "Schema",
    "TrainConfig",
    "config_names",
    "differences",
    "find",
    "from_sections",
    "load",
    "parse_section",
    "schema",
    "to_yaml",
]
