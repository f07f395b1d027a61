"""What metrics need beyond the package itself: libraries of the extra `metrics`, and published weights."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from unit import weights
from unit.text import one_line


def missing(*libraries: str) -> str:
    """Why these libraries can't be used, with what installs them; nothing where all are there."""
    absent = [name for name in libraries if importlib.util.find_spec(name) is None]
    return f"it needs {' and '.join(absent)}: pip install 'unit-translation[metrics]'" if absent else ""


def library(module: str) -> Any:
    """A module of a library that is in the extra, imported when it is first wanted; raises ValueError where it is not
    installed."""
    reason = missing(module.partition(".")[0])
    if reason:
        raise ValueError(reason)
    return importlib.import_module(module)


@dataclass(frozen=True)
class Published:
    """Weights at a public address, whose file name ends with the first digits of its SHA-256, as torch's hub has it."""

    what: str
    address: str

    @property
    def name(self) -> str:
        return Path(urlparse(self.address).path).name

    def file(self, folder: Path | None) -> Path:
        """The file in `folder`, by default that of torch's hub; it is fetched where it is not there.

        Raises ValueError where it can't be had, and where it is not the file that was published.
        """
        place = (Path(torch.hub.get_dir()) / "checkpoints" if folder is None else folder.expanduser()) / self.name
        digits = place.stem.rpartition("-")[2]
        if not place.is_file():
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(self.address, str(place), hash_prefix=digits, progress=False)
            except (OSError, RuntimeError) as error:
                raise ValueError(
                    f"it needs the weights of {self.what}, and they could not be downloaded ({one_line(error)}): put "
                    f"{self.address} into {place.parent}, or name its folder by --weights"
                ) from error
        if not weights.sha256(place).startswith(digits):
            raise ValueError(f"{place} is not the file of that name that was published: its SHA-256 is another")
        return place
