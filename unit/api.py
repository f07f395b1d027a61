"""`unit.train` and `unit.evaluate`: what the command line does, for a notebook or a program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unit.config.base import Config
from unit.config.files import load
from unit.data.domain import Domain, domain_of_array


def train(
    config: str | Path | Config,
    overrides: Mapping[str, Any] | None = None,
    *,
    resume: str | Path | None = None,
    init: str | Path | None = None,
    images: Mapping[str, Any] | None = None,
) -> Path:
    """Train a method.

    Args:
        config: the name of a config that comes with unit, the path of a YAML file, or a config that was loaded.
        overrides: values by key that replace the file's, such as `{"data.root": "mine", "optim.lr": 2e-4}`.
        resume: a run to go on with, or one of its checkpoints.
        init: a model, a run or a checkpoint whose weights a new run begins with, as far as they fit.
        images: images in place of those that the config names: `{"a": …, "b": …}` for two domains, `{"images": …}`
            for one; uint8, (N, H, W) or (N, H, W, C) as NumPy arrays or (N, C, H, W) as tensors, or a `Domain`, which
            may have labels.

    Returns:
        The run's folder, which at the end is the finished model's too.

    Raises:
        ConfigError, DataError, CheckpointError, FileNotFoundError: what can be mended, in one line.
        RunError: the training itself failed.

    Example:
        >>> run = unit.train("maps_small", {"data.root": "mine", "train.steps": 2, "run.output": "runs/mine"})
        >>> unit.load(run)("photo.jpg").size
        (48, 36)
    """
    from unit import training

    chosen = config if isinstance(config, Config) else load(config, overrides)
    if isinstance(config, Config) and overrides:
        raise ValueError("overrides: expected none with a config that was loaded; give them to unit.config.load")
    domains = {name: x if isinstance(x, Domain) else domain_of_array(x) for name, x in (images or {}).items()}
    places = {"resume": resume, "init": init}
    folders = {name: None if place is None else Path(place) for name, place in places.items()}
    return training.train(chosen, resume=folders["resume"], init=folders["init"], domains=domains or None)
