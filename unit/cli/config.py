"""`unit config list` and `unit config show NAME`: the configs that come with unit."""

import itertools
import re
import textwrap
from pathlib import Path

from unit.cli.errors import OneLineParser, exit_code, parse

LENGTH = 110
"""Characters of a line of the list."""


def config(arguments: list[str]) -> int:
    """`unit config list` or `unit config show NAME`; returns the exit code."""
    command = OneLineParser(
        prog="unit config", description="List the configs that come with unit, or show one.", allow_abbrev=False
    )
    commands = command.add_subparsers(dest="command", required=True, parser_class=OneLineParser)
    commands.add_parser("list", help="their names, and what each is for")
    show = commands.add_parser("show", help="one, with its comments")
    show.add_argument("name", help="such as maps, or a path")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.config.files import config_names, find

        if options.command == "show":
            print(find(options.name).read_text(encoding="utf-8"), end="")
            return 0
        names = config_names()
        width = max(map(len, names))
        for name in names:
            print(f"{name:<{width}}  {summary(find(name))}")
        return 0

    return exit_code(run)


def summary(path: Path) -> str:
    """The first sentence of a config's head."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = " ".join(line.strip("# ") for line in itertools.takewhile(lambda line: line.strip("# "), lines))
    return textwrap.shorten(re.split(r"(?<!et al)\. ", head)[0].removesuffix("."), LENGTH, placeholder=" …")
