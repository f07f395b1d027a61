"""What the tests of digits share: a tiny MNIST on disk, a batch of noise, and the smallest config of each method."""

import functools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unit import draws
from unit.checkpoint import Checkpoint
from unit.config import Config
from unit.config.methods import CONFIGS_OF
from unit.data.digit_batches import DigitBatch
from unit.data.digits import MNIST_FILES
from unit.options import parse

LABELLED = {"data.labelled": 10, "data.labelled_batch": 4}
JUDGE = {"model.judge": [8]}

METHODS: dict[str, dict[str, Any]] = {
    "vae": {},
    "vae denoising": {"method": "vae", "model.noise": 0.3, "model.likelihood": "laplace"},
    "vae conv": {"method": "vae", "model.architecture": "conv", "model.likelihood": "gaussian"},
    "cvae": {},
    "m1": LABELLED | {"model.classifier": [8]},
    "m2": LABELLED | {"model.noise": 0.2},
    "m2 unlabelled": {"method": "m2", "data.labelled": 0},
    "m2 weighted": {"method": "m2", "model.rho": 0.7} | LABELLED,
    "m1m2": LABELLED | {"model.m2_hidden": [8], "model.m2_latent": 3},
    "m1m2 weighted": {
        "method": "m1m2", "model.m2_hidden": [8, 8], "model.m2_latent": 3, "model.m2_noise": 0.5, "model.beta": 0.2,
        "model.rho": 0.7,
    } | LABELLED,
    "aae": JUDGE,
    "aae informed": {
        "method": "aae", "model.informed": True, "model.prior": "mixture", "model.posterior": "gaussian",
        "model.noise": 0.2,
    } | LABELLED | JUDGE,
    "aae combined": {"method": "aae", "model.combined": 3.0, "model.prior": "uniform"} | JUDGE,
    "aae_supervised": JUDGE,
    "aae_semi": LABELLED | JUDGE | {"model.noise": 0.2},
    "aae_semi combined": {"method": "aae_semi", "model.combined": 2.0, "model.judge_noise": 0.1} | LABELLED | JUDGE,
    "aae_semi smooth": {
        "method": "aae_semi", "model.combined": 2.0, "model.smoothness": 3.0, "model.radius": 0.7,
        "model.classification": 5.0,
    } | LABELLED | JUDGE,
    "aae_cluster": {"model.categories": 12, "model.judge_lr": 0.5} | JUDGE,
    "aae_cluster smooth": {
        "method": "aae_cluster", "model.categories": 4, "model.combined": 2.0, "model.judge_noise": 0.4,
        "model.judge_noise_end": 0.1, "model.smoothness": 3.0,
    } | JUDGE,
    "aae_cluster balanced": {
        "method": "aae_cluster", "model.categories": 4, "model.combined": 2.0, "model.balance": 3.0, "model.group": 2,
        "model.normalized": True, "model.smoothness": 1.0, "model.warp": 0.1,
    } | JUDGE,
    "aae_cluster heads": {"method": "aae_cluster", "model.categories": 4, "model.heads": 3.0} | JUDGE,
    "wae": {"model.group": 2} | JUDGE,
    "wae adversarial": {"method": "wae", "model.regularizer": "adversarial", "model.noise": 0.2} | JUDGE,
}  # fmt: skip
"""The keys in which each differs from the smallest; the method is the name where it is not among them."""

SMALLEST = {
    "data.download": False, "model.latent": 2, "model.hidden": [8, 8], "model.activations": ["tanh", "softplus"],
    "train.steps": 4, "train.batch_size": 4, "train.log_every": 1, "train.sample_every": 2,
    "train.checkpoint_every": 2, "train.precision": "fp32", "run.tracker": "none",
}  # fmt: skip

assert {keys.get("method", name) for name, keys in METHODS.items()} == CONFIGS_OF.keys() - {"unit"}


def options(name: str, *more: str | Path, **keys: Any) -> list[str]:
    """The command line of the smallest training of METHODS[name]; keys are written with __ for the dot."""
    given = {"method": name} | SMALLEST | METHODS[name] | {key.replace("__", "."): value for key, value in keys.items()}
    return [part for key, value in given.items() for part in (f"--{key}", option(value))] + [str(part) for part in more]


def option(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def config_of(name: str, **keys: Any) -> Config:
    return parsed(tuple(options(name, **keys)))


@functools.cache
def parsed(arguments: tuple[str, ...]) -> Config:
    return parse(list(arguments))


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


def uniforms(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines]


def batch_of(
    count: int = 4, *, labelled: int = 0, step: int = 3, side: int = 16, seed: int = 7, images: int = 1
) -> DigitBatch:
    """A whole global batch of noise in float64, with labelled noise beside it; `images` is the noise's own seed."""
    y = torch.arange(3, 3 + count) * 7 % 10
    beside = None if not labelled else batch_of(labelled, step=step, side=side, seed=seed, images=images + 1)
    return DigitBatch(uniforms(count, 1, side, side, seed=images), y, step, range(count), count, seed, beside)


def shared_out(batch: DigitBatch, parts: int) -> list[DigitBatch]:
    """The batch in equal parts, as processes or accumulation take it."""
    each = len(batch.x) // parts
    ranges = [range(start, start + each) for start in range(0, len(batch.x), each)]
    beside = [None] * parts if batch.labelled is None else shared_out(batch.labelled, parts)
    return [
        DigitBatch(batch.x[r.start : r.stop], batch.y[r.start : r.stop], batch.step, r, batch.size, batch.seed, part)
        for r, part in zip(ranges, beside, strict=True)
    ]


def noise_of(batch: DigitBatch, purpose: str, *shape: int) -> Tensor:
    """The N(0, 1) numbers of (seed, purpose, step) at the batch's positions."""
    whole = torch.randn(batch.size, *shape, generator=draws.generator(batch.seed, purpose, batch.step))
    return whole[list(batch.positions)]
