"""The style of one's own hand-written digit, with every label: an analogy of a picture that the user gives."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from unit.data.images import to_float, write_grid
from unit.data.own_digit import read_own_digit
from unit.inference.codes import code_of
from unit.inference.samples import drawing_of
from unit.models.autoencoder import ImageAutoencoder
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder
from unit.models.folder import load_model
from unit.models.m1 import M1Model
from unit.report.autoencoder import apart, with_every_label


def plot_own(
    model: str | Path, image: Path, output: Path, *, label: int | None = None, overwrite: bool = False
) -> tuple[Path, str]:
    """Write analogies_of_NAME.png into the folder `output`: the picture as the model sees it, and its style with every
    label; returns its path, and a line on what was done with the picture.

    Args:
        model: a model whose decoder gets a label or a category.
        image: a picture of one digit.
        output: the folder.
        label: the digit, for models whose encoder gets it, too (CVAE).
        overwrite: replace the picture if it is there.

    Raises:
        FileExistsError: it is there and `overwrite` is not set.
        FileNotFoundError, ValueError: there is no model or no picture, or the model has no labels.
    """
    network = load_model(model)
    code = style_of(network, label)
    drawing = drawing_of(network)
    path = output / f"analogies_of_{image.stem}.png"
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{output} has {path.name} already; --overwrite replaces it")
    shape = network.config.images
    own = read_own_digit(image, size=shape.size, channels=shape.channels)
    x = to_float(own.pixels[None])
    with torch.inference_mode():
        every = with_every_label(drawing.image, code(x), drawing.labels)
    picture = apart(x, every[None])
    output.mkdir(parents=True, exist_ok=True)
    write_grid(path, picture.images, columns=picture.columns)
    return path, own.done


def style_of(model: Model, label: int | None) -> Callable[[Tensor], Tensor]:
    """What gives the style of images; raises ValueError for a model whose decoder gets no label."""
    if isinstance(model, M1Model) or (isinstance(model, ImageAutoencoder) and model.labels == "none"):
        raise ValueError(
            f"--image: this model {model.name} has no labels to draw a style with; expected one whose decoder gets the "
            "label (cvae, m2, m1m2, aae_supervised, aae_semi)"
        )
    code = code_of(model, label)
    return (lambda x: model.code(x).z) if isinstance(model, CategoricalAutoencoder) else code
