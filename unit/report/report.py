"""The report of a run: one folder of static files, to be opened, kept beside others, zipped and sent.

It shows what there is. A run that still trains, lacks its data or was never evaluated has a report that says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unit import weights
from unit.data.one_domain import Split
from unit.evaluation.evaluate import CHOSEN, chosen_on_test, elsewhere, measure_and_write, open_set, run_of
from unit.evaluation.sets import EvaluationSet, TranslationSet
from unit.models.base import Resize
from unit.report import autoencoder, curves, tables
from unit.report.captions import Picture, describe_run, pictures_of
from unit.report.comparison import as_screen, compare_configs, compare_facts, compare_figures, label_runs
from unit.report.facts import RunFacts, copy_samples, read_object, read_run
from unit.report.gallery import TRANSLATION, Gallery, make_gallery
from unit.report.latent import plot_latent
from unit.report.site import report_folder, write_page
from unit.report.tables import LAST
from unit.text import one_line

COUNT = 200
"""Images of each direction that are shown unless more are asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """A written report: its page, and what there is to say of it, a line each."""

    page: Path
    notes: list[str] = field(default_factory=list)
    text: str = ""
    """What is on it, for a terminal; of a comparison."""

    def __str__(self) -> str:
        return "\n".join([*([self.text, ""] if self.text else []), *self.notes, str(self.page)])


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
        evaluate: measure figures that the run lacks, unless its images are of another place, scale or split.
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
    model = weights.resolve(Path(run))
    folder = run_of(model)
    facts = read_run(folder)
    place = Place(root, resize, split)
    target = Path(output) if output is not None else folder / report_name(model)
    with report_folder(target) as partial:
        notes = facts.notes + ([CHOSEN] if chosen_on_test(folder) else [])
        images = open_images(model, place, notes)
        evaluation = figures_of(model, facts, None if place.given or not evaluate else images, notes, say)
        opened = {} if images is None else {TRANSLATION: images}
        scored = with_same_images({"": evaluation}, {"": model}, opened, notes)
        galleries = galleries_of(partial, opened, scored, count, notes, say)
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


def compare(
    runs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    root: str | Path | None = None,
    resize: Resize = None,
    split: Split | None = None,
    count: int = COUNT,
    evaluate: bool = True,
    say: Say = lambda line: None,
) -> Report:
    """Compare runs: their figures in one table, their translations of the same images side by side, and what differs in
    their configs; as a page like a report's, and as text.

    Args:
        runs: two or more, as `write_report` takes them.
        output: the page's folder; by default `comparison`, beside the first run.
        root, resize, split: of the images, as `unit.evaluate` takes them; by default the first run's.
        count, evaluate, say: as of `write_report`.

    Returns:
        The path of index.html, the comparison as text, and lines on what is missing.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: as of `write_report`; fewer than two runs.

    Example:
        >>> unit.compare(["runs/maps", "runs/maps_again"]).page.as_posix()
        'runs/comparison/index.html'
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if len(runs) < 2:
        raise ValueError(f"compare: expected two runs or more, got {len(runs)}")
    models = dict(
        zip(label_runs([Path(run) for run in runs]), (weights.resolve(Path(run)) for run in runs), strict=True)
    )
    facts = {label: read_run(run_of(model)) for label, model in models.items()}
    target = Path(output) if output is not None else beside(run_of(Path(runs[0]))) / "comparison"
    with report_folder(target) as partial:
        notes: list[str] = []
        place = Place(root, resize, split)
        images, evaluations = open_each(models, facts, place, evaluate, notes, say)
        of_images = with_same_images(evaluations, models, images, notes)
        content: dict[str, Any] = {
            "tables": compare_figures(evaluations),
            "facts": compare_facts(facts),
            "configs": compare_configs(facts),
        }
        write_page(
            partial,
            "compare.html",
            labels=list(models),
            galleries=galleries_of(partial, images, of_images, count, notes, say),
            pictures=pictures_beside(partial, images, notes, say),
            notes=notes,
            **content,
        )
    return Report(target / "index.html", notes, as_screen(list(models), **content))


def beside(folder: Path) -> Path:
    """The folder that a folder lies in."""
    return folder.parent if folder.name else folder.absolute().parent


def open_each(
    models: Mapping[str, Path],
    facts: Mapping[str, RunFacts],
    place: Place,
    evaluate: bool,
    notes: list[str],
    say: Say,
) -> tuple[dict[str, EvaluationSet], dict[str, dict[str, Any]]]:
    """The images of each run that has any, and its figures."""
    images: dict[str, EvaluationSet] = {}
    evaluations: dict[str, dict[str, Any]] = {}
    for label, model in models.items():
        own = list(facts[label].notes)
        found = open_images(model, place, own)
        evaluations[label] = figures_of(model, facts[label], None if place.given or not evaluate else found, own, say)
        images |= {} if found is None else {label: found}
        notes += [f"{label}: {note}" for note in own]
    return images, evaluations


def with_same_images(
    evaluations: Mapping[str, dict[str, Any]],
    models: Mapping[str, Path],
    images: Mapping[str, EvaluationSet],
    notes: list[str],
) -> dict[str, dict[str, Any]]:
    """Of each run the figures that are of the images that are shown, the first set's; `notes` names the others."""
    shown = next((one for one in images.values() if isinstance(one, TranslationSet)), None)
    if shown is None:
        return {}
    same: dict[str, dict[str, Any]] = {}
    for label, evaluation in evaluations.items():
        these = elsewhere(models[label], shown)
        found = {name: content for name, content in evaluation.items() if isinstance(content, dict) and name != LAST}
        same[label] = {name: content for name, content in found.items() if tables.images_of(content) == these}
        others = ", ".join(name for name in found if name not in same[label])
        if others:
            who = f"{label}: the figures" if label else "the figures"
            notes.append(one_line(f"{who} are of other images, not of those shown here: {others}"))
    return same


