"""What the commands that write a page have in common: their options, and showing it."""

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from unit.cli.errors import pixels_or_keep


def add_page_options(command: argparse.ArgumentParser, *, root: str) -> None:
    """The options of whatever writes a page; `root` is whose data.root is taken unless another is given."""
    add = command.add_argument
    add("--count", type=int, metavar="N", help="at most so many images of each direction (default: 200)")
    add("--data.root", dest="root", metavar="FOLDER", help=f"where the data lies (default: {root} data.root)")
    add("--resize", type=pixels_or_keep, metavar="N", help="of translators: as of unit evaluate")
    add("--split", choices=("test", "held_out", "train"), help="of autoencoders: which images")
    add("--evaluate", choices=("yes", "no"), default="yes", help="measure figures first where a run has none yet")
    add(
        "--open", choices=("yes", "no"), nargs="?", const="yes", default="no", help="show it in a browser (default: no)"
    )


def page_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """These options as the arguments of `write_report` and `compare`."""
    count = {} if options.count is None else {"count": options.count}
    return count | {
        "root": options.root,
        "resize": options.resize,
        "split": options.split,
        "evaluate": options.evaluate == "yes",
        "say": lambda line: print(line, flush=True),
    }


def show(text: str, page: Path, options: argparse.Namespace) -> int:
    """Print what is said of a page that was written, and open it where that was asked for; returns the exit code."""
    print(text)
    if options.open == "yes" and not webbrowser.open(page.resolve().as_uri()):
        print("no browser could be opened; open that file in one")
    return 0
