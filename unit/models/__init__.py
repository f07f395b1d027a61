"""The models, by the name that their `config.json` gives: what is kept of a training, and all that inference knows."""

from typing import TYPE_CHECKING

from unit.registry import look_up

if TYPE_CHECKING:
    from unit.models.base import Model

MODELS: dict[str, "str | type[Model]"] = {
    "unit": "unit.models.unit:UnitTranslator",
    "unet": "unit.models.one_way:UNetTranslator",
    "resnet": "unit.models.one_way:ResnetTranslator",
    "discogan": "unit.models.discogan:DiscoTranslator",
    "adaptation": "unit.models.adaptation:AdaptedTranslator",
    "autoencoder": "unit.models.autoencoder:ImageAutoencoder",
    "categorical": "unit.models.categorical:CategoricalAutoencoder",
    "m1": "unit.models.m1:M1Model",
    "m2": "unit.models.m2:M2Model",
    "m1m2": "unit.models.m1m2:M1M2Model",
}
"""A class of another module joins by being defined: `class Mine(Model, name="mine")`."""


def find_model(name: str) -> "type[Model]":
    """The model class of that name; raises ValueError, which lists the names there are, for an unknown one."""
    model: type[Model] = look_up(MODELS, name, what="model")
    return model
