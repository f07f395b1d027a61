"""What makers of mutated files share: files that a careless or hostile hand could have left.

Each maker says of what it makes what must become of it: `good` is used, `bad` is refused by name, and `either` may be
used or refused, since a flipped bit may leave a file whole. Nothing may crash, hang, fill the memory, run code, or
write anywhere but where it was told to. The makers are in mutated_images.py, planted_images.py, mutated_configs.py and
mutated_models.py; what they make is drawn from a seed.
"""

import io
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

Verdict = Literal["good", "bad", "either"]


class Marker:
    """An object whose unpickling makes a folder: the mark that code was run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def pickles(mark: Path) -> dict[str, bytes]:
    """Pickles that make the mark when they are loaded, bare and as torch.save packs them, by kind."""
    bare = {f"protocol {protocol}": pickle.dumps(Marker(mark), protocol) for protocol in (0, 2, 4)}
    packed = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "more": Marker(mark)}, packed)
    old = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "more": Marker(mark)}, old, _use_new_zipfile_serialization=False)
    return bare | {"torch.save": packed.getvalue(), "torch.save of old": old.getvalue()}


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def flipped(data: bytes, draw: random.Random, *, within: int | None = None) -> bytes:
    """The data with 1, 4 or 16 bits flipped in its first `within` bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16))):
        changed[draw.randrange(min(within or len(data), len(data)))] ^= 1 << draw.randrange(8)
    return bytes(changed)
