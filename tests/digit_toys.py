"""What the tests of autoencoders share: a tiny MNIST on disk, batches of noise, and the smallest config of each method.

METHODS are the variants that most laws are checked on, by a name of the tests' own.
"""

import functools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from laws import normals, uniforms
from torch import Tensor

from unit import draws, methods
from unit.cli import arguments
from unit.config import Config
from unit.data.batches import Shard
from unit.data.digits import MNIST_FILES
from unit.data.domain import Domain, domain_of_array
from unit.data.labeled import ImageBatch, ImageBatches
from unit.methods import find_method
from unit.methods.base import Method
from unit.proof.resume import CLOCK
from unit.training import checkpoint
from unit.training.checkpoint import Checkpoint
from unit.weights import list_checkpoints

__all__ = [
    "METHODS",
    "assert_close",
    "assert_same",
    "batch_of",
    "beside",
    "logged_by",
    "method_of",
    "newest",
    "noise_of",
    "normals",
    "numbered",
    "options",
    "parse_config",
    "shared_out",
    "uniforms",
    "write_mnist",
]  # fmt: skip

LABELED = {"data.labeled": 10, "data.labeled_batch": 4}
DISCRIMINATOR = {"model.discriminator": [8]}

METHODS: dict[str, dict[str, Any]] = {
    "ae": {},
    "vae": {},
    "vae denoising": {"method": "vae", "model.noise": 0.3, "model.likelihood": "laplace"},
    "vae conv": {"method": "vae", "model.architecture": "conv", "model.likelihood": "gaussian"},
    "vae strided": {
        "method": "vae", "model.architecture": "strided", "model.width": 2, "model.likelihood": "gaussian",
    },
    "vae weighted": {
        "method": "vae", "model.posterior": "softplus", "model.beta": 0.5, "model.kl_warmup": 3, "model.prior_sd": 2.0,
        "model.salt_pepper": 0.3, "model.dropout": 0.2, "model.init": "he",
    },
    "vae cppn": {"method": "vae", "model.decoder": "coordinates"},
    "cvae": {},
    "cvae cppn": {"method": "cvae", "model.decoder": "coordinates"},
    "m1": LABELED | {"model.classifier": [8]},
    "m2": LABELED | {"model.noise": 0.2},
    "m2 unlabeled": {"method": "m2", "data.labeled": 0},
    "m2 weighted": {"method": "m2", "model.rho": 0.7} | LABELED,
    "m1m2": LABELED | {"model.m2_hidden": [8], "model.m2_latent": 3},
    "m1m2 weighted": {
        "method": "m1m2", "model.m2_hidden": [8, 8], "model.m2_latent": 3, "model.m2_noise": 0.5, "model.beta": 0.2,
        "model.rho": 0.7,
    } | LABELED,
    "aae": DISCRIMINATOR,
    "aae informed": {
        "method": "aae", "model.informed": True, "model.prior": "mixture", "model.posterior": "gaussian",
        "model.noise": 0.2,
    } | LABELED | DISCRIMINATOR,
    "aae informed dropped": {
        "method": "aae", "model.informed": True, "model.prior": "cells", "model.dropout": 0.3,
    } | LABELED | DISCRIMINATOR,
    "aae informed of all": {
        "method": "aae", "model.informed": True, "model.prior": "sectors", "data.labeled": "all",
        "data.labeled_batch": 4,
    } | DISCRIMINATOR,
    "aae combined": {"method": "aae", "model.combined": 3.0, "model.prior": "uniform"} | DISCRIMINATOR,
    "aae combined normed": {
        "method": "aae", "model.combined": 3.0, "model.dropout": 0.1, "model.batch_norm": 2, "model.init": "xavier",
        "model.posterior": "softplus",
    } | DISCRIMINATOR,
    "aae_supervised": DISCRIMINATOR,
    "aae_semi": LABELED | DISCRIMINATOR | {"model.noise": 0.2},
    "aae_semi combined": {
        "method": "aae_semi", "model.combined": 2.0, "model.discriminator_noise": 0.1,
    } | LABELED | DISCRIMINATOR,
    "aae_semi smooth": {
        "method": "aae_semi", "model.combined": 2.0, "model.smoothness": 3.0, "model.radius": 0.7,
        "model.classification": 5.0,
    } | LABELED | DISCRIMINATOR,
    "aae_cluster": {"model.categories": 12, "model.discriminator_lr": 0.5} | DISCRIMINATOR,
    "aae_cluster smooth": {
        "method": "aae_cluster", "model.categories": 4, "model.combined": 2.0, "model.discriminator_noise": 0.4,
        "model.discriminator_noise_end": 0.1, "model.smoothness": 3.0,
    } | DISCRIMINATOR,
    "aae_cluster balanced": {
        "method": "aae_cluster", "model.categories": 4, "model.combined": 2.0, "model.balance": 3.0, "model.group": 2,
        "model.normalized": True, "model.smoothness": 1.0, "model.warp": 0.1,
    } | DISCRIMINATOR,
    "aae_cluster heads": {"method": "aae_cluster", "model.categories": 4, "model.heads": 3.0} | DISCRIMINATOR,
    "vae_gan": {"model.architecture": "strided", "model.width": 4, "model.group": 2, "model.layer": 2},
    "wae": {"model.group": 2} | DISCRIMINATOR,
    "wae adversarial": {"method": "wae", "model.regularizer": "adversarial", "model.noise": 0.2} | DISCRIMINATOR,
}  # fmt: skip
"""The keys in which each differs from the smallest; the method is the name where it is not among them."""

