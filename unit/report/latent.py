"""The pictures of the latent space that a translator's domains share: where codes lie, the neighbors of codes in the
other domain, and what lies between images of both."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unit.data.grid import Grid
from unit.data.images import to_float, write_grid
from unit.evaluation.shared_codes import SharedCodes, encode, nearest, no_codes, stems
from unit.models.base import Direction, DomainName
from unit.report.between import in_common, rows_between, shared_codes_of
from unit.report.codes import plot_codes

if TYPE_CHECKING:
    from unit.evaluation.sets import TranslationSet

CANDIDATES = 200
"""Images of each domain among which neighbors are looked for, unless a metric has encoded more."""
SHOWN, NEIGHBORS = 8, 5
"""Rows of the gallery, and neighbors in each."""
PAIRS = 3
"""Pairs of images between which is drawn."""
LARGEST = 256
"""Side of a picture's images, at most."""
GREEN = (0, 160, 70)
"""The frame of an image's truth, where it is among the neighbors."""
NAMES = ("latent.png", "neighbors_a2b.png", "neighbors_b2a.png", "interpolations.png")


def plot_latent(images: "TranslationSet", output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the pictures of a translator's codes into the folder `output`; returns their paths.

    latent.png has the codes of both domains in the plane, neighbors_a2b.png a row for each of some test images with
    those of the other domain whose codes are nearest, and interpolations.png what lies between some images of both.
    Raises ValueError or FileNotFoundError where there are no codes or no images, FileExistsError for a picture that is
    there unless `overwrite` is set.
    """
    model = shared_codes_of(images.model)
    there = [name for name in NAMES if (output / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{output} has {there[0]} already; --overwrite replaces it")
    paths = plot_codes(model, images.root, output, resize=images.resize, overwrite=overwrite)
    pictures = {"interpolations.png": interpolations(images)}
    if not no_codes(images, least=2):
        a, b = codes_in(images, "a"), codes_in(images, "b")
        pictures |= {"neighbors_a2b.png": gallery(images, "a2b", a, b)}
        pictures |= {"neighbors_b2a.png": gallery(images, "b2a", b, a)}
    for name in NAMES:
        if name in pictures:
            write_grid(output / name, pictures[name].images, columns=pictures[name].columns)
            paths.append(output / name)
    return paths


def codes_in(images: "TranslationSet", domain: DomainName) -> SharedCodes:
    """The codes that metrics have worked out, or those of some images."""
    known: SharedCodes | None = images.codes.get(domain)
    return encode(images, domain, most=CANDIDATES) if known is None else known


def gallery(images: "TranslationSet", direction: Direction, z: SharedCodes, other: SharedCodes) -> Grid:
    """A row for each of some test images: the image, a gap, and the images of the other domain whose codes are nearest,
    the nearest first; a green frame has the one of the same name, its truth."""
    found = nearest(z, other, min(NEIGHBORS, len(other)))
    rows = spread(len(z), SHOWN)
    shown = [images.source(direction)[row] for row in rows]
    near = [[images.target(direction)[int(place)] for place in found[row]] for row in rows]
    cut = iter(in_common([*shown, *(image for row in near for image in row)], 1, LARGEST))
    shown = [next(cut) for _ in shown]
    cells: list[Tensor] = []
    for row, image in zip(rows, shown, strict=True):
        cells += [color(image), torch.full_like(color(image), 255)]
        for place in found[row].tolist():
            neighbor = color(next(cut))
            cells.append(framed(neighbor) if stems(z.names)[row] == stems(other.names)[place] else neighbor)
    return Grid(torch.stack(cells), found.shape[1] + 2)


def interpolations(images: "TranslationSet") -> Grid:
    """For some test images of a and others of b: a row in a and a row in b, as `rows_between` draws them."""
    model = shared_codes_of(images.model)
    count = min(PAIRS, len(images.test_a), len(images.test_b))
    first = [images.test_a[row] for row in spread(len(images.test_a), count)]
    second = [images.test_b[row] for row in spread(len(images.test_b), count)]
    cut = in_common([*first, *second], model.stride, LARGEST)
    device = images.translator.device
    xs = [to_float(image).to(device) for image in cut]
    # The first of a with the second of b, and so on: those of one number may be pairs.
    grids = [rows_between(model, xs[row], xs[count + (row + 1) % count]) for row in range(count)]
    return Grid(torch.cat([grid.images for grid in grids]), grids[0].columns)


def spread(count: int, most: int) -> list[int]:
    """Numbers below `count`, evenly spread, at most so many."""
    most = min(most, count)
    return [place * count // most for place in range(most)]


def color(image: Tensor) -> Tensor:
    """The image with three channels, as a copy."""
    return image.expand(3, -1, -1).clone()


def framed(image: Tensor) -> Tensor:
    """The image with a frame: uint8 (3, H, W)."""
    width = max(1, min(image.shape[1:]) // 32)
    inside = image[:, width:-width, width:-width].clone()
    image[:] = torch.tensor(GREEN, dtype=torch.uint8).view(3, 1, 1)
    image[:, width:-width, width:-width] = inside
    return image
