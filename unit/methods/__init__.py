"""The methods, by the name that a config gives. Nothing else in the project lists them.

A method is one file: its config, its networks and its losses, phase by phase. To add one, write the file and its line
here; or, outside the package, `unit.methods.METHODS["mine"] = "my_module:Mine"`. docs/add_a_method.md walks through it.
"""

from typing import TYPE_CHECKING, Any

from unit.registry import look_up

if TYPE_CHECKING:
    from unit.methods.base import Method

METHODS: dict[str, "str | type[Method[Any]]"] = {
    "unit": "unit.methods.unit:Unit",
    "cyclegan": "unit.methods.cyclegan:CycleGAN",
    "discogan": "unit.methods.discogan:DiscoGAN",
    "cut": "unit.methods.cut:CUT",
    "pix2pix": "unit.methods.pix2pix:Pix2Pix",
    "adaptation": "unit.methods.adaptation:Adaptation",
    "vae": "unit.methods.autoencoders.vae:VAE",
    "ae": "unit.methods.autoencoders.ae:AE",
    "cvae": "unit.methods.autoencoders.cvae:CVAE",
    "m1": "unit.methods.autoencoders.m1:M1",
    "m2": "unit.methods.autoencoders.m2:M2",
    "m1m2": "unit.methods.autoencoders.m1m2:M1M2",
    "aae": "unit.methods.autoencoders.aae:AAE",
    "aae_supervised": "unit.methods.autoencoders.aae_supervised:SupervisedAAE",
    "aae_semi": "unit.methods.autoencoders.aae_semi:SemiAAE",
    "aae_cluster": "unit.methods.autoencoders.aae_cluster:ClusterAAE",
    "vae_gan": "unit.methods.autoencoders.vae_gan:VAEGAN",
    "wae": "unit.methods.autoencoders.wae:WAE",
}


def find_method(name: str) -> "type[Method[Any]]":
    """The method of that name; raises ValueError, which lists the names there are, for an unknown one."""
    method: type[Method[Any]] = look_up(METHODS, name, what="method")
    return method
