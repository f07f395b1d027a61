"""The picture of a translator's codes: do both domains lie in one latent space, and is it N(0, I)?

A point is the code at one place of one test image. All are seen along the two directions in which the codes of both
domains together vary most, and beside them samples of N(0, I) on the same axes.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from unit import draws
from unit.data.decoding import read_image
from unit.data.images import find_images, to_float, write_grid
from unit.models.base import ImageTranslator
from unit.models.unit import UnitTranslator
from unit.report.plots import Cloud, raster, scatter

IMAGES, POINTS = 100, 3000
"""How many images of each domain are encoded, and how many of their codes are drawn."""


def plot_codes(
    translator: ImageTranslator, root: Path, output: Path, *, resize: int | None = None, overwrite: bool = False
) -> list[Path]:
    """Write latent.png, of root/testA and root/testB, into the folder `output`; returns its path.

    Raises ValueError or FileNotFoundError where a folder is missing or empty, FileExistsError for a picture that is
    there unless `overwrite` is set.
    """
    if not isinstance(translator, UnitTranslator):
        raise ValueError(f"a model {translator.name} has no latent space that both domains share")
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    path = output / "latent.png"
    if path.exists() and not overwrite:
        raise FileExistsError(f"{output} has {path.name} already; --overwrite replaces it")
    codes = [
        codes_of(translator, "a", root / "testA", resize),
        codes_of(translator, "b", root / "testB", resize),
    ]
    both = torch.cat(codes)
    middle = both.mean(0)
    # The covariance's last two eigenvectors: the directions of the greatest variance.
    directions = torch.linalg.eigh(torch.cov((both - middle).T)).eigenvectors[:, -2:].flip(1)
    order = torch.randperm(len(both), generator=draws.generator(0, "plot order"))  # so that no domain hides the other
    domains = torch.cat([torch.full((len(part),), number) for number, part in enumerate(codes)])
    prior = torch.randn(len(both), both.shape[1], generator=draws.generator(0, "plot prior"))
    figure = scatter(
        Cloud("codes of both domains", (both @ directions)[order], domains[order]),
        Cloud("N(0, I)", prior @ directions, None),
        names=["a", "b"],
    )
    images, columns = raster(figure)
    output.mkdir(parents=True, exist_ok=True)
    write_grid(path, images, columns=columns)
    return [path]


@torch.inference_mode()
def codes_of(translator: UnitTranslator, domain: Literal["a", "b"], folder: Path, resize: int | None) -> Tensor:
    """Some codes, one per place, of a folder's images: (N, c)."""
    paths = find_images(folder)[:IMAGES]
    if not paths:
        raise ValueError(f"{folder}: no images in it")
    stride, codes = translator.stride, []
    channels = translator.images.channels(domain)
    for path in paths:
        image = read_image(path, channels=channels, resize=resize)
        height, width = (side // stride * stride for side in image.shape[1:])
        if not height or not width:
            raise ValueError(f"{path}: {image.shape[2]}×{image.shape[1]} pixels; expected at least {stride}×{stride}")
        mu = translator.code(to_float(image[None, :, :height, :width]), domain)
        codes.append(mu[0].flatten(1).T)
    every = torch.cat(codes)
    return every[torch.randperm(len(every), generator=draws.generator(0, "plot codes"))[:POINTS]]
