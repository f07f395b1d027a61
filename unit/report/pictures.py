"""The pictures of a model, whatever it is: an autoencoder's, or a translator's codes."""

from pathlib import Path

from unit.data.one_domain import Split
from unit.evaluation.evaluate import open_set
from unit.evaluation.sets import TranslationSet
from unit.models.base import Resize
from unit.report import autoencoder
from unit.report.latent import plot_latent


def plot(
    model: str | Path,
    output: str | Path,
    *,
    root: str | Path | None = None,
    resize: Resize = None,
    split: Split | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the pictures of a model into a folder, each named after what it shows; returns their paths.

    Args:
        model: a model's folder, a run's, or one of a run's checkpoints.
        output: the folder.
        root: where the data lies; by default where the run's did.
        resize: of a translator: scale images to this shorter side; by default to that of its training, if any; "keep"
            keeps their sizes.
        split: of an autoencoder: which images; by default the test images, or, without any, the training images that
            data.held_out set aside, or those that it was trained on.
        overwrite: replace pictures that are there.

    Raises:
        FileExistsError: a picture is there and `overwrite` is not set.
        FileNotFoundError, ValueError: there is no model or no data, or the model has no pictures.
    """
    images = open_set(Path(model), root=root, resize=resize, split=split, unseen=False)
    output = Path(output)
    if isinstance(images, TranslationSet):
        return plot_latent(images, output, overwrite=overwrite)
    return autoencoder.plot(images.model, images.images, output, overwrite=overwrite)
