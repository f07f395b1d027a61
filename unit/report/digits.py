"""The pictures of an autoencoder of digits, each named after what it shows.

    picture              of       shows
    reconstructions      A L   C  rows of images, and beneath each row its reconstructions
    denoising            A L      the images, the same with noise, and what is made of those (if model.noise is not 0)
    samples              A L M    images of codes drawn from the prior; but for A, a column a label
    styles                 L M C  a row a drawn style, a column a label or category
    analogies              L M    an image of each digit, and its style with every label
    manifold             A        images of a grid of codes, from left to right and from bottom to top (2 dimensions)
    manifold_of_0 to 9     L M    the same for each label (2 dimensions)
    heads                      C  a row a category: its image of style 0, and its images that are surest to be in it
    latent               A L      all images' codes, coloured by label, and beside them as many samples of the prior,
                                  coloured if it has labels of its own (2 dimensions, or the first 2 of more)
                               C  all images' points, each its category's plus the style (heads, and 2 dimensions)

A: VAE, AAE, WAE, and M1 (its VAE). L, whose decoder is told the label: CVAE, supervised AAE. M, which name the label
themselves: M2, M1+M2. C, which have categories: semi-supervised and clustering AAE.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from unit import draws
from unit.core.prior import Normal, Prior, drawn
from unit.data.digit_batches import CLASSES
from unit.data.digits import Digits
from unit.data.images import write_grid
from unit.methods.aae_semi import CategoricalModel, log_odds
from unit.methods.autoencoder import DigitModel, grey, noisy
from unit.methods.m1 import M1Model
from unit.methods.m1m2 import M1M2Model
from unit.methods.m2 import M2Model
from unit.methods.method import Grid
from unit.report.plots import Cloud, raster, scatter

BATCH = 500
COLUMNS, GROUPS = 20, 4
"""How many images are reconstructed, and beneath one another."""
DRAWN = 10
"""Rows of drawn codes."""
SIDE = 20
"""Codes along each side of a manifold."""
SUREST = 9
"""Images beside a category's head."""
DIGITS = [str(y) for y in range(CLASSES)]
PIXELS = 56
"""Images are magnified to about this side."""

Draw = Callable[[], Grid]
Code = Callable[[Tensor, Tensor], Tensor]
"""Images (B, 1, H, W) in [0, 1] and labels (B,) → codes (B, d)."""
Decode = Callable[[Tensor, Tensor], Tensor]
"""Codes (B, d) and labels (B,) → images (B, 1, H, W). A model without labels takes no notice of them."""


