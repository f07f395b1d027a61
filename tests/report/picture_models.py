"""One small untrained model of each kind that has pictures of its own, images for them, and how pictures are read."""

from pathlib import Path
from typing import Any

import torch
from digit_toys import method_of, parse_config
from torch import Tensor, nn

from unit.data.decoding import read_image
from unit.data.domain import Domain, domain_of_array
from unit.data.images import to_uint8
from unit.models.autoencoder import ImageShape
from unit.models.categorical import CategoricalAutoencoder, CategoricalAutoencoderConfig, CategoricalConfig

SIZE = 8
TILE = 7 * SIZE + 2  # magnified to 56 pixels, and a gap of 2
OF_AUTOENCODERS = {"reconstructions", "samples", "latent"}
OF_UNLABELED = OF_AUTOENCODERS | {"attributes"}
"""Whose decoder gets no label, though the images have them."""
OF_LABELS = {"samples", "styles", "analogies"}
MANIFOLDS = {f"manifold_of_{y}" for y in range(10)}

PICTURES: dict[str, set[str]] = {
    "vae of 1": OF_UNLABELED - {"latent"},
    "vae of 2": OF_UNLABELED | {"manifold"},
    "vae of 3": OF_UNLABELED,
    "denoising vae": OF_UNLABELED | {"denoising"},
    "conv": OF_UNLABELED,
    "ae of 2": OF_UNLABELED | {"manifold"},
    "aae": OF_UNLABELED | {"manifold", "places"},
    "wae": OF_UNLABELED,
    "cvae of 2": OF_AUTOENCODERS | OF_LABELS | MANIFOLDS,
    "cvae of 3": OF_AUTOENCODERS | OF_LABELS,
    "supervised aae": OF_AUTOENCODERS | OF_LABELS,
    "m1": OF_UNLABELED,
    "m2": OF_LABELS,
    "m2 of 2": OF_LABELS | MANIFOLDS,
    "m1m2": OF_LABELS,
    "categories": {"reconstructions", "heads", "styles"},
    "heads": {"reconstructions", "heads", "styles", "latent"},
    "heads in 3": {"reconstructions", "heads", "styles"},
}
"""The pictures of each model."""


def made(name: str) -> Any:
    """The model of that name, from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name).eval()


def build(name: str) -> nn.Module:
    match name:
        case "ae of 2" | "vae of 1" | "vae of 2" | "vae of 3" | "cvae of 2" | "cvae of 3" | "m2 of 2":
            method, _, latent = name.split()
            return network(method, latent=int(latent))
        case "denoising vae":
            return network("vae", latent=3, noise=0.3)
        case "conv":
            return network("vae", latent=3, architecture="conv")
        case "aae":
            return network("aae informed", latent=2, noise=0.0)
        case "supervised aae":
            return network("aae_supervised", latent=3)
        case "m1m2":
            return network("m1m2", latent=2)
        case "categories" | "heads" | "heads in 3":
            return categorical(3 if name == "heads in 3" else 2, heads=float(name != "categories"))
    return network(name, latent=3)


def network(method: str, *, side: int = SIZE, channels: int = 1, classes: int = 10, **keys: Any) -> Any:
    """What a training of that method would keep, untrained."""
    config = parse_config(method, **{f"model__{key}": value for key, value in keys.items()})
    return method_of(config, side=side, channels=channels, classes=classes).model.eval()


def categorical(latent: int, *, categories: int = 10, heads: float = 0.0) -> CategoricalAutoencoder:
    config = CategoricalConfig(
        hidden=(8,), activations=("relu",), latent=latent, categories=categories, heads=heads, supervised=True
    )
    return CategoricalAutoencoder(CategoricalAutoencoderConfig(ImageShape(SIZE), config))


def labeled(images: Tensor, labels: Tensor) -> Domain:
    """The images of ten classes, whichever of them there are."""
    made = domain_of_array(images, labels)
    return Domain(made.images, made.names, made.fingerprint, made.labels, classes=10)


def some_images(count: int = 47, *, channels: int = 1) -> Domain:
    """Noise, whose labels count through the classes, from 7."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, channels, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return labeled(images, (torch.arange(count) + 7) % 10)


def tiles(path: Path) -> Tensor:
    """The images of a grid, as small as they were: uint8 (rows, columns, size, size). The gaps must be white."""
    picture = nn.functional.pad(read_image(path, channels=1), (0, 2, 0, 2), value=255)[0]
    rows = picture.unfold(0, TILE, TILE).unfold(1, TILE, TILE)
    assert (rows[..., -2:, :] == 255).all() and (rows[..., -2:] == 255).all()
    small = rows[..., :-2:7, :-2:7]
    assert torch.equal(rows[..., :-2, :-2], small.repeat_interleave(7, -1).repeat_interleave(7, -2))
    return small


def shown(images: Tensor) -> Tensor:
    """What a grid shows of images (…, 1, size, size) in [-1, 1]."""
    return to_uint8(images).squeeze(-3)


def different(rows: Tensor) -> int:
    """How many different rows there are: (N, n) → a number."""
    return len(set(map(tuple, rows.tolist())))
