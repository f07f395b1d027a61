"""Between two images: the codes on the line from the one's to the other's, drawn in both domains.

z_t = (1 − t)·z_0 + t·z_1, where z_0 and z_1 are the mean codes of the two images. At its ends the line gives each
image's reconstruction in its own domain, and its translation in the other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unit.data.decoding import read_image
from unit.data.grid import Grid
from unit.data.images import to_float, to_uint8, write_grid
from unit.models.base import DomainName, Model, Resize
from unit.models.folder import load_model
from unit.models.unit import UnitTranslator

Domains = Literal["aa", "ab", "ba", "bb"]
"""Of which domain the first image is, and of which the second."""
STEPS = 8


def plot_between(
    model: str | Path,
    first: Path,
    second: Path,
    output: Path,
    *,
    domains: Domains = "ab",
    resize: Resize = None,
    overwrite: bool = False,
) -> Path:
    """Write between_FIRST_and_SECOND.png into the folder `output`: a row for each domain, and beside it the two images;
    returns its path.

    Args:
        model: a model's folder, a run's, or one of a run's checkpoints, with codes of both domains.
        first, second: image files; of both the middle is taken that is of the size that they have in common.
        output: the folder.
        domains: of which domain each is.
        resize: scale them to this shorter side; by default to that of the model's training; "keep" keeps their sizes.
        overwrite: replace the picture if it is there.

    Raises:
        FileExistsError: it is there and `overwrite` is not set.
        FileNotFoundError, ValueError: there is no model or no image, or the model has no such codes.
    """
    network = shared_codes_of(load_model(model))
    path = output / f"between_{first.stem}_and_{second.stem}.png"
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{output} has {path.name} already; --overwrite replaces it")
    side, images = network.shorter_side(resize), []
    for place, domain in zip((first, second), domains, strict=True):
        if not place.is_file():
            raise FileNotFoundError(f"no such image: {place}")
        images.append(read_image(place, channels=network.images.channels(domain), resize=side))
    x_0, x_1 = in_common(images, network.stride)
    picture = rows_between(network, to_float(x_0), to_float(x_1), domains)
    output.mkdir(parents=True, exist_ok=True)
    write_grid(path, picture.images, columns=picture.columns)
    return path


def shared_codes_of(model: Model) -> UnitTranslator:
    """The model; raises ValueError for one without codes of both domains."""
    if not isinstance(model, UnitTranslator):
        raise ValueError(f"a model {model.name} has no latent space that both domains share")
    return model


def in_common(images: Sequence[Tensor], stride: int, most: int | None = None) -> list[Tensor]:
    """The middle of each image (C, H, W), all of one size, as large as they have in common in multiples of the stride,
    or `most`; raises ValueError where they have less than one stride."""
    sides = [min(image.shape[axis] for image in images) for axis in (1, 2)]
    height, width = ((side if most is None else min(side, most)) // stride * stride for side in sides)
    if not height or not width:
        raise ValueError(
            f"images: expected at least {stride}×{stride} pixels, got {sides[1]}×{sides[0]} that they have in common"
        )
    middles = []
    for image in images:
        top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
        middles.append(image[:, top : top + height, left : left + width])
    return middles


@torch.inference_mode()
def interpolate(
    model: UnitTranslator, first: Tensor, second: Tensor, domains: Domains = "ab", *, steps: int = STEPS
) -> dict[DomainName, Tensor]:
    """Images of the codes between those of two images, in both domains.

    Args:
        model: a translator with codes of both domains.
        first, second: float (C, H, W) in [-1, 1], of one height and width, which are multiples of the model's stride.
        domains: of which domain each is.
        steps: how many codes there are on the line, with its ends; at least 2.

    Returns:
        float (steps, C, H, W) in [-1, 1] by domain.
    """
    names: dict[str, DomainName] = {"a": "a", "b": "b"}
    z_0, z_1 = (model.code(image[None], names[domain]) for image, domain in zip((first, second), domains, strict=True))
    codes = [torch.lerp(z_0, z_1, t) for t in torch.linspace(0, 1, steps).tolist()]
    return {name: torch.cat([getattr(model, name).decode(z) for z in codes]) for name in names.values()}


def rows_between(
    model: UnitTranslator, first: Tensor, second: Tensor, domains: Domains = "ab", *, steps: int = STEPS
) -> Grid:
    """A row for each domain: the first image where it is of it, the images between, the second where it is of it."""
    rows = []
    for domain, images in interpolate(model, first, second, domains, steps=steps).items():
        blank = torch.ones(3, *first.shape[1:])
        ends = [
            image.expand(3, -1, -1) if domain == own else blank
            for image, own in zip((first, second), domains, strict=True)
        ]
        rows += [ends[0], *images.expand(-1, 3, -1, -1), ends[1]]
    return Grid(to_uint8(torch.stack(rows)), steps + 2)
