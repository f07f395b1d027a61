"""The pictures of an autoencoder, each named after what it shows.

    picture              of       shows
    reconstructions      A L   C  rows of images, and beneath each row its reconstructions
    denoising            A L      the images, the same with noise, and what is made of those (of a denoising model)
    samples              A L M    images of codes drawn from the prior; but for A, a column a label
    styles                 L M C  a row a drawn style, a column a label or category
    analogies              L M    an image of each class, and its style with every label
    attributes           A        images of each class in turn, and images of their codes moved from the mean code of
                                  their class towards that of the next (if the images have labels)
    places               A        a row a place in a part of the prior, a column a part (if there is one a label)
    manifold             A        images of a grid of codes, from left to right and from bottom to top (2 dimensions);
                                  of a plain autoencoder, of those around the mean of its codes
    manifold_of_0 …     L M    the same for each label (2 dimensions)
    heads                      C  a row a category: its image of style 0, and its images that are surest to be in it
    latent               A L      all images' codes, colored by label, and beside them as many samples of the prior,
                                  colored if it has labels of its own (2 dimensions, or the first 2 of more)
                               C  all images' points, each its category's plus the style (heads, and 2 dimensions)

A: VAE, AAE, WAE, and M1 (its VAE). L, whose decoder gets the label: CVAE, supervised AAE. M, which name the label
themselves: M2, M1+M2. C, which have categories: semi-supervised and clustering AAE.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from unit import draws
from unit.core.noise import noisy
from unit.core.prior import Normal, Prior, draw_labels
from unit.data.domain import Domain
from unit.data.grid import Grid
from unit.data.images import from_intensity, to_float, to_intensity, to_uint8, write_grid
from unit.models.autoencoder import ImageAutoencoder, NetsConfig
from unit.models.base import Model
from unit.models.categorical import CategoricalAutoencoder, log_odds
from unit.models.m1 import M1Model
from unit.models.m1m2 import M1M2Model
from unit.models.m2 import M2Model
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
COLUMNS_OF_SAMPLES = 10
"""Columns of drawn images where there are no classes."""
MOVES = (0.0, 0.5, 1.0, 1.5, 2.0)
"""How far codes are moved from class to class; 1 is from one's mean to the other's."""
PIXELS = 56
"""Images are magnified to about this side."""

Draw = Callable[[], Grid]
Code = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) in [-1, 1] and labels (B,) → codes (B, d)."""
Decode = Callable[[Tensor, Tensor], Tensor]
"""Codes (B, d) and labels (B,) → images (B, C, H, W). A model without labels takes no notice of them."""