def plot(model: nn.Module, digits: Digits, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the model's pictures into the folder `output`, and return their paths; `digits` are the test images.

    Raises FileExistsError, before anything is written, where one of them is there and `overwrite` is not set, and
    ValueError for a model without pictures.
    """
    pictures = {output / f"{name}.png": draw for name, draw in pictures_of(model, digits).items()}
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    there = [path.name for path in pictures if path.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{output} has {', '.join(there)} already; --overwrite replaces them")
    output.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for path, draw in pictures.items():
            images, columns = draw()
            write_grid(path, images, columns=columns)
    return list(pictures)


# Which pictures a model has.


def pictures_of(model: nn.Module, digits: Digits) -> dict[str, Draw]:
    """What draws each picture, by its name."""
    match model:
        case DigitModel():
            return autoencoder_pictures(model, digits)
        case M1Model():
            return autoencoder_pictures(model.vae, digits)
        case M2Model() | M1M2Model():

            def code(x: Tensor, _: Tensor) -> Tensor:
                return model.code(x, model.classify(x).argmax(1))

            analogy = {"analogies": partial(analogies, code, model.image, digits)}
            return decoder_pictures(model.image, model.m2.prior, labels=True) | analogy
        case CategoricalModel():
            return category_pictures(model, digits)
    raise ValueError(f"no pictures of a {type(model).__name__}; expected an autoencoder of digits")


def autoencoder_pictures(model: DigitModel, digits: Digits) -> dict[str, Draw]:
    def rebuilt(x: Tensor, y: Tensor) -> Tensor:
        return model.image(model.code(x, y), y)

    pictures: dict[str, Draw] = {"reconstructions": partial(reconstructions, rebuilt, digits)}
    if model.config.noise:
        pictures["denoising"] = partial(denoising, rebuilt, digits, model.config.noise)
    pictures |= decoder_pictures(model.image, model.prior, labels=model.labels_in != "none")
    if model.labels_in != "none":
        pictures["analogies"] = partial(analogies, model.code, model.image, digits)
    if model.prior.dimensions > 1:
        pictures["latent"] = partial(latent, model, digits)
    return pictures


def decoder_pictures(image: Decode, prior: Prior, *, labels: bool) -> dict[str, Draw]:
    pictures: dict[str, Draw] = {"samples": partial(samples, image, prior)}
    if labels:
        pictures["styles"] = partial(styles, image, prior)
    if prior.dimensions == 2:
        names = [f"manifold_of_{y}" for y in range(CLASSES)] if labels else ["manifold"]
        pictures |= {name: partial(manifold, image, prior, y) for y, name in enumerate(names)}
    return pictures


def category_pictures(model: CategoricalModel, digits: Digits) -> dict[str, Draw]:
    def rebuilt(x: Tensor, _: Tensor) -> Tensor:
        code = model.code(x)
        return model.image(code.y, code.z)

    pictures: dict[str, Draw] = {
        "reconstructions": partial(reconstructions, rebuilt, digits),
        "heads": partial(heads, model, digits),
        "styles": partial(category_styles, model),
    }
    if model.decoder.heads is not None and model.config.latent == 2:
        pictures["latent"] = partial(points, model, digits)
    return pictures


# Pictures of images.


def grid(images: Tensor, columns: int) -> Grid:
    """Images (N, 1, H, W) in [0, 1], each pixel magnified to a square."""
    factor = max(1, PIXELS // images.shape[-1])
    return Grid(grey(images).repeat_interleave(factor, -1).repeat_interleave(factor, -2), columns)


def floats(images: Tensor) -> Tensor:
    return images.float() / 255


def rows(digits: Digits) -> tuple[Tensor, Tensor, int]:
    """The first images in [0, 1] with their labels, and how many of them make a row: all rows are whole."""
    columns = min(COLUMNS, len(digits))
    some = digits.part(0, min(GROUPS, len(digits) // columns) * columns)
    return floats(some.images), some.labels, columns


def beneath(columns: int, *images: Tensor) -> Grid:
    """A row of the first images, beneath it one of the second, and so on; then the next of the first."""
    return grid(torch.stack([x.reshape(-1, columns, *x.shape[1:]) for x in images], dim=1).flatten(0, 2), columns)


def reconstructions(rebuilt: Code, digits: Digits) -> Grid:
    x, y, columns = rows(digits)
    return beneath(columns, x, rebuilt(x, y))


def denoising(rebuilt: Code, digits: Digits, sd: float) -> Grid:
    x, y, columns = rows(digits)
    seen = noisy(x, sd, torch.randn(x.shape, generator=draws.generator(0, "plot noise")))
    return beneath(columns, x, seen, rebuilt(seen, y))


def samples(image: Decode, prior: Prior) -> Grid:
    z = prior.sample(DRAWN * CLASSES, draws.generator(0, "plot samples"))
    return grid(image(z, torch.arange(CLASSES).repeat(DRAWN)), CLASSES)


def styles(image: Decode, prior: Prior) -> Grid:
    return grid(with_every_label(image, prior.sample(DRAWN, draws.generator(0, "plot styles"))), CLASSES)


def with_every_label(image: Decode, z: Tensor) -> Tensor:
    """Codes (B, d) → images (10·B, 1, H, W): the first code's ten, then the second's."""
    return image(z.repeat_interleave(CLASSES, 0), torch.arange(CLASSES).repeat(len(z)))


def analogies(code: Code, image: Decode, digits: Digits) -> Grid:
    """A row for the first image of each digit."""
    first = [int((digits.labels == y).nonzero()[0]) for y in sorted(set(digits.labels.tolist()))]
    x = floats(digits.images[first])
    every = with_every_label(image, code(x, digits.labels[first]))
    return apart(x, every.reshape(len(x), CLASSES, *x.shape[1:]))


def apart(first: Tensor, others: Tensor) -> Grid:
    """Rows of an image (B, 1, H, W), a gap, and n images (B, n, 1, H, W)."""
    images = torch.cat([first[:, None], torch.ones_like(first[:, None]), others], dim=1)
    return grid(images.flatten(0, 1), images.shape[1])


def manifold(image: Decode, prior: Prior, label: int) -> Grid:
    """Codes of a square: of a normal prior two standard deviations to each side, else what holds the prior's samples;
    from left to right and from bottom to top, as in `latent`."""
    if isinstance(prior, Normal):
        reach = 2 * prior.sd
    else:
        reach = float(prior.sample(2000, draws.generator(0, "plot manifold")).abs().max())
    line = torch.linspace(-reach, reach, SIDE)
    z = torch.stack([line.repeat(SIDE), line.flip(0).repeat_interleave(SIDE)], dim=1)
    return grid(image(z, torch.full((len(z),), label)), SIDE)


def category_styles(model: CategoricalModel) -> Grid:
    categories = model.config.categories
    z = model.style_prior.sample(DRAWN, draws.generator(0, "plot styles"))
    return grid(model.image(torch.eye(categories).repeat(DRAWN, 1), z.repeat_interleave(categories, 0)), categories)


def heads(model: CategoricalModel, digits: Digits) -> Grid:
    """Where a category has too few images, white ones take their place."""
    categories = model.config.categories
    first = model.image(torch.eye(categories), torch.zeros(categories, model.config.latent))
    sure = over_all(lambda x, _: log_odds(model.code(x).logits), digits)
    others = torch.ones(categories, SUREST, *first.shape[1:])
    for category, row in enumerate(others):
        members = (sure.argmax(1) == category).nonzero().flatten()
        best = members[sure[members, category].argsort(descending=True, stable=True)[:SUREST]]
        row[: len(best)] = floats(digits.images[best])
    return apart(first, others)


def over_all(code: Code, digits: Digits) -> Tensor:
    """What `code` makes of all images: (N, d)."""
    parts = (digits.part(start, start + BATCH) for start in range(0, len(digits), BATCH))
    return torch.cat([code(floats(part.images), part.labels) for part in parts])


# Pictures of codes.


def clouds(model: DigitModel, digits: Digits) -> tuple[Cloud, Cloud]:
    """The codes of the images, and as many samples of the prior."""
    generator, prior = draws.generator(0, "plot prior"), model.prior
    labels = drawn(len(digits), prior.labels, generator) if prior.labels else None
    of_prior = prior.sample(len(digits), generator, labels)
    some = "" if prior.dimensions == 2 else f" (the first two of {prior.dimensions} dimensions)"
    return (
        Cloud(f"codes of the test images{some}", over_all(model.code, digits)[:, :2], digits.labels),
        Cloud(f"samples of the prior{some}", of_prior[:, :2], labels),
    )


def latent(model: DigitModel, digits: Digits) -> Grid:
    return raster(scatter(*clouds(model, digits), names=DIGITS))


def points(model: CategoricalModel, digits: Digits) -> Grid:
    def point(x: Tensor, _: Tensor) -> Tensor:
        code = model.code(x)
        return model.decoder.point(code.y, code.z)

    return raster(scatter(Cloud("codes of the test images", over_all(point, digits), digits.labels), names=DIGITS))
