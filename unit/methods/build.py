"""From a config to its method, and from a finished model's description to its network."""

from dataclasses import asdict
from typing import Any

from torch import nn

from unit.config import Config, ConfigError
from unit.config.unit import ModelConfig, UnitConfig
from unit.methods.method import Method
from unit.methods.unit import Translator, Unit
from unit.options import parse_section


def method_of(config: Config) -> Method[Any]:
    """The method that a config of its type is for."""
    match config:
        case UnitConfig():
            return Unit(config)
    raise TypeError(f"no method for a {type(config).__name__}")


def describe(config: Config) -> dict[str, Any]:
    """What is needed to build the finished network again, as JSON."""
    match config:
        case UnitConfig(data=data, model=model):
            shape = {"channels": data.channels, "resize": data.resize, "size": data.size}
            return {"method": config.method} | shape | {"model": asdict(model)}
    raise TypeError(f"no method for a {type(config).__name__}")


def model_of(description: dict[str, Any]) -> nn.Module:
    """The network, untrained, that a description is of; raises ConfigError for one that is none."""
    method, model = description.get("method"), description.get("model")
    if not isinstance(model, dict):
        raise ConfigError(f"model: expected keys, got {model!r}")
    match method:
        case "unit":
            channels = description.get("channels")
            if channels not in (1, 3):
                raise ConfigError(f"channels: expected 1 or 3, got {channels!r}")
            return Translator(parse_section(ModelConfig, "model", model), channels=channels)
    raise ConfigError(f"method: not one that this version of unit knows, got {method!r}")
