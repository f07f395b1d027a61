"""The codes of images, as arrays: what a model's encoder makes of a folder."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from unit.config.data import Channels
from unit.data.decoding import ImageError, decode_image
from unit.data.images import center_square, find_files, to_float
from unit.data.remarks import skipped_line
from unit.inference.translator import default_device, move
from unit.models.autoencoder import ImageAutoencoder
from unit.models.base import DomainName, ImageTranslator, Model
from unit.models.categorical import CategoricalAutoencoder
from unit.models.folder import load_model
from unit.models.m1 import M1Model
from unit.models.m1m2 import M1M2Model
from unit.models.m2 import M2Model
from unit.models.unit import UnitTranslator
from unit.text import one_line


@dataclass(frozen=True)
class Encoding:
    """How a model encodes: the size and channels of its images, and their codes, (B, C, size, size) in [-1, 1] to
    (B, …)."""

    size: int
    channels: Channels
    code: Callable[[Tensor], Tensor]


def encoding_of(model: Model, *, domain: str | None, label: int | None) -> Encoding:
    """How the model encodes; raises ValueError for one without codes, and for a domain or label that it doesn't take
    or lacks."""
    if isinstance(model, UnitTranslator):
        if domain is None or domain not in get_args(DomainName):
            raise ValueError(f"domain: expected a or b, whose images these are, got {domain}")
        if label is not None:
            raise ValueError(f"label: a translator encodes without labels; expected none, got {label}")
        of = model.images
        size = of.size // model.stride * model.stride
        return Encoding(size, of.channels(domain), lambda x: model.code(x, "a" if domain == "a" else "b"))
    if isinstance(model, ImageTranslator):
        raise ValueError(f"a model {model.name} has no codes; expected an autoencoder, or UNIT")
    if domain is not None:
        raise ValueError(f"domain: a model {model.name} has no domains; expected none, got {domain}")
    code = code_of(model, label)
    images: Any = model.config.images
    return Encoding(images.size, images.channels, code)


def code_of(model: Model, label: int | None) -> Callable[[Tensor], Tensor]:
    """The mean code of an autoencoder's images; with categories, their probabilities and the style side by side. M2 and
    M1+M2 name the labels themselves."""
    if isinstance(model, ImageAutoencoder) and model.labels == "both":
        classes = model.images.classes
        if label is None or not 0 <= label < classes:
            raise ValueError(f"label: this model's encoder takes the label; expected 0 to {classes - 1}, got {label}")
        return lambda x: model.code(x, torch.full((len(x),), label, device=x.device))
    if label is not None:
        raise ValueError(f"label: this model {model.name} encodes without labels; expected none, got {label}")
    match model:
        case ImageAutoencoder():
            return model.code
        case M1Model():
            return model.vae.code
        case M2Model() | M1M2Model():
            return lambda x: model.code(x, model.classify(x).argmax(1))
        case CategoricalAutoencoder():

            def side_by_side(x: Tensor) -> Tensor:
                code = model.code(x)
                return torch.cat([code.y, code.z], dim=1)

            return side_by_side
    raise ValueError(f"a model {model.name} has no codes; expected an autoencoder, or UNIT")


@dataclass(frozen=True)
class Codes:
    """`codes` are float32 (N, …), row n that of the image `names[n]`; `failed` are files that could not be read, each
    with the reason, and `skipped` those that are no images."""

    codes: "np.ndarray[Any, np.dtype[np.float32]]"
    names: list[str]
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.names)} images encoded: {' × '.join(map(str, self.codes.shape))} numbers"]
        if self.failed:
            lines += [f"{len(self.failed)} failed:", *(f"  {one_line(reason)}" for reason in self.failed.values())]
        return "\n".join([*lines, skipped_line(self.skipped)] if self.skipped else lines)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the codes as .npy, and beside them their names as a JSON list: codes.npy and codes.names.json.

        Raises what `check_output` does.
        """
        target, names = check_output(Path(path), overwrite=overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        for place, text in ((names, json.dumps(self.names, indent=0, ensure_ascii=False)), (target, None)):
            partial = place.with_name(f".{place.name}.partial")
            with partial.open("wb") as file:
                if text is None:
                    np.save(file, self.codes)
                else:
                    file.write(f"{text}\n".encode(errors="surrogateescape"))
            os.replace(partial, place)


def check_output(path: Path, *, overwrite: bool) -> tuple[Path, Path]:
    """Where codes and names go; raises ValueError for another suffix than .npy, and FileExistsError for what is there,
    unless `overwrite` is set."""
    if path.suffix != ".npy":
        raise ValueError(f"output: expected a file .npy, got {path}")
    both = path, path.with_suffix(".names.json")
    for place in both:
        if place.is_dir():
            raise ValueError(f"output: expected a file .npy, got the folder {place}")
        if os.path.lexists(place) and not overwrite:
            raise FileExistsError(f"{place} is there already; --overwrite replaces it")
    return both


@torch.inference_mode()
def encode(
    model: str | Path,
    input: str | Path,
    *,
    domain: DomainName | None = None,
    label: int | None = None,
    batch_size: int = 100,
    device: torch.device | str | None = None,
) -> Codes:
    """The codes of a folder's images, or of one image: the means that a model's encoder gives, without noise.

    Images are scaled so that their shorter side is that of the model's images, and their centers are taken, as in
    training.

    Args:
        model: an autoencoder's or UNIT's folder, a run's, or one of a run's checkpoints.
        input: a folder of images (nested folders, too), or an image.
        domain: of a translator: whose images these are, "a" or "b".
        label: of a model whose encoder takes the label: that of all these images.
        batch_size: how many images are encoded at once.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Returns:
        Codes (N, d), or UNIT's (N, c, h, w), with the images' names below the folder, in their order.

    Raises:
        FileNotFoundError, CheckpointError: model or input is missing or damaged.
        ValueError: a model without codes, a domain, label, batch size or device that it doesn't take, or no image that
            can be read.

    Example:
        >>> codes = unit.encode("runs/mnist_vae", "digits/")
        >>> codes.codes.shape, codes.names[0]
        ((2, 20), 'one.png')
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    paths, skipped, root = list_input(Path(input))
    loaded = load_model(model)
    encoding = encoding_of(loaded, domain=domain, label=label)
    place = default_device() if device is None else device
    move(loaded, place)
    codes: list[Tensor] = []
    names: list[str] = []
    failed: dict[str, str] = {}
    for start in range(0, len(paths), batch_size):
        images = read_all(paths[start : start + batch_size], root, encoding, failed)
        names += images
        if images:
            x = to_float(torch.stack(list(images.values()))).to(place)
            codes.append(encoding.code(x).float().cpu())
    if not names:
        raise ValueError(f"{input}: no image that can be read; the first: {next(iter(failed.values()))}")
    return Codes(torch.cat(codes).numpy(), names, failed, skipped)


def read_all(paths: Iterable[Path], root: Path, encoding: Encoding, failed: dict[str, str]) -> dict[str, Tensor]:
    """The images' centers by name, uint8 (C, size, size); those that can't be read are in `failed`."""
    images = {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            images[name] = read_center(path, encoding)
        except ImageError as error:
            failed[name] = str(error)
    return images


def list_input(source: Path) -> tuple[list[Path], list[Path], Path]:
    """The images of the input, the files that are none, and what names are relative to."""
    if source.is_file():
        return [source], [], source.parent
    if not source.exists():
        raise FileNotFoundError(f"no input: {source} is neither a file nor a folder")
    found = find_files(source)
    if not found.images:
        raise ValueError(f"{source}: no images in it" + (f"; {skipped_line(found.others)}" if found.others else ""))
    return found.images, found.others, source


def read_center(path: Path, encoding: Encoding) -> Tensor:
    """The center of an image that is scaled to the model's size: uint8 (C, size, size)."""
    size = encoding.size
    return center_square(decode_image(path, channels=encoding.channels, resize=size).pixels, size)