SMALLEST = {
    "data.download": False, "model.latent": 2, "model.hidden": [8, 8], "model.activations": ["tanh", "softplus"],
    "train.steps": 4, "train.batch_size": 4, "train.log_every": 1, "train.sample_every": 2,
    "train.checkpoint_every": 2, "train.precision": "fp32", "run.tracker": "none",
}  # fmt: skip

assert {keys.get("method", name) for name, keys in METHODS.items()} == {
    name for name, entry in methods.METHODS.items() if str(entry).startswith("unit.methods.autoencoders.")
}


def options(name: str, *more: str | Path, **keys: Any) -> list[str]:
    """The command line of the smallest training of METHODS[name]; keys are written with __ for the dot."""
    given = {"method": name} | SMALLEST | METHODS[name] | {key.replace("__", "."): value for key, value in keys.items()}
    return [part for key, value in given.items() for part in (f"--{key}", option(value))] + [str(part) for part in more]


def option(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_config(name: str, **keys: Any) -> Config:
    return parsed(tuple(options(name, **keys)))


@functools.cache
def parsed(given: tuple[str, ...]) -> Config:
    return arguments.parse_config(list(given))


def method_of(
    config: Config, *, side: int = 16, channels: int = 1, classes: int = 10, fraction_labeled: float = 0.0
) -> Method[Any]:
    """The config's method for square images, with that share of them labeled; its weights are seeded."""
    torch.manual_seed(0)
    images = numbered(100, side=side, channels=channels, classes=classes)
    batches = ImageBatches(images, Shard(config.run.seed, config.train.batch_size))
    if fraction_labeled:
        batches.kept = torch.arange(round(100 * fraction_labeled))
    return find_method(config.method)(config, batches)


def numbered(count: int, *, side: int = 4, channels: int = 1, classes: int = 10) -> Domain:
    """Image n is of brightness n throughout, so that it is known again; its label is n mod `classes`, if there are."""
    each = torch.arange(count)
    images = each.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, side, side)
    return domain_of_array(images, each % classes if classes else None)


def write_mnist(root: Path, *, train: int = 60, test: int = 20, side: int = 28) -> Path:
    """MNIST's four files, of noise; as many of each digit, in no order."""
    root.mkdir(parents=True)
    random = np.random.default_rng(train)
    for count, (images, labels) in zip((train, test), MNIST_FILES.values(), strict=True):
        pixels = random.integers(0, 256, (count, side, side), dtype=np.uint8)
        for name, array in ((images, pixels), (labels, random.permutation(np.arange(count) % 10).astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (root / name).write_bytes(header + array.tobytes())
    return root


def newest(run: Path) -> Checkpoint:
    """A run's newest checkpoint."""
    return checkpoint.load(list_checkpoints(run)[-1])


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    """Bit for bit: every tensor, every counter."""
    assert one.scalars == other.scalars
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[name].keys()
        for key, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[name][key]), f"{name} {key}"


def assert_close(one: Checkpoint, other: Checkpoint, *, within: float = 1e-5) -> None:
    """The same training but for rounding, which Adam makes much of where a gradient is nearly 0: the networks and their
    average `within` that of each other, relative, and its moments within 100 times that, for the networks would not
    tell of a gradient's scale."""
    assert one.tensors.keys() == other.tensors.keys() and one.scalars["step"] == other.scalars["step"]
    for name, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[name].keys()
        for kind in ("exp_avg", "exp_avg_sq") if name.startswith("adam-") else ("",):
            assert apart(one, other, name, kind) < (100 * within if kind else within), f"{name} {kind}"


def apart(one: Checkpoint, other: Checkpoint, name: str, kind: str = "") -> float:
    """The relative distance of one file's tensors, or of those of one kind of moments, taken together."""
    keys = [key for key in one.tensors[name] if key.endswith(f".{kind}") or not kind]
    x, y = (torch.cat([saved.tensors[name][key].double().flatten() for key in keys]) for saved in (one, other))
    return float((x - y).norm() / x.norm())


def logged_by(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl, but for what the time has to do with."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


def batch_of(
    count: int = 4,
    *,
    labeled: int = 0,
    step: int = 3,
    side: int = 16,
    channels: int = 1,
    classes: int = 10,
    seed: int = 7,
    images: int = 1,
) -> ImageBatch:
    """A whole global batch in float64, its intensities noise, with labeled noise beside it; `images` is the noise's own
    seed."""
    y = torch.arange(3, 3 + count) * 7 % classes
    x = 2 * uniforms(count, channels, side, side, seed=images) - 1
    kinds = {"step": step, "side": side, "channels": channels, "classes": classes, "seed": seed}
    beside = batch_of(labeled, images=images + 1, **kinds) if labeled else None
    return ImageBatch(x, y, step, range(count), count, seed, beside)


def beside(batch: ImageBatch) -> ImageBatch:
    """The labeled images, where there are any."""
    assert batch.labeled is not None
    return batch.labeled


def shared_out(batch: ImageBatch, parts: int) -> list[ImageBatch]:
    """The batch in equal parts, as processes or accumulation take it."""
    each = len(batch.x) // parts
    ranges = [range(start, start + each) for start in range(0, len(batch.x), each)]
    beside = [None] * parts if batch.labeled is None else shared_out(batch.labeled, parts)
    return [
        ImageBatch(batch.x[r.start : r.stop], batch.y[r.start : r.stop], batch.step, r, batch.size, batch.seed, part)
        for r, part in zip(ranges, beside, strict=True)
    ]


def noise_of(batch: ImageBatch, purpose: str, *shape: int) -> Tensor:
    """The N(0, 1) numbers of (seed, purpose, step) at the batch's positions."""
    whole = torch.randn(batch.size, *shape, generator=draws.generator(batch.seed, purpose, batch.step))
    return whole[list(batch.positions)]