def pictures_beside(
    partial: Path, images: Mapping[str, EvaluationSet], notes: list[str], say: Say
) -> list[tuple[str, str, list[tuple[str, Picture]]]]:
    """The pictures of several models by what they show: (title, caption, [(run, picture)])."""
    found: dict[str, list[tuple[str, Picture]]] = {}
    for number, (label, one) in enumerate(images.items()):
        for picture in draw_pictures(partial, one, notes, say, below=f"pictures/{number}"):
            found.setdefault(picture.title, []).append((label, picture))
    return [(title, of_runs[0][1].caption, of_runs) for title, of_runs in found.items()]


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
    partial: Path,
    images: Mapping[str, EvaluationSet],
    evaluations: Mapping[str, Mapping[str, Any]],
    count: int,
    notes: list[str],
    say: Say,
) -> list[Gallery]:
    """A gallery of each direction that all of these translators have; none of other models."""
    sets = {label: one for label, one in images.items() if isinstance(one, TranslationSet)}
    if not sets or len(sets) < len(images):
        return []
    galleries = []
    first, *others = sets.values()
    for direction in first.model.directions:
        if any(direction not in other.model.directions for other in others):
            continue
        say(f"translating up to {count} images {direction}")
        try:
            gallery = make_gallery(
                partial,
                sets,
                direction,
                count=count,
                figures=tables.all_image_figures(evaluations, direction),
                better=tables.all_better(evaluations),
                round_trips=not others,
            )
        except (OSError, ValueError) as error:
            notes.append(one_line(f"no images {direction}: {error}"))
            continue
        notes += gallery.notes
        galleries.append(gallery)
    return galleries


def draw_pictures(
    partial: Path, images: EvaluationSet | None, notes: list[str], say: Say, *, below: str = "pictures"
) -> list[Picture]:
    """What `unit plot` draws of the model, where it draws anything."""
    if images is None:
        return []
    say("drawing the model's pictures")
    folder = partial / below
    try:
        if isinstance(images, TranslationSet):
            paths = plot_latent(images, folder)
        else:
            paths = autoencoder.plot(images.model, images.images, folder)
    except (OSError, ValueError) as error:
        if not isinstance(images, TranslationSet):
            notes.append(one_line(f"no pictures: {error}"))
        return []
    return pictures_of(paths, partial)
