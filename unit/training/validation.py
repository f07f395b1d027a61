"""Validation: the figures, while it trains, of images that are not trained on, and which checkpoint has the best.

The main process measures the finished model, the moving average if there is one, in a copy of its own, so that nothing
of the training changes; the others wait for it. Each validation is a line of validation.jsonl, which is written before
the checkpoint of its step: so a run that goes on from a checkpoint has the lines up to it, once each, and what it
measures anew is what it measured before.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from unit import weights
from unit.config.base import Config, ConfigError
from unit.data.batches import DataError
from unit.data.domain import Domain
from unit.data.held_out import set_aside, spread
from unit.data.sets.recipes import has_pairs
from unit.evaluation import JUDGES
from unit.methods.base import Method
from unit.models.base import Model
from unit.models.folder import copy_model
from unit.registry import look_up
from unit.text import one_line
from unit.training.distributed import make_barrier
from unit.training.errors import RunError

if TYPE_CHECKING:
    from unit.evaluation.judge import Judge
    from unit.evaluation.metric import Figures
    from unit.training.log import Log

Source = Literal["val", "train", "test"]
NOT_PAIRS = (
    "images that are set aside of the training images are taken for pairs only where validate.pairs says names, or the "
    "data set is known to have pairs; or put pairs into valA and valB"
)


@dataclass(frozen=True)
class HeldOut:
    """The images to validate on by domain, those left to train on, what was set aside of them, and why images of one
    name are no pairs, if they are not."""

    source: Source
    images: dict[str, Domain]
    training: dict[str, Domain]
    set_aside: dict[str, list[str]]
    unpaired: str

    @property
    def record(self) -> dict[str, Any]:
        """What validation.json says: which images chose the best checkpoint, and which were not trained on."""
        names = {key: domain.names for key, domain in self.images.items()}
        return {"split": self.source, "images": names, "set_aside": self.set_aside}

    @property
    def summary(self) -> str:
        """How many images of which kind."""
        where = {"val": "held out for it", "train": "set aside of the training images", "test": "TEST images"}
        counts = ", ".join(f"{len(d)} {'images' if key == 'images' else key}" for key, d in self.images.items())
        return f"{counts}, {where[self.source]}"


def hold_out(config: Config, kind: type[Method[Any]], given: Mapping[str, Domain] | None) -> HeldOut | None:
    """The images that the config says to validate on; None where it says not to.

    Raises ConfigError or DataError where there are none such.
    """
    settings = config.validate
    if not settings.every:
        return None
    count = kind.validated_on if settings.images is None else settings.images
    split, own = settings.split, given is None
    source: Source = "train" if split == "auto" else split
    images: dict[str, Domain] = {}
    if own and split != "train":
        source = "val" if split == "auto" else split
        images = kind.read(config, source, lambda names: spread(names, count))
    if not images and split in ("val", "test"):
        raise DataError(f"validate.split: there are no {split} images; expected them in data.root, or another split")
    training = dict(given) if given is not None else kind.read(config, "train")
    if images:
        return HeldOut(source, images, training, {}, "validate.pairs is none" if settings.pairs == "none" else "")
    training, aside = set_aside(training, settings.share)
    known = getattr(kind, "paired", False) or has_pairs(getattr(getattr(config, "data", None), "root", None))
    paired = settings.pairs == "names" or (settings.pairs == "auto" and known)
    chosen = {key: spread(domain.names, count) for key, domain in aside.items()}
    images = {key: domain.without(set(domain.names) - chosen[key]) for key, domain in aside.items()}
    names = {key: domain.names for key, domain in aside.items()}
    return HeldOut("train", images, training, names, "" if paired else NOT_PAIRS)


class Measured(NamedTuple):
    """A step's figure, and the table that it is in."""

    step: int
    value: float
    figures: "Figures"


