"""Evaluate a model: open what it is evaluated on, measure, and write the figures down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unit import weights as files
from unit.config.base import ConfigError
from unit.config.data import ImagesConfig, TwoDomainsConfig
from unit.config.files import load
from unit.data.one_domain import Split, list_splits, open_images
from unit.evaluation import METRICS
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import EvaluationSet, ImageSet, TranslationSet
from unit.models.base import ImageTranslator, Model, Resize
from unit.models.folder import load_last_iterate, load_model
from unit.registry import look_up
from unit.text import one_line

CHOSEN = "the run was validated on test images (validate.split): figures of its best checkpoint on them are too good"


def evaluate(
    model: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    root: str | Path | None = None,
    resize: Resize = None,
    split: Split | None = None,
    seed: int = 0,
    weights: str | Path | None = None,
    subset: int = 50,
) -> dict[str, Figures]:
    """A model's figures on images that it has not seen; they are written to its evaluation.json, too.

    Args:
        model: a model's folder, a run's, or one of a run's checkpoints.
        metrics: their names, as in `unit.evaluation.METRICS`; by default all that apply to the model and the data.
        root: where the data lies; by default where the run's did. Of a translator, the folder that holds testA and
            testB (and trainA and trainB, for the classifier).
        resize: of a translator: scale images to this shorter side; by default to that of its training, if any; "keep"
            keeps their sizes.
        split: of an autoencoder: the test images, or the training images that data.held_out set aside; by default the
            first of these that there are.
        seed: of whatever a metric draws.
        weights: the folder of published weights that LPIPS, FID and KID need; by default that of torch's hub, into
            which they are fetched.
        subset: how many images KID's subsets have.

    Returns:
        The figures by metric.

    Raises:
        FileNotFoundError: there is no model, or no data.
        ValueError: an unknown metric, or one that does not apply, with the reason.

    Example:
        >>> figures = unit.evaluate("runs/maps", metrics=["round_trip"])["round_trip"]
        >>> list(figures.rows)
        ['a2b2a', 'b2a2b']
    """
    images = open_set(Path(model), root=root, resize=resize, split=split, seed=seed, weights=weights, subset=subset)
    return measure_and_write(Path(model), images, metrics).figures


@dataclass(frozen=True)
class Results:
    """The figures of a model; of the last iterate, where the model is a moving average, and its step; why these are
    not yet a training's, if they are not; that the images chose the best checkpoint, if they did; and which images they
    are of, where these are others than the run's own (`elsewhere`)."""

    figures: dict[str, Figures]
    last_iterate: dict[str, Figures] = field(default_factory=dict)
    last_step: int = 0
    unfinished: str = ""
    chosen: str = ""
    of: str = ""

    def __str__(self) -> str:
        parts = list(map(str, self.figures.values()))
        if self.last_iterate:
            last = list(map(str, self.last_iterate.values()))
            without = f"Without the moving average (step {self.last_step})"
            parts += [f"{without} they are the same."] if last == parts else [f"{without}:", *last]
        return "\n\n".join(part for part in [*parts, self.unfinished, self.chosen] if part)

    def as_json(self) -> dict[str, Any]:
        """The same for evaluation.json: the metrics, each with the images that it is of where these are not the run's
        own, and beside them what there is of the rest."""
        of = {"of": self.of} if self.of else {}
        last = {name: figures.as_json() | of for name, figures in self.last_iterate.items()}
        more: dict[str, Any] = {"last_iterate": last} if last else {}
        more |= {key: text for key in ("unfinished", "chosen") if (text := getattr(self, key))}
        return {name: figures.as_json() | of for name, figures in self.figures.items()} | more


def measure_and_write(folder: Path, images: EvaluationSet, metrics: Sequence[str] | None = None) -> Results:
    """What `measure` finds of the folder's model and of its last iterate; it is added to evaluation.json."""
    last, so_far = load_last_iterate(folder), unfinished(folder)  # now: a run that goes on will have other checkpoints
    figures = measure(images, metrics)
    chosen = CHOSEN if chosen_on_test(run_of(folder)) else ""
    results = Results(figures, unfinished=so_far, chosen=chosen, of=elsewhere(folder, images))
    if last is not None:
        again = measure(images.with_model(last[0]), list(figures))
        results = replace(results, last_iterate=again, last_step=last[1])
    write(folder, results)
    return results


