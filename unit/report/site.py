"""A folder of static pages: templates, style and script in, files out that open without a server or a network.

The folder is replaced as a whole, and only what an earlier report wrote: its pages are known by the mark in index.html.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import unit
from unit.report.curves import number

INDEX = "index.html"
ENTRIES = ("assets", "images", "samples", "pictures", INDEX)
"""All that a report writes, the page last."""
MARK = '<meta name="generator" content="unit '
PARTIAL = ".report.partial"


@contextmanager
def report_folder(output: Path) -> Iterator[Path]:
    """An empty folder to write a report in, which takes the place of `output` at the end; if it fails, an earlier
    report stays. Raises what `check_output` does."""
    check_output(output)
    partial = output / PARTIAL
    if partial.exists():
        shutil.rmtree(partial)
    new = not (output / INDEX).exists()
    partial.mkdir(parents=True)
    if new:
        (output / INDEX).write_text(f'<!doctype html>\n{MARK}{unit.__version__}">\nThis report is being written.\n')
    try:
        yield partial
        for name in ENTRIES:
            if name != INDEX:
                shutil.rmtree(output / name, ignore_errors=True)
            if (partial / name).exists():
                (partial / name).replace(output / name)
        new = False
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if new:
            (output / INDEX).unlink(missing_ok=True)


def check_output(output: Path) -> None:
    """Raise NotADirectoryError or FileExistsError unless a report may be written there: into a folder that is new or
    empty, or over an earlier report."""
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"output: {output} is a file; expected a folder for the report")
    if output.is_dir() and any(output.iterdir()) and not is_report(output):
        raise FileExistsError(
            f"output: {output} holds other files; expected a new or empty folder, or an earlier report to replace"
        )


def is_report(folder: Path) -> bool:
    """Whether the folder's page is one that was written here."""
    try:
        with (folder / INDEX).open(encoding="utf-8", errors="replace") as file:
            return MARK in file.read(1000)
    except OSError:
        return False


def write_page(folder: Path, template: str, **content: Any) -> None:
    """Write index.html of a template, and the style and the script beside it. All that is filled in is escaped."""
    environment = Environment(
        loader=PackageLoader("unit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["number"] = number
    page = environment.get_template(template).render(version=unit.__version__, **content)
    (folder / "assets").mkdir(exist_ok=True)
    for asset in files("unit.report").joinpath("assets").iterdir():
        (folder / "assets" / asset.name).write_bytes(asset.read_bytes())
    (folder / INDEX).write_text(page, encoding="utf-8")
