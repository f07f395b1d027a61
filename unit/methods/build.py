"""From a config to its method, and from a finished model's description to its network."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from unit.config import Config, ConfigError
from unit.config.autoencoders import (
    AAEConfig,
    AAEModelConfig,
    AutoencoderConfig,
    CategoricalAAEModelConfig,
    ClusterAAEConfig,
    CVAEConfig,
    M1Config,
    M1M2Config,
    M1M2ModelConfig,
    M1ModelConfig,
    M2Config,
    M2ModelConfig,
    NetsConfig,
    SemiAAEConfig,
    SupervisedAAEConfig,
    SupervisedAAEModelConfig,
    VAEConfig,
    WAEConfig,
    WAEModelConfig,
)
from unit.config.unit import ModelConfig, UnitConfig
from unit.methods.aae import AAE, aae_model
from unit.methods.aae_cluster import ClusterAAE
from unit.methods.aae_semi import CategoricalModel, SemiAAE
from unit.methods.aae_supervised import SupervisedAAE, supervised_aae_model
from unit.methods.cvae import CVAE, cvae_model
from unit.methods.m1 import M1, M1Model
from unit.methods.m1m2 import M1M2, M1M2Model
from unit.methods.m2 import M2, M2Model
from unit.methods.method import Method
from unit.methods.translator import Translator
from unit.methods.unit import Unit
from unit.methods.vae import VAE, vae_model
from unit.methods.wae import WAE, wae_model
from unit.options import parse_section


def method_of(config: Config) -> Method[Any]:
    """The method that a config of its type is for."""
    match config:
        case UnitConfig():
            return Unit(config)
        case CVAEConfig():
            return CVAE(config)
        case VAEConfig():
            return VAE(config)
        case M1Config():
            return M1(config)
        case M2Config():
            return M2(config)
        case M1M2Config():
            return M1M2(config)
        case AAEConfig():
            return AAE(config)
        case SupervisedAAEConfig():
            return SupervisedAAE(config)
        case SemiAAEConfig():
            return SemiAAE(config)
        case ClusterAAEConfig():
            return ClusterAAE(config)
        case WAEConfig():
            return WAE(config)
    raise TypeError(f"no method for a {type(config).__name__}")


def shells_of(config: Config) -> Mapping[str, nn.Module]:
    """The networks that the method of a config trains, on the meta device, where they take no memory."""
    if isinstance(config, UnitConfig):  # VGG16, which is not trained, is not needed for them
        config = replace(config, loss=replace(config.loss, perceptual=0.0))
    with torch.device("meta"):
        return method_of(config).networks


def describe(config: Config) -> dict[str, Any]:
    """What is needed to build the finished network again, as JSON."""
    match config:
        case UnitConfig(data=data, model=model):
            shape = {"channels": data.channels, "resize": data.resize, "size": data.size}
            return {"method": config.method} | shape | {"model": asdict(model)}
        case _ if isinstance(config, AutoencoderConfig):
            return {"method": config.method, "size": config.data.size, "model": asdict(config.model)}
    raise TypeError(f"no method for a {type(config).__name__}")


def model_of(description: dict[str, Any]) -> nn.Module:
    """The network, untrained, that a description is of; raises ConfigError for one that is none."""
    method, model, size = (description.get(key) for key in ("method", "model", "size"))
    if not isinstance(model, dict):
        raise ConfigError(f"model: expected keys, got {model!r}")
    if method == "unit":
        channels = description.get("channels")
        if isinstance(channels, bool | float) or channels not in (1, 3):  # True is equal to 1
            raise ConfigError(f"channels: expected 1 or 3, got {channels!r}")
        return Translator(parse_section(ModelConfig, "model", model), channels=channels)
    if isinstance(size, float) or size not in (16, 28):
        raise ConfigError(f"size: expected 28 (MNIST) or 16 (USPS), got {size!r}")
    match method:
        case "vae":
            return vae_model(parse_section(NetsConfig, "model", model), size)
        case "cvae":
            return cvae_model(parse_section(NetsConfig, "model", model), size)
        case "m1":
            return M1Model(parse_section(M1ModelConfig, "model", model), size=size)
        case "m2":
            return M2Model(parse_section(M2ModelConfig, "model", model), size=size)
        case "m1m2":
            return M1M2Model(parse_section(M1M2ModelConfig, "model", model), size=size)
        case "aae":
            return aae_model(parse_section(AAEModelConfig, "model", model), size)
        case "aae_supervised":
            return supervised_aae_model(parse_section(SupervisedAAEModelConfig, "model", model), size)
        case "aae_semi" | "aae_cluster":
            categories = parse_section(CategoricalAAEModelConfig, "model", model)
            return CategoricalModel(categories, size=size, supervised=method == "aae_semi")
        case "wae":
            return wae_model(parse_section(WAEModelConfig, "model", model), size)
    raise ConfigError(f"method: not one that this version of unit knows, got {method!r}")