def unfinished(folder: Path) -> str:
    """That a run has not ended yet, or nothing; nothing is said of a checkpoint that is named itself."""
    try:
        state = files.read_json(folder / "run.json")
        status, step = str(state["status"]), int(state["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if status == "finished":
        return ""
    newest = files.list_checkpoints(folder)
    at = files.step_of(newest[-1]) if newest else step
    steps = load(folder / "config.yaml").train.steps
    return f"{folder} has not finished ({status}): these are the figures of step {at} of {steps}"


def elsewhere(folder: Path, images: EvaluationSet) -> str:
    """Which images these are, where they are others than the run's own: its test images, scaled as in its training.
    Nothing where they are those, or where the folder is a model's, which has none."""
    if not isinstance(images, TranslationSet):
        return images.elsewhere
    try:
        own = translator_root(run_of(folder))
    except ConfigError:
        own = images.root
    scale = "at their own sizes" if images.resize is None else f"scaled to {images.resize} pixels"
    parts = [] if own.expanduser().resolve() == images.root.resolve() else [f"in {images.root.resolve()}"]
    parts += [] if images.resize == images.model.shorter_side(None) else [scale]
    return one_line(" ".join(["images", *parts])) if parts else ""


def measure(images: EvaluationSet, metrics: Sequence[str] | None = None) -> dict[str, Figures]:
    """The figures of these metrics, or of all that apply; raises ValueError for one that is unknown or does not."""
    chosen = {name: find_metric(name) for name in (METRICS if metrics is None else metrics)}
    results: dict[str, Figures] = {}
    has_model = not isinstance(images, TranslationSet) or images.has_model
    for name, metric in chosen.items():
        if metrics is None and metric.by_name:
            continue
        reason = (
            metric.applies(images) if has_model or metric.folders else "it is of a model, and these are two folders"
        )
        if not reason:
            results[name] = metric.measure(images)
        elif metrics is not None:
            raise ValueError(f"metric {name} has no figures here: {reason}")
    if not results:
        what = f"a model {images.model.name} and this data" if has_model else "these two folders"
        raise ValueError(f"no metric applies to {what}")
    return results


def find_metric(name: str) -> Metric:
    """The metric of that name; raises ValueError, which lists the names there are."""
    metric: Metric = look_up(METRICS, name, what="metric")
    return metric


def run_of(model: Path) -> Path:
    """The folder of the run that a model or a checkpoint belongs to."""
    folder = files.resolve(model)
    return folder.parent.parent if files.is_step_folder(folder) else folder


def chosen_on_test(run: Path) -> bool:
    """Whether the test images chose the best checkpoint, so that their figures of it are too good."""
    return bool(files.read_held_out(run)["split"] == "test")


def open_set(
    folder: Path,
    *,
    root: str | Path | None = None,
    resize: Resize = None,
    split: Split | None = None,
    seed: int = 0,
    unseen: bool = True,
    weights: str | Path | None = None,
    subset: int = 50,
) -> EvaluationSet:
    """The model and the images that it is evaluated on; raises what `evaluate` does. Where there are no others,
    `unseen` refuses those that it was trained on."""
    model = load_model(folder)
    run = run_of(folder)
    if isinstance(model, ImageTranslator):
        place = translator_root(run) if root is None else Path(root)
        published = None if weights is None else Path(weights)
        return TranslationSet(model, place, resize=resize, seed=seed, run=run, weights=published, subset=subset)
    data = images_config(model, run, root)
    there = list_splits(data)
    usual: Split = "test" if unseen and there == ["train"] else there[0]  # which is refused
    given = None if root is None else Path(root).expanduser().resolve()
    parts = [] if given in (None, own_root(run)) else [f"in {given}"]
    parts += [] if split in (None, usual) else [f"of the split {split}"]
    return ImageSet(
        model,
        open_images(data, usual if split is None else split),
        open_images(data, "train"),
        elsewhere=one_line(" ".join(["images", *parts])) if parts else "",
    )


def translator_root(run: Path) -> Path:
    """data.root of a translator's run; raises ConfigError where it has none."""
    if (run / "config.yaml").is_file():
        data = getattr(load(run / "config.yaml"), "data", None)
        if isinstance(data, TwoDomainsConfig) and data.root is not None:
            return Path(data.root)
    raise ConfigError(f"--data.root: {run} doesn't say where its data lies; expected the folder of testA and testB")


def own_root(run: Path) -> Path | None:
    """Where an autoencoder's run had its data; None where it doesn't say."""
    data = getattr(load(run / "config.yaml"), "data", None) if (run / "config.yaml").is_file() else None
    root = getattr(data, "root", None)
    return None if root is None else Path(root).expanduser().resolve()


def images_config(model: Model, run: Path, root: str | Path | None) -> ImagesConfig:
    """The data section of an autoencoder's run, with another root if one is given."""
    if (run / "config.yaml").is_file():
        data = getattr(load(run / "config.yaml"), "data", None)
        if not isinstance(data, ImagesConfig):
            raise ConfigError(f"{run / 'config.yaml'} is not the config of the model {model.name} that lies beside it")
    elif root is None:
        raise ConfigError(f"--data.root: {run} is no run's folder; expected the folder of the images")
    else:
        data = ImagesConfig()
    shape: Any = model.config.images
    data = replace(data, size=shape.size, channels=shape.channels)
    return data if root is None else replace(data, root=str(root))


def write(model: Path, results: Results) -> None:
    """Add the figures to evaluation.json beside the model, or, of a checkpoint, to evaluation-step-….json in its run;
    other metrics' stay."""
    model, folder = files.resolve(model), run_of(model)
    path = folder / ("evaluation.json" if folder == model else f"evaluation-{model.name}.json")
    known: dict[str, Any] = {}
    if path.is_file():
        try:
            known = files.read_json(path)
        except (OSError, ValueError):
            known = {}
    known = known if isinstance(known, dict) else {}
    known.pop("unfinished", None)
    found = results.as_json()
    if "last_iterate" in found and isinstance(known.get("last_iterate"), dict):
        found["last_iterate"] = known["last_iterate"] | found["last_iterate"]
    partial = folder / ".evaluation.json.partial"
    partial.write_text(json.dumps(known | found, indent=1) + "\n")
    partial.replace(path)
