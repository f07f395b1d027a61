"""The report of a run: one folder of static files, to be opened, kept beside others, zipped and sent.

It shows what there is. A run that still trains, lacks its data or was never evaluated has a report that says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unit import weights
from unit.data.one_domain import Split
from unit.evaluation.evaluate import measure_and_write, open_set, run_of
from unit.evaluation.sets import EvaluationSet, TranslationSet
from unit.models.base import Resize
from unit.report import autoencoder, curves, tables
from unit.report.captions import Picture, describe_run, pictures_of
from unit.report.codes import plot_codes
from unit.report.facts import RunFacts, read_object, read_run
from unit.report.gallery import TRANSLATION, Gallery, make_gallery
from unit.report.site import report_folder, write_page
from unit.text import one_line

COUNT = 200
"""Images of each direction that are shown unless more are asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """A written report: its page, and what there is to say of it, a line each."""

    page: Path
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([*self.notes, str(self.page)])


@dataclass(frozen=True)
class Place:
    """Where a report's images come from: the arguments of `write_report`."""

    root: str | Path | None
    resize: Resize
    split: Split | None

    @property
    def given(self) -> bool:
        """Whether any was asked for, so that images that can't be had are an error."""
        return (self.root, self.resize, self.split) != (None, None, None)


def write_report(
    run: str | Path,
    output: str | Path | None = None,
    *,
    root: str | Path | None = None,
    resize: Resize = None,
    split: Split | None = None,
    count: int = COUNT,
    evaluate: bool = True,
    say: Say = lambda line: None,
) -> Report:
    """Write a run's report: index.html and what it shows, which open in a browser from anywhere, offline.

    Args:
        run: a run's folder, a model's, or one of a run's checkpoints. A run that has not finished has a partial report.
        output: the report's folder, a new or empty one, or an earlier report, which is replaced; by default RUN/report.
        root, resize, split: of the images, as `unit.evaluate` takes them.
        count: the most images of each direction, evenly over all test images.
        evaluate: where the run has no figures yet, measure them first, as `unit.evaluate` does.
        say: is told what is being done.

    Returns:
        The path of index.html, and lines on what is missing.

    Raises:
        FileNotFoundError: there is no run, or no data at `root`.
        FileExistsError: `output` holds other files.
        ValueError: a count below 1, or what can't be opened of what was asked for.

    Example:
        >>> unit.write_report("runs/maps").page.as_posix()
        'runs/maps/report/index.html'
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    model = Path(run)
    folder = run_of(model)
    facts = read_run(folder)
    place = Place(root, resize, split)
    target = Path(output) if output is not None else folder / report_name(model)
    with report_folder(target) as partial:
        notes = list(facts.notes)
        images = open_images(model, place, notes)
        evaluation = figures_of(model, facts, images if evaluate else None, notes, say)
        galleries = galleries_of(partial, images, evaluation, count, notes, say)
        write_page(
            partial,
            "report.html",
            run=describe_run(facts, model),
            tables=(found := tables.read_tables(evaluation)),
            tiles=tables.tiles(found),
            galleries=galleries,
            charts=curves.validation_charts(facts.validation) + curves.loss_charts(facts.metrics),
            samples=copy_samples(partial, facts),
            pictures=draw_pictures(partial, images, notes, say),
            notes=notes,
        )
    return Report(target / "index.html", notes)


def report_name(model: Path) -> str:
    """report, or of a checkpoint report-step-…"""
    return f"report-{model.name}" if run_of(model) != model else "report"


def open_images(model: Path, place: Place, notes: list[str]) -> EvaluationSet | None:
    """The model and its images; None, with a note, where there are none yet or no more. Raises what `open_set` does for
    a place that was given."""
    try:
        images = open_set(model, root=place.root, resize=place.resize, split=place.split, unseen=False)
        if isinstance(images, TranslationSet):
            images.paths(f"test{images.model.directions[0][0].upper()}")
        return images
    except (OSError, ValueError) as error:
        if place.given:
            raise
        notes.append(one_line(f"no images: {error}"))
        return None


def figures_of(
    model: Path, facts: RunFacts, images: EvaluationSet | None, notes: list[str], say: Say
) -> dict[str, Any]:
    """What evaluation.json says of the model; measured first, where it is a finished model's that has none."""
    folder = run_of(model)
    path = folder / ("evaluation.json" if folder == model else f"evaluation-{model.name}.json")
    hint = f"`unit evaluate --model {model}`"
    if not path.is_file() and images is not None and facts.status in ("finished", ""):
        say("measuring the figures first, which this run has none of yet")
        try:
            measure_and_write(model, images)
        except (OSError, ValueError) as error:
            notes.append(one_line(f"no figures: {error}"))
    if not path.is_file():
        notes.append(f"no figures yet: {hint} measures them")
        return {}
    weights_of = (model if model != folder else folder) / "model.safetensors"
    if weights_of.is_file() and weights_of.stat().st_mtime > path.stat().st_mtime:
        notes.append(f"the figures are older than the model: {hint} measures them anew")
    return read_object(path, notes)


def galleries_of(
    partial: Path, images: EvaluationSet | None, evaluation: dict[str, Any], count: int, notes: list[str], say: Say
) -> list[Gallery]:
    """A gallery of each direction of a translator."""
    if not isinstance(images, TranslationSet):
        return []
    galleries = []
    for direction in images.model.directions:
        say(f"translating up to {count} images {direction}")
        try:
            gallery = make_gallery(
                partial,
                {TRANSLATION: images},
                direction,
                count=count,
                figures=tables.image_figures(evaluation, direction),
                better=tables.better_of(evaluation),
            )
        except (OSError, ValueError) as error:
            notes.append(one_line(f"no images {direction}: {error}"))
            continue
        notes += gallery.notes
        galleries.append(gallery)
    return galleries


def copy_samples(partial: Path, facts: RunFacts) -> list[tuple[int, str]]:
    """The sample grids in the report: (step, file)."""
    if facts.samples:
        (partial / "samples").mkdir()
    copied = []
    for step, path in facts.samples.items():
        try:
            content = weights.regular(path).read_bytes()
        except OSError:
            continue  # a training deletes nothing there, but people do
        (partial / "samples" / path.name).write_bytes(content)
        copied.append((step, f"samples/{path.name}"))
    return copied


def draw_pictures(partial: Path, images: EvaluationSet | None, notes: list[str], say: Say) -> list[Picture]:
    """What `unit plot` draws of the model, where it draws anything."""
    if images is None:
        return []
    say("drawing the model's pictures")
    folder = partial / "pictures"
    try:
        if isinstance(images, TranslationSet):
            paths = plot_codes(images.model, images.root, folder, resize=images.resize)
        else:
            paths = autoencoder.plot(images.model, images.images, folder)
    except (OSError, ValueError) as error:
        if not isinstance(images, TranslationSet):
            notes.append(one_line(f"no pictures: {error}"))
        return []
    return pictures_of(paths, partial)
