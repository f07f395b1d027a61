"""What the tests of UNIT's siblings share: the smallest config of each method and mixture, and their command lines."""

from pathlib import Path
from typing import Any

SIBLINGS: dict[str, dict[str, Any]] = {
    "cyclegan": {"method": "cyclegan", "model.blocks": 1, "discriminator.layers": 1, "discriminator.pool": 12},
    "cyclegan shared": {
        "method": "cyclegan", "model.blocks": 2, "model.generator_blocks": 1, "model.shared_blocks": 1,
        "model.regularizer": "kl", "loss.kl": 0.1, "discriminator.layers": 1, "discriminator.shared_layers": 1,
        "model.dropout": 0.5,
    },
    "unit mixed": {
        "method": "unit", "model.blocks": 1, "discriminator.layers": 1, "loss.identity": 2.0,
        "loss.fresh_noise": "true", "discriminator.pool": 10, "model.dropout": 0.5, "discriminator.first_kernel": 7,
    },
    "pix2pix": {"method": "pix2pix", "model.downsamplings": 3, "model.dropped_layers": 1, "discriminator.layers": 1},
    "discogan": {
        "method": "discogan", "model.downsamplings": 2, "model.group": 2, "loss.rises_at": 1,
        "loss.discriminator_every": 2,
    },
    "cut": {"method": "cut", "model.blocks": 2, "discriminator.layers": 1, "loss.places": 16},
    "fastcut": {
        "method": "cut", "model.blocks": 1, "discriminator.layers": 1, "loss.nce": 10, "loss.identity": "false",
        "loss.flip_equivariance": "true",
    },
}  # fmt: skip
"""By a name of the tests' own."""
ADAPTED: dict[str, dict[str, Any]] = {
    "adaptation": {
        "method": "adaptation",
        "data.warp": 0.1,
        "data.invert": 0.5,
        "model.blocks": 2,
        "model.dropout": 0.5,
        "discriminator.layers": 2,
        "discriminator.shared_layers": 1,
        "discriminator.dropout": 0.5,
        "loss.classify_translated": 1,
        "loss.cycle": 1,
    },
    "adaptation b": {
        "method": "adaptation",
        "data.source": "b",
        "model.blocks": 1,
        "model.same_start": "true",
        "discriminator.layers": 2,
        "discriminator.shared_layers": 2,
        "loss.own_logits": "false",
    },
    "adaptation alone": {
        "method": "adaptation",
        "discriminator.layers": 2,
        "discriminator.shared_layers": 2,
        "loss.gan": 0,
        "loss.kl": 0,
        "loss.reconstruction": 0,
        "loss.features": 0,
    },
}
"""Domain adaptation, whose images lie in folders of classes."""


def sibling_options(name: str, root: Path, **more: Any) -> list[str]:
    """The command line of a training of 4 steps; images are 16×16 crops of those below `root`. Keys in `more` have __
    for their dot."""
    keys: dict[str, Any] = {
        "data.root": root, "data.size": 16, "model.width": 4, "train.steps": 4, "train.batch_size": 4,
        "train.log_every": 1, "train.sample_every": 2, "train.checkpoint_every": 2, "train.precision": "fp32",
        "run.tracker": "none",
    }  # fmt: skip
    keys |= (SIBLINGS | ADAPTED)[name] | {key.replace("__", "."): value for key, value in more.items()}
    if keys["method"] != "discogan":
        keys |= {"discriminator.width": 4}
    return [part for key, value in keys.items() for part in (f"--{key}", str(value))]
