"""`unit data NAME`: download a data set and lay it out, do so from a local copy, or draw the toy maps."""

import argparse
import sys
from io import TextIOWrapper
from typing import NoReturn

from unit.data.sets.prepare import add_arguments, run
from unit.data.sets.recipes import RECIPES
from unit.text import one_line

__all__ = ["data"]


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {one_line(message)}; see `{self.prog} --help`\n")


def data(arguments: list[str]) -> int:
    """Prepare the data set that is named, in `datasets/NAME` of the current folder or in `--output`.

    Without arguments it lists the data sets. Returns the exit code: 0 if done, 1 if it could not be done, 2 for a wrong
    command, 130 if interrupted; unless it is 0, one line on stderr says why.
    """
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 0
    try:
        args = parser.parse_args(arguments)
    except SystemExit as end:  # the parser has answered: --help, or a wrong command
        return end.code if isinstance(end.code, int) else 0
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have what the terminal's encoding lacks
    try:
        prepared = run(args)
    except (ValueError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command resumes an unfinished download", 130)
    counts = ", ".join(f"{folder} {count}" for folder, count in prepared.counts.items())
    print(f"{one_line(prepared.folder)}: {counts}\nterms of use: {prepared.terms}")
    return 0


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, RECIPES))
    sets = "\n".join(f"  {name:<{width}}  {recipe.about}" for name, recipe in RECIPES.items())
    parser = _Parser(
        prog="unit data",
        usage="unit data NAME [options]",
        description="Prepare a data set: folders trainA, trainB, testA and testB in datasets/NAME.",
        epilog=f"data sets:\n{sets}\n\n`unit data NAME --help` lists the options of a set and its terms of use.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    return parser


def _fail(error: Exception | str, code: int) -> int:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return code
