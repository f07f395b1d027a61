"""The pictures of an autoencoder of digits, each named after what it shows.

========================= ============================================================ ================================
picture                   shows                                                        of a model
========================= ============================================================ ================================
reconstructions           rows of images, and below each row its reconstructions       that is no M2
denoising                 images, the same with noise, and what is made of those       of noisy inputs
samples                   images of codes drawn from the prior; a column a label       that is no CategoricalModel
styles                    a row a drawn style, a column a label or category            with labels or categories
analogies                 an image, and its style with each label                      with labels
manifold                  images of a grid of codes, the second dimension upwards      of 2 dimensions
manifold_of_0, …, _of_9   the same with one label                                      of 2 dimensions, with labels
heads                     a row a category: its image of style 0, and the images       with categories
                          that are surest to be in it
latent                    the first two dimensions of all images' codes, coloured by   of 2 or more dimensions, no M2;
                          label, and beside them as many samples of the prior; or      categories: of 2, with heads
                          the point that stands for category and style
========================= ============================================================ ================================

A model with labels is one whose decoder is told the label. M1's pictures are its VAE's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from unit import draws
from unit.core.prior import Normal, Prior, drawn
from unit.data.digit_batches import CLASSES
from unit.data.digits import Digits
from unit.data.images import write_grid
from unit.methods.aae_semi import CategoricalModel
from unit.methods.autoencoder import DigitModel, grey, noisy
from unit.methods.m1 import M1Model
from unit.methods.m1m2 import M1M2Model
from unit.methods.m2 import M2Model
from unit.methods.method import Grid

BATCH = 500
COLUMNS, ROWS = 20, 3
"""Test images that are reconstructed."""
DRAWN = 10
"""Rows of drawn codes."""
SIDE = 20
"""Codes along a side of a manifold."""
SUREST = 9
"""Test images beside a category's head."""
SMALLEST = 56
"""Images are magnified to about so many pixels a side."""

Draw = Callable[[], Grid]
Code = Callable[[Tensor, Tensor], Tensor]
"""Images (B, 1, H, W) in [0, 1] and labels (B,) → codes (B, d)."""
Image = Callable[[Tensor, Tensor], Tensor]
"""Codes (B, d) and labels (B,) → images (B, 1, H, W)."""


def plot(model: nn.Module, digits: Digits, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the model's pictures of these test images into `output`, and return their paths.

    Raises FileExistsError, before anything is written, where one is there and `overwrite` is not set; ValueError for a
    model without pictures.
    """
    pictures = {output / f"{name}.png": draw for name, draw in pictures_of(model, digits).items()}
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    there = [path.name for path in pictures if path.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{output} holds {', '.join(there)} already; --overwrite replaces them")
    output.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for path, draw in pictures.items():
            grid = draw()
            write_grid(path, grid.images, columns=grid.columns)
    return list(pictures)


def pictures_of(model: nn.Module, digits: Digits) -> dict[str, Draw]:
    """What draws each picture, by name."""
    match model:
        case M1Model():
            return autoencoder_pictures(model.vae, digits)
        case DigitModel():
            return autoencoder_pictures(model, digits)
        case M2Model() | M1M2Model():
            return decoded(model.image, model.m2.prior) | labelled(
                model.image, model.m2.prior, lambda x, _: model.code(x, model.classify(x).argmax(1)), digits
            )
        case CategoricalModel():
            return category_pictures(model, digits)
    raise ValueError(f"no pictures of a {type(model).__name__}; expected an autoencoder of digits")


def autoencoder_pictures(model: DigitModel, digits: Digits) -> dict[str, Draw]:
    """Without labels in the model, its code and image take no notice of those given."""

    def rebuilt(x: Tensor, y: Tensor) -> Tensor:
        return model.image(model.code(x, y), y)

    pictures: dict[str, Draw] = {"reconstructions": partial(reconstructions, rebuilt, digits)}
    if model.config.noise:
        pictures["denoising"] = partial(denoising, rebuilt, digits, model.config.noise)
    if model.labels_in == "none":
        pictures |= decoded(model.image, model.prior)
    else:
        pictures |= labelled(model.image, model.prior, model.code, digits)
    if model.prior.dimensions > 1:
        pictures["latent"] = partial(latent, model, digits)
    return pictures
