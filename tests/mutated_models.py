"""Seeded ways to harm the folder of UNIT's translator: its config.json, its model.safetensors, and what lies there."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mutations import Verdict, flipped, pickles, truncated
from safetensors.torch import load_file, save_file

Harm = Callable[[Path], None]
Tensors = dict[str, torch.Tensor]
TEXT, WEIGHTS = "config.json", "model.safetensors"


class ModelFolder(NamedTuple):
    """What is done to a sound model's folder, and what must become of it."""

    kind: str
    harm: Harm
    verdict: Verdict


def with_description(changes: dict[str, object]) -> Harm:
    """Change keys of config.json, by path (`config.model.width`); ABSENT takes a key away."""

    def harm(folder: Path) -> None:
        description = json.loads((folder / TEXT).read_text())
        for key, value in changes.items():
            *sections, name = key.split(".")
            place = description
            for section in sections:
                place = place[section]
            if value is ABSENT:
                del place[name]
            else:
                place[name] = value
        (folder / TEXT).write_text(json.dumps(description))

    return harm


def with_file(name: str, change: Callable[[bytes], bytes]) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return harm


def with_tensors(change: Callable[[Tensors], Tensors]) -> Harm:
    def harm(folder: Path) -> None:
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)

    return harm


def with_header(change: Callable[[dict[str, Any]], object]) -> Harm:
    """Change the JSON header of model.safetensors, and leave the numbers."""

    def changed(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    return with_file(WEIGHTS, changed)


def in_place_of(name: str, make: Callable[[Path], object]) -> Harm:
    """Take a file away and let `make` put something else there."""

    def harm(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return harm


ABSENT = object()
NAN, INFINITY = float("nan"), float("inf")
HOSTILE = {"class_path": "os.mkdir", "init_args": {"path": "x"}}

ABSURD: dict[str, tuple[object, ...]] = {
    "format": (0, 1, 3, "2", [], {}, 10**30, -1, NAN, None, ABSENT),
    "step": (None, "x", [], {}, INFINITY, NAN, "9" * 5000, ABSENT),
    "model": (
        "vae", "autoencoder", "categorical", "m1", "m2", "m1m2", "gan", "os.mkdir", 3, [], {}, "../unit", None, ABSENT,
        "unit.models.unit:UnitTranslator", HOSTILE,
    ),
    "config": ([], 3, "x", None, HOSTILE, ABSENT),
    "config.images": ([], 3, "x", None, HOSTILE, ABSENT),
    "config.images.channels_a": (0, 1, 2, 4, -3, "3", 3.0, 3.5, 10**9, [3], True, None),
    "config.images.channels_b": (1, 4, 3.0, True, None),
    "config.images.resize": ("x", 1.5, [], {}, True, 10**30),
    "config.images.size": (0, -1, 10**9, 2**63, 1.5, "x", [], None, True),
    "config.images.class_path": ("os.mkdir",),
    "config.model": ({}, [], 3, "x", None, HOSTILE, ABSENT),
    "config.model.width": (0, -1, 1, 5, 4096, 10**6, 10**9, 2**31, 2**63, 10**30, 1.5, "wide", [4], {}, True, NAN),
    "config.model.blocks": (0, 1, 3, 100, 10**4, 10**9, -3, "x", 1e300),
    "config.model.downsamplings": (-1, 1, 3, 10, 40, 10**6, 10**12),
    "config.model.shared_blocks": (-1, 0, 2, 10**9),
    "config.model.last_kernel": (0, 2, 9, 10**6, -7),
    "config.model.slope": (-1, NAN, INFINITY, "a", 10**400),
    "config.model.regularizer": ("kl_learned", "os.system", 3, [], {"class_path": "os.mkdir"}),
    "config.model.upsampling": ("bilinear", 3),
    "config.model.class_path": ("os.mkdir",),
    "config.model.init_args": ({"path": "x"},),
    "config.more": ({}, 3),
}  # fmt: skip
"""Values of config.json's keys that do not describe the weights beside them, or nothing at all."""

NO_DESCRIPTIONS = (
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"{}", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**5,
    b'{"format": 2}', b'{"format": 2, "step": 1e999}', b"!!python/object/apply:os.mkdir ['x']", b" " * 2**25,
    b'{"format": 2, "step": 1, "model": "unit", "config": {"__class__": "os.mkdir"}}', bytes(range(256)),
)  # fmt: skip

AUTOENCODERS: tuple[dict[str, object], ...] = (
    {}, {"hidden": [2**20] * 100, "activations": ["relu"] * 100}, {"latent": 2**40}, {"hidden": [10**30]},
)  # fmt: skip
"""Sections of models of another kind, of which no memory holds most."""


def model_folders(mark: Path, *, seed: int, each: int) -> Iterator[ModelFolder]:
    """Ways to harm a translator's folder, `each` of those that are drawn; the mark would be made by planted code."""
    draw = random.Random(seed)
    yield from descriptions()
    yield from beside(mark)
    yield from no_files()
    yield from damaged(draw, each)
    yield from headers()
    yield from tensors(draw)


def descriptions() -> Iterator[ModelFolder]:
    """A config.json that describes another model, or none."""
    for key, values in ABSURD.items():
        for value in values:
            name = "absent" if value is ABSENT else str(value)[:20]
            verdict: Verdict = "either" if value == "3" else "bad"  # which says what 3 says
            yield ModelFolder(f"{key} {name}", with_description({key: value}), verdict)
    sizes = {"width": 4096, "downsamplings": 10, "blocks": 100, "shared_blocks": 100}
    huge: dict[str, object] = {f"config.model.{key}": value for key, value in sizes.items()}
    yield ModelFolder("sizes of petabytes", with_description(huge), "bad")
    for kind in ("autoencoder", "categorical", "m1", "m2", "m1m2"):
        for model in AUTOENCODERS:
            other: dict[str, object] = {"model": kind, "config": {"images": {"size": 28}, "model": model}}
            yield ModelFolder(f"as {kind}", with_description(other), "bad")
    for data in NO_DESCRIPTIONS:
        yield ModelFolder("config.json that is none", with_file(TEXT, lambda _, data=data: data), "bad")


def beside(mark: Path) -> Iterator[ModelFolder]:
    """Code that would run if it were asked to, in place of the files and beside them."""
    for kind, data in pickles(mark).items():
        for name in (TEXT, WEIGHTS):
            yield ModelFolder(f"{kind} as {name}", with_file(name, lambda _, data=data: data), "bad")

        def plant(folder: Path, data: bytes = data) -> None:
            for name in ("pytorch_model.bin", "model.pt", "model.pkl", "data.pkl", "config.pkl"):
                (folder / name).write_bytes(data)

        yield ModelFolder(f"{kind} beside a sound model", plant, "good")

    def plant_module(folder: Path) -> None:
        (folder / "model.py").write_text(f"import os; os.mkdir({str(mark)!r})")

    yield ModelFolder("model.py beside a sound model", plant_module, "good")


def no_files() -> Iterator[ModelFolder]:
    """Something else where a file should be."""
    for name in (TEXT, WEIGHTS):
        for kind, make in {
            "missing": lambda path: None,
            "a folder": Path.mkdir,
            "a pipe": os.mkfifo,
            "a loop": lambda path: path.symlink_to(path),
            "a link to nothing": lambda path: path.symlink_to("/nonexistent/model"),
            "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
            "a link to a text": lambda path: path.symlink_to(__file__),
            "of many gigabytes": lambda path: (path.touch(), os.truncate(path, 2**40)),
        }.items():
            yield ModelFolder(f"{name} is {kind}", in_place_of(name, make), "bad")


def damaged(draw: random.Random, each: int) -> Iterator[ModelFolder]:
    """Files that are cut short, or of which bits flipped."""
    for name in (TEXT, WEIGHTS):
        for _ in range(each):
            chance = random.Random(draw.random())
            yield ModelFolder(f"{name} truncated", with_file(name, lambda d, c=chance: truncated(d, c)), "bad")
    for number in range(2 * each):
        chance = random.Random(draw.random())
        yield ModelFolder("flipped bits in config.json", with_file(TEXT, lambda d, c=chance: flipped(d, c)), "either")
        within = 400 if number % 2 else None  # the header, or mostly the numbers
        harm = with_file(WEIGHTS, lambda d, c=chance, w=within: flipped(d, c, within=w))
        yield ModelFolder("flipped bits in the weights", harm, "either")


def headers() -> Iterator[ModelFolder]:
    """A header of model.safetensors that does not describe the numbers that follow it."""
    for length in (0, 1, 2**20, 2**26, 2**31, 2**40, 2**63, 2**64 - 1):
        harm = with_file(WEIGHTS, lambda d, n=length: n.to_bytes(8, "little") + d[8:])
        yield ModelFolder("header of absurd length", harm, "bad")
    for nested in (b"[" * 10**6, b'{"a":' * 10**5):
        packed = len(nested).to_bytes(8, "little") + nested
        yield ModelFolder("header nested deep", with_file(WEIGHTS, lambda _, data=packed: data), "bad")

    def first(header: dict[str, Any]) -> dict[str, Any]:
        return next(value for key, value in header.items() if key != "__metadata__")

    for dtype in ("F64", "F16", "BF16", "I32", "U8", "BOOL", "C64", "F8_E4M3", "F4", "X", "", 3, None, "object"):
        yield ModelFolder(f"dtype {dtype}", with_header(lambda h, t=dtype: first(h).update(dtype=t)), "bad")
    for shape in ([], [2**40], [2**63], [-1], [0], ["x"], [1.5], None, [2**32] * 3, [1] * 10_000):
        yield ModelFolder(f"shape {str(shape)[:20]}", with_header(lambda h, s=shape: first(h).update(shape=s)), "bad")
    for offsets in ([0, 0], [0, 2**62], [10, 5], [-4, 4], [0], [0, "x"], None):
        harm = with_header(lambda h, o=offsets: first(h).update(data_offsets=o))
        yield ModelFolder(f"offsets {offsets}", harm, "bad")


def tensors(draw: random.Random) -> Iterator[ModelFolder]:
    """Sound safetensors that are of another model, or of none."""
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.complex64, torch.bool):
        harm = with_tensors(lambda ts, t=dtype: {k: v.to(t) for k, v in ts.items()})
        yield ModelFolder(f"weights of {dtype}", harm, "bad")
    for value in (NAN, INFINITY, -INFINITY):

        def broken(ts: Tensors, value: float = value) -> Tensors:
            ts[draw.choice(sorted(ts))].view(-1)[-1] = value
            return ts

        yield ModelFolder(f"a weight that is {value}", with_tensors(broken), "bad")
    for value in (1e38, -3e38):  # finite weights whose translations are not
        harm = with_tensors(lambda ts, v=value: {k: torch.full_like(x, v) for k, x in ts.items()})
        yield ModelFolder("huge weights", harm, "either")
    changes: dict[str, Callable[[Tensors], Tensors]] = {
        "no tensors": lambda ts: {},
        "a tensor missing": lambda ts: dict(list(ts.items())[1:]),
        "a tensor more": lambda ts: ts | {"more": torch.zeros(3)},
        "oddly named tensor": lambda ts: ts | {"\x1b[31m\n..\u202e/": torch.zeros(3)},
        "transposed": lambda ts: {k: v.transpose(0, -1).contiguous() if v.ndim > 1 else v for k, v in ts.items()},
        "flattened": lambda ts: {k: v.flatten() for k, v in ts.items()},
        "names swapped": lambda ts: dict(zip(reversed(ts), ts.values(), strict=True)),
        "empty tensors": lambda ts: {k: v[:0] for k, v in ts.items()},
    }
    for kind, change in changes.items():
        yield ModelFolder(kind, with_tensors(change), "bad")