class Validation:
    """The validations of a run; of one that has none, nothing is ever due."""

    def __init__(self, config: Config, held: HeldOut | None, accelerator: Accelerator, run: Path) -> None:
        self.config, self.held, self.accelerator, self.run = config, held, accelerator, run
        self.every = config.validate.every if held is not None else 0
        self.barrier = make_barrier(accelerator) if held is not None else lambda: None
        self.measured: Measured | None = None
        self.judge: Judge | None = None

    @property
    def headline(self) -> list[str]:
        """A line on what is validated."""
        if self.held is None or self.judge is None:
            return []
        figure = f"{self.name} ({self.judge.figure.better} is better)"
        return [f"validation every {self.every} steps: {figure} of {self.held.summary}"]

    def due(self, step: int, *, done: bool = False) -> bool:
        """Whether there is a validation after this step, the same on all processes."""
        return self.every > 0 and (done or step % self.every == 0)

    def check(self, step: int, model: Model) -> None:
        """Measure the model that a run begins with; raises ConfigError, on all processes, where the figure that the
        config asks for can't be had."""
        if self.held is None:
            return
        refusal = None
        if self.accelerator.is_main_process:
            try:
                self.judge = make_judge(self.config, self.held)
                if not self.lines:
                    print(f"measuring {self.name} before training, of {self.held.summary}", flush=True)
                    self.measured = self.measure(step, model)
            except (ValueError, OSError, RuntimeError) as error:
                refusal = f"validate.metric: {error}"
        self.barrier()
        refusal = broadcast_object_list([refusal])[0]
        if refusal is not None:
            raise ConfigError(refusal)

    def measure(self, step: int, model: Model) -> Measured:
        assert self.judge is not None
        return Measured(step, *self.judge(copy_model(model), self.accelerator.device))

    def validate(self, step: int, model: Model, log: "Log") -> bool:
        """Measure the model, write the line and say it, unless the step has a line; whether it is the best so far.

        All processes call it, and wait for the main one, which alone is told. Raises RunError where there is no figure.
        """
        is_best = False
        with log.paused():
            if self.accelerator.is_main_process and step not in validated_steps(self.run):
                measured, self.measured = self.measured, None
                try:
                    if measured is None or measured.step != step:
                        measured = self.measure(step, model)
                except (ValueError, RuntimeError) as error:
                    raise RunError(f"the validation of step {step} failed: {error}") from error
                is_best = self.write(measured)
                best = self.best
                news = (
                    "before training" if best is None else "the best so far" if is_best else f"the best: {shown(best)}"
                )
                log.say(f"validation at step {step}: {self.name} {measured.value:.4g}; {news}")
            self.barrier()
        return is_best

    def write(self, measured: Measured) -> bool:
        """Write a validation's line, to the disk; whether it is the best of those that were trained for."""
        assert self.judge is not None
        step, value = measured.step, measured.value
        finite, best = math.isfinite(value), self.best
        is_best = step > 0 and finite and (best is None or self.judge.figure.improves(value, best["value"]))
        figures = {self.judge.figure.metric: measured.figures.as_json()["figures"]}
        line = {"step": step, "metric": self.name, "value": value if finite else None, "figures": figures}
        path = self.run / weights.VALIDATIONS
        with path.open("a") as file:
            file.write(json.dumps(line | {"best": is_best}) + "\n")
        weights.flush(path)
        self.accelerator.log({f"validation/{self.name}": value}, step=step)
        return is_best

    @property
    def name(self) -> str:
        """The figure's."""
        return self.config.validate.metric or ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The validations by this figure so far."""
        return [line for line in weights.read_validations(self.run) if line.get("metric") == self.name]

    @property
    def best(self) -> dict[str, Any] | None:
        """The best of them."""
        return next((line for line in reversed(self.lines) if line["best"]), None)

    @property
    def standing(self) -> dict[str, Any]:
        """What run.json says: the figure, the images, and which steps have the best and the last value."""
        if self.held is None or self.judge is None:
            return {}
        trained = [line for line in self.lines if line["step"] > 0]
        found = {"best": self.best, "last": trained[-1] if trained else None}
        values = {name: {"step": line["step"], "value": line["value"]} for name, line in found.items() if line}
        counts = {key: len(domain) for key, domain in self.held.images.items()}
        about = {"metric": self.name, "better": self.judge.figure.better, "split": self.held.source, "images": counts}
        return {"validation": about | values}

    @property
    def summary(self) -> list[str]:
        """The figures of the best and the last checkpoint, a line each."""
        standing = self.standing.get("validation", {})
        places = {"best": f"{one_line(self.run)}/best", "last": one_line(self.run)}
        lines = [
            f"{which}: {self.name} {shown(standing[which])}: {places[which]}" for which in places if which in standing
        ]
        if lines and standing["split"] == "test":
            lines.append("the best was chosen on the test images: figures of it on these are too good")
        return lines


def validated_steps(run: Path) -> set[int]:
    """The steps that have a line."""
    return {line["step"] for line in weights.read_validations(run)}


def shown(line: Mapping[str, Any]) -> str:
    """A validation's value and step."""
    value = "not a number" if line["value"] is None else f"{line['value']:.4g}"
    return f"{value} at step {line['step']}"


def make_judge(config: Config, held: HeldOut) -> "Judge":
    """What measures the figure that the config asks for; raises ValueError where it asks for none that there is."""
    name = config.validate.metric
    if not name:
        raise ValueError("expected a figure such as balanced, psnr, round_trip or error, got none")
    root = getattr(getattr(config, "data", None), "root", None)
    kind: type[Judge] = look_up(JUDGES, "judge", what="judge")
    return kind(name, held.images, held.training, root=Path(root or held.source), unpaired=held.unpaired)


def check_resumed(held: HeldOut | None, run: Path) -> None:
    """Raise ConfigError where a run that is resumed would have other images to train on: its validation.json says which
    it set aside."""
    before = bool(weights.read_held_out(run)["set_aside"])
    now = held is not None and bool(held.set_aside)
    if before != now:
        done, would = ("set images aside", "train on them") if before else ("was trained on all", "set some aside")
        raise ConfigError(f"validate.every: {run} {done}, this would {would}; expected validation as before, or --init")


def write_record(held: HeldOut | None, run: Path) -> None:
    """Write validation.json: which images are validated on, and which were set aside of the training images."""
    if held is not None:
        partial = run / f".{weights.HELD_OUT}.partial"
        partial.write_text(json.dumps(held.record, indent=1) + "\n")
        partial.replace(run / weights.HELD_OUT)