def plot(model: Model, images: Domain, output: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the model's pictures into the folder `output`, and return their paths; `images` are those that are encoded.

    Raises FileExistsError, before anything is written, where one of them is there and `overwrite` is not set, and
    ValueError for a model without pictures.
    """
    pictures = {output / f"{name}.png": draw for name, draw in list_pictures(model, images).items()}
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file; expected a folder for the pictures")
    there = [path.name for path in pictures if path.exists()]
    if there and not overwrite:
        raise FileExistsError(f"{output} has {', '.join(there)} already; --overwrite replaces them")
    output.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for path, draw in pictures.items():
            picture = draw()
            write_grid(path, picture.images, columns=picture.columns)
    return list(pictures)


# Which pictures a model has.


def list_pictures(model: Model, images: Domain) -> dict[str, Draw]:
    """What draws each picture, by its name."""
    match model:
        case ImageAutoencoder():
            return autoencoder_pictures(model, images)
        case M1Model():
            return autoencoder_pictures(model.vae, images)
        case M2Model() | M1M2Model():

            def code(x: Tensor, _: Tensor) -> Tensor:
                return model.code(x, model.classify(x).argmax(1))

            analogy = {"analogies": partial(analogies, code, model.image, images)}
            return decoder_pictures(model.image, model.m2.prior, classes=model.images.classes) | analogy
        case CategoricalAutoencoder():
            return category_pictures(model, images)
    raise ValueError(f"no pictures of a {type(model).__name__}; expected an autoencoder")


def autoencoder_pictures(model: ImageAutoencoder, images: Domain) -> dict[str, Draw]:
    def rebuilt(x: Tensor, y: Tensor) -> Tensor:
        return model.image(model.code(x, y), y)

    classes = model.images.classes if model.labels != "none" else 0
    pictures: dict[str, Draw] = {"reconstructions": partial(reconstructions, rebuilt, images)}
    if model.config.model.noise or model.config.model.salt_pepper:
        pictures["denoising"] = partial(denoising, rebuilt, images, model.config.model)
    pictures |= decoder_pictures(model.image, model.prior, classes=classes)
    if classes:
        pictures["analogies"] = partial(analogies, model.code, model.image, images)
    elif len(classes_of(images)) > 1:
        pictures["attributes"] = partial(attributes, model, images)
    if model.config.model.regularizer == "none" and "manifold" in pictures:
        pictures["manifold"] = partial(manifold_of_codes, model, images)
    if model.prior.labels:
        pictures["places"] = partial(places, model.image, model.prior)
    if model.prior.dimensions > 1:
        pictures["latent"] = partial(latent, model, images)
    return pictures


def decoder_pictures(image: Decode, prior: Prior, *, classes: int) -> dict[str, Draw]:
    """Pictures of drawn codes; `classes` is 0 for a decoder that gets no label."""
    pictures: dict[str, Draw] = {"samples": partial(samples, image, prior, classes)}
    if classes:
        pictures["styles"] = partial(styles, image, prior, classes)
    if prior.dimensions == 2:
        names = [f"manifold_of_{y}" for y in range(classes)] if classes else ["manifold"]
        pictures |= {name: partial(manifold, image, prior, y) for y, name in enumerate(names)}
    return pictures


def category_pictures(model: CategoricalAutoencoder, images: Domain) -> dict[str, Draw]:
    def rebuilt(x: Tensor, _: Tensor) -> Tensor:
        code = model.code(x)
        return model.image(code.y, code.z)

    pictures: dict[str, Draw] = {
        "reconstructions": partial(reconstructions, rebuilt, images),
        "heads": partial(heads, model, images),
        "styles": partial(category_styles, model),
    }
    if model.decoder.heads is not None and model.config.model.latent == 2:
        pictures["latent"] = partial(points, model, images)
    return pictures


# Pictures of images.


def grid(images: Tensor, columns: int) -> Grid:
    """Images (N, C, H, W) in [-1, 1], each pixel magnified to a square."""
    factor = max(1, PIXELS // images.shape[-1])
    return Grid(to_uint8(images).repeat_interleave(factor, -1).repeat_interleave(factor, -2), columns)


def rows(images: Domain) -> tuple[Tensor, Tensor, int]:
    """The first images in [-1, 1] with their labels, and how many of them make a row: all rows are whole."""
    columns = min(COLUMNS, len(images))
    some = images.part(0, min(GROUPS, len(images) // columns) * columns)
    return to_float(some.tensor), some.class_labels, columns


def beneath(columns: int, *images: Tensor) -> Grid:
    """A row of the first images, beneath it one of the second, and so on; then the next of the first."""
    return grid(torch.stack([x.reshape(-1, columns, *x.shape[1:]) for x in images], dim=1).flatten(0, 2), columns)


def reconstructions(rebuilt: Code, images: Domain) -> Grid:
    x, y, columns = rows(images)
    return beneath(columns, x, rebuilt(x, y))


def denoising(rebuilt: Code, images: Domain, model: NetsConfig) -> Grid:
    x, y, columns = rows(images)
    normals = torch.randn(x.shape, generator=draws.generator(0, "plot noise"))
    seen = from_intensity(noisy(to_intensity(x), normals, sd=model.noise, salt_pepper=model.salt_pepper))
    return beneath(columns, x, seen, rebuilt(seen, y))


def samples(image: Decode, prior: Prior, classes: int) -> Grid:
    columns = classes or COLUMNS_OF_SAMPLES
    z = prior.sample(DRAWN * columns, draws.generator(0, "plot samples"))
    return grid(image(z, torch.arange(columns).repeat(DRAWN)), columns)


def styles(image: Decode, prior: Prior, classes: int) -> Grid:
    return grid(with_every_label(image, prior.sample(DRAWN, draws.generator(0, "plot styles")), classes), classes)


def with_every_label(image: Decode, z: Tensor, classes: int) -> Tensor:
    """Codes (B, d) → images (K·B, C, H, W): the first code's K, then the second's."""
    return image(z.repeat_interleave(classes, 0), torch.arange(classes).repeat(len(z)))


def analogies(code: Code, image: Decode, images: Domain) -> Grid:
    """A row for the first image of each class."""
    first = [int((images.class_labels == y).nonzero()[0]) for y in classes_of(images)]
    x = to_float(images.tensor[first])
    every = with_every_label(image, code(x, images.class_labels[first]), images.classes)
    return apart(x, every.reshape(len(x), images.classes, *x.shape[1:]))


def attributes(model: ImageAutoencoder, images: Domain) -> Grid:
    """A row an image: x, a gap, and the images of z + t·(mean code of the next class − mean code of its own) for t in
    MOVES (the visual attribute vectors of Larsen et al. 2016)."""
    codes, labels = over_all(model.code, images), images.class_labels
    classes = classes_of(images)
    means = {y: codes[labels == y].mean(0) for y in classes}
    members = {y: (labels == y).nonzero().flatten().tolist() for y in classes}
    chosen, vectors = [], []
    for row in range(DRAWN):
        y, number = classes[row % len(classes)], row // len(classes)
        if number < len(members[y]):
            chosen.append(members[y][number])
            vectors.append(means[classes[(row + 1) % len(classes)]] - means[y])
    moved = codes[chosen][:, None] + torch.tensor(MOVES)[:, None] * torch.stack(vectors)[:, None]
    x = to_float(images.tensor[chosen])
    return apart(x, model.image(moved.flatten(0, 1)).reshape(len(x), len(MOVES), *x.shape[1:]))


def classes_of(images: Domain) -> list[int]:
    """The classes that there are among the images."""
    return sorted(set(images.class_labels.tolist()))


def apart(first: Tensor, others: Tensor) -> Grid:
    """Rows of an image (B, C, H, W), a gap, and n images (B, n, C, H, W)."""
    images = torch.cat([first[:, None], torch.ones_like(first[:, None]), others], dim=1)
    return grid(images.flatten(0, 1), images.shape[1])


def places(image: Decode, prior: Prior) -> Grid:
    """What is drawn is the same for every part, so that the codes of a row lie at one place of theirs."""
    every = torch.arange(prior.labels).repeat_interleave(DRAWN)
    z = [prior.sample(DRAWN, draws.generator(0, "plot places"), y) for y in every.chunk(prior.labels)]
    images = image(torch.cat(z), every)
    return grid(images.view(prior.labels, DRAWN, *images.shape[1:]).transpose(0, 1).flatten(0, 1), prior.labels)


def manifold(image: Decode, prior: Prior, label: int) -> Grid:
    """Codes of a square: of a normal prior two standard deviations to each side, else what holds the prior's samples;
    from left to right and from bottom to top, as in `latent`."""
    if isinstance(prior, Normal):
        reach = 2 * prior.sd
    else:
        reach = float(prior.sample(2000, draws.generator(0, "plot manifold")).abs().max())
    return over_plane(image, torch.zeros(2), torch.full((2,), reach), label)


def manifold_of_codes(model: ImageAutoencoder, images: Domain) -> Grid:
    """Of an autoencoder that nothing pulls towards a prior: two standard deviations of its codes around their mean."""
    z = over_all(model.code, images)
    return over_plane(model.image, z.mean(0), 2 * z.std(0, correction=0), 0)


def over_plane(image: Decode, middle: Tensor, reach: Tensor, label: int) -> Grid:
    """Codes from middle − reach to middle + reach, (2,) each."""
    line = torch.linspace(-1, 1, SIDE)
    z = middle + reach * torch.stack([line.repeat(SIDE), line.flip(0).repeat_interleave(SIDE)], dim=1)
    return grid(image(z, torch.full((len(z),), label)), SIDE)


def category_styles(model: CategoricalAutoencoder) -> Grid:
    categories = model.config.model.categories
    z = model.style_prior.sample(DRAWN, draws.generator(0, "plot styles"))
    return grid(model.image(torch.eye(categories).repeat(DRAWN, 1), z.repeat_interleave(categories, 0)), categories)


def heads(model: CategoricalAutoencoder, images: Domain) -> Grid:
    """Where a category has too few images, white ones take their place."""
    categories = model.config.model.categories
    first = model.image(torch.eye(categories), torch.zeros(categories, model.config.model.latent))
    sure = over_all(lambda x, _: log_odds(model.code(x).logits), images)
    others = torch.ones(categories, SUREST, *first.shape[1:])
    for category, row in enumerate(others):
        members = (sure.argmax(1) == category).nonzero().flatten()
        best = members[sure[members, category].argsort(descending=True, stable=True)[:SUREST]]
        row[: len(best)] = to_float(images.tensor[best])
    return apart(first, others)


def over_all(code: Code, images: Domain) -> Tensor:
    """What `code` makes of all images: (N, d)."""
    parts = (images.part(start, start + BATCH) for start in range(0, len(images), BATCH))
    return torch.cat([code(to_float(part.tensor), part.class_labels) for part in parts])


# Pictures of codes.


def class_names(images: Domain) -> list[str]:
    return [str(y) for y in range(max(1, images.classes))]


def clouds(model: ImageAutoencoder, images: Domain) -> tuple[Cloud, Cloud]:
    """The codes of the images, and as many samples of the prior."""
    generator, prior = draws.generator(0, "plot prior"), model.prior
    labels = draw_labels(prior, len(images), generator) if prior.labels else None
    of_prior = prior.sample(len(images), generator, labels)
    some = "" if prior.dimensions == 2 else f" (the first two of {prior.dimensions} dimensions)"
    return (
        Cloud(f"codes of the images{some}", over_all(model.code, images)[:, :2], images.class_labels),
        Cloud(f"samples of the prior{some}", of_prior[:, :2], labels),
    )


def latent(model: ImageAutoencoder, images: Domain) -> Grid:
    return raster(scatter(*clouds(model, images), names=class_names(images)))


def points(model: CategoricalAutoencoder, images: Domain) -> Grid:
    def point(x: Tensor, _: Tensor) -> Tensor:
        code = model.code(x)
        return model.decoder.point(code.y, code.z)

    cloud = Cloud("codes of the images", over_all(point, images), images.class_labels)
    return raster(scatter(cloud, names=class_names(images)))
