"""The codes of a translator's test images: what metrics of the shared latent space compare.

A code is (c, h, w): c numbers at each place. Of each image three views are kept, so that any size and number of images
can be compared: the mean over its places, some of its places, and its code averaged over a grid of cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unit import draws
from unit.data.images import to_float
from unit.evaluation.store import same_sizes
from unit.models.base import DomainName
from unit.models.unit import UnitTranslator

if TYPE_CHECKING:
    from unit.evaluation.sets import TranslationSet

BATCH = 8
AT_ONCE = 256
"""Codes whose distances are worked out at once."""
PLACES = 16
"""Places that are drawn of each image."""
GRID = 8
"""Cells along a side, or as many as the smallest code of both domains has places."""
MOST = 1000
"""Images of each domain that are encoded, the first ones by name."""


@dataclass(frozen=True)
class SharedCodes:
    """Of N images: their names, `means` (N, c), `places` (N, P, c) and `cells` (N, c·g·g'), all float32 on the CPU."""

    names: list[str]
    means: Tensor
    places: Tensor
    cells: Tensor

    def __len__(self) -> int:
        return len(self.names)


def no_codes(images: "TranslationSet", *, least: int) -> str:
    """Why the set has no codes of both domains, or fewer than `least` of one; nothing where it has."""
    if not isinstance(images.model, UnitTranslator):
        return f"a model {images.model.name} has no latent space that both domains share"
    for folder in ("testA", "testB"):
        count = len(images.paths(folder))
        if count < least:
            return f"it needs at least {least} images of each domain, and {images.folder(folder)} has {count}"
    return ""


def codes_of(images: "TranslationSet", domain: DomainName) -> SharedCodes:
    """The codes of a domain's test images, worked out once for all metrics of a set; images are cut, on the right and
    at the bottom, to multiples of the model's stride. Raises ValueError for an image that is smaller than that."""
    if domain not in images.codes:
        images.codes[domain] = encode(images, domain)
    found: SharedCodes = images.codes[domain]
    return found


@torch.inference_mode()
def encode(images: "TranslationSet", domain: DomainName, *, most: int | None = None) -> SharedCodes:
    """`codes_of`, anew, of the first `most` images by name, or MOST."""
    model, device = images.model, images.translator.device
    assert isinstance(model, UnitTranslator)
    most = MOST if most is None else most
    stride, seen = model.stride, images.test_a if domain == "a" else images.test_b
    names = images.names("testA" if domain == "a" else "testB")[:most]
    smallest = min(min(shape[1:]) for tests in (images.test_a, images.test_b) for shape in tests.shapes[:most])
    if smallest < stride:
        raise ValueError(f"a code needs images of at least {stride}×{stride} pixels, and one has a side of {smallest}")
    grid = min(GRID, smallest // stride)
    means, places, cells = [], [], []
    generator = draws.generator(images.seed, "places", domain)
    for x in same_sizes((seen[i] for i in range(len(names))), BATCH):
        height, width = (side // stride * stride for side in x.shape[2:])
        z = model.code(to_float(x[..., :height, :width]).to(device), domain).float().cpu()
        means.append(z.mean((2, 3)))
        cells.append(F.adaptive_avg_pool2d(z, grid).flatten(1))
        flat = z.flatten(2).transpose(1, 2)
        drawn = torch.randint(flat.shape[1], (len(flat), PLACES), generator=generator)
        places.append(flat.gather(1, drawn[..., None].expand(-1, -1, flat.shape[2])))
    return SharedCodes(names, torch.cat(means), torch.cat(places), torch.cat(cells))


def nearest(z: SharedCodes, other: SharedCodes, k: int) -> Tensor:
    """The indices of the k nearest codes of the other domain, nearest first: int64 (N, k)."""
    return distances(z.cells, other.cells).topk(k, dim=1, largest=False).indices


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of (N, d) and (M, d): (N, M), some rows at a time."""
    return torch.cat([torch.cdist(part.double(), y.double()) for part in torch.split(x, AT_ONCE)])


def stems(names: Sequence[str]) -> list[str]:
    """The names without their suffixes, by which images of both domains are pairs."""
    return [PurePath(name).with_suffix("").as_posix() for name in names]
