"""What a report says beside its pictures and of its run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from unit.report.curves import is_number, items, number
from unit.report.facts import RunFacts, duration, when
from unit.text import one_line

CAPTIONS = {
    "reconstructions": "Rows of images, and beneath each row what the model rebuilds of them.",
    "denoising": "Images, the same with noise, and what is made of those.",
    "samples": "Images of codes drawn from the prior; a column a label, if the model has labels.",
    "styles": "A row a drawn style, a column a label or a category.",
    "analogies": "An image of each class, and its style with every label.",
    "attributes": "Images of each class, and images of their codes moved from their class towards the next.",
    "places": "A row a place in a part of the prior, a column a part.",
    "manifold": "Images of a grid of codes, from left to right and from bottom to top.",
    "heads": "A row a category: its image of style 0, and the images that are surest to be in it.",
    "neighbors_a2b": "Images of a; beside each those of b whose codes are nearest, the one of its name in a frame.",
    "neighbors_b2a": "Images of b; beside each those of a whose codes are nearest, the one of its name in a frame.",
    "interpolations": "An image of a on the left, one of b on the right; between them the codes between theirs, drawn "
    "in a (above) and in b (below).",
    "latent": "Codes in the plane, and samples of the prior on the same axes.",
}
SECTIONS = ("data", "model", "discriminator", "loss", "optim", "train", "run")


@dataclass(frozen=True)
class Picture:
    """A picture of the model's: its title, its file, what it shows, and its size."""

    title: str
    file: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class RunText:
    """What a page says of a run: its name, its state and one line on it, facts as (name, text), and its config by
    section."""

    name: str
    status: str
    partial: str
    line: str
    facts: list[tuple[str, str]]
    commands: list[str]
    sections: list[tuple[str, list[tuple[str, str]]]]


def pictures_of(paths: list[Path], folder: Path) -> list[Picture]:
    """Pictures that were drawn, with their captions."""
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            width, height = image.size
        base, _, label = path.stem.partition("_of_")
        caption = CAPTIONS.get(base, "")
        caption = f"{caption} Of the label {label}." if label else caption
        title = path.stem.replace("_", " ")
        pictures.append(Picture(title, path.relative_to(folder).as_posix(), caption, width, height))
    return pictures


def describe_run(facts: RunFacts, model: Path) -> RunText:
    """What there is to say of a run."""
    method = str(facts.config.get("method", "model"))
    parts = [method, f"step {facts.step}{of(facts)}"] if facts.config else [method]
    if facts.status:
        since = "since " if facts.status == "running" else ""
        parts.append(f"{facts.status} {since}{when(facts.state.get('time'))}".strip())
    if model.resolve() != facts.folder.resolve():
        parts.append(f"of {model.name}")
    return RunText(
        name=facts.name,
        status=facts.status or "model",
        partial=partial_line(facts),
        line=" · ".join(parts),
        facts=facts_of(facts),
        commands=list(dict.fromkeys(str(start["command"]) for start in facts.starts if start.get("command"))),
        sections=sections_of(facts.config),
    )


def of(facts: RunFacts) -> str:
    """Of how many steps, where that is known."""
    return f" of {facts.steps}" if facts.steps else ""


def state_line(facts: RunFacts) -> str:
    """How a run stands, in a few words."""
    return f"{facts.status or 'model'}, step {facts.step}{of(facts)}"


def partial_line(facts: RunFacts) -> str:
    """Why the report is not the whole, or nothing."""
    match facts.status:
        case "running":
            return f"This run is still training, at step {facts.step}{of(facts)}. Images are its newest checkpoint's."
        case "killed" | "interrupted":
            return f"This run was {facts.status} at step {facts.step}{of(facts)}; --resume goes on with it."
        case "failed":
            return one_line(f"This run failed at step {facts.step}{of(facts)}: {facts.state.get('error', '')}")
    return ""


def facts_of(facts: RunFacts) -> list[tuple[str, str]]:
    """Time, speed, hardware and versions."""
    last: dict[str, Any] = facts.starts[-1] if facts.starts else {}
    speeds = [line["images_per_second"] for line in facts.metrics if is_number(line.get("images_per_second"))]
    found = [
        ("training time", duration(facts.seconds) if facts.seconds else ""),
        ("speed", f"{sorted(speeds)[len(speeds) // 2]:.4g} images per second" if speeds else ""),
        ("batch size", str(facts.config.get("train.batch_size", ""))),
        ("seed", str(facts.config.get("run.seed", ""))),
        *(
            (name, str(last.get(name) or ""))
            for name in ("hardware", "device", "precision", "processes", "data", "parameters")
        ),
        *validated(facts),
        ("versions", ", ".join(f"{k} {v}" for k, v in last["versions"].items()) if versioned(last) else ""),
        ("gone on with", f"{len(facts.starts) - 1} times" if len(facts.starts) > 1 else ""),
    ]
    return [(name, one_line(text)) for name, text in found if text]


def validated(facts: RunFacts) -> list[tuple[str, str]]:
    """What the training was validated on, and its best and last values, from run.json."""
    standing = facts.state.get("validation")
    if not isinstance(standing, dict):
        return []
    images = " and ".join(f"{count} {domain}" for domain, count in items(standing.get("images")))
    where = {"val": "held out for it", "train": "set aside of the training images", "test": "TEST images"}
    found = [("validated on", f"{images}, {where.get(str(standing.get('split')), '')}".strip(", "))]
    for which in ("best", "last"):
        value = dict(items(standing.get(which)))
        if is_number(value.get("value")):
            found.append((which, f"{standing.get('metric')} {number(value['value'])} at step {value.get('step')}"))
    return found


def versioned(start: dict[str, Any]) -> bool:
    return isinstance(start.get("versions"), dict)


def sections_of(config: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The config's keys and values as text, by section; the method first."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for key, value in config.items():
        section, dot, name = key.partition(".")
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        sections.setdefault(section if dot else "", []).append((name if dot else key, one_line(text)))
    order = {name: number for number, name in enumerate(("", *SECTIONS))}
    return sorted(sections.items(), key=lambda item: order.get(item[0], len(order)))
