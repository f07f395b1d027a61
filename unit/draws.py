"""Random numbers as a function of what they are for.

Every draw has a key, such as (seed, "latent", domain, step, position in the global batch), and is the same however
many draws came before it and however many processes there are. So a checkpoint keeps counters, no random states, and
one config gives one training on any number of processes.
"""

import hashlib

import torch
from torch import Tensor

Key = str | int


def derive_seed(*key: Key) -> int:
    """A 63-bit seed for the key; different keys give unrelated seeds."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*key: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh random generator for the key."""
    return torch.Generator(device).manual_seed(derive_seed(*key))


def permutation(count: int, *key: Key) -> Tensor:
    """A random order of `count` things: int64 (count,)."""
    return torch.randperm(count, generator=generator(*key))


def uniforms(count: int, *key: Key) -> Tensor:
    """`count` independent numbers from [0, 1): float32 (count,)."""
    return torch.rand(count, generator=generator(*key))


def normals(shape: tuple[int, ...], *key: Key, positions: range, device: torch.device) -> Tensor:
    """N(0, 1) noise for the images at these positions of the global batch: float32 (len(positions), *shape)."""
    noise = torch.empty(len(positions), *shape, device=device)
    for row, position in zip(noise, positions, strict=True):
        row.normal_(generator=generator(*key, position, device=device))
    return noise
