"""`unit compare`: several runs side by side, on the screen and as a page."""

from unit.cli.errors import OneLineParser, exit_code, parse
from unit.cli.page import add_page_options, page_arguments, show


def compare(arguments: list[str]) -> int:
    """`unit compare RUN1 RUN2 …`; returns the exit code."""
    command = OneLineParser(
        prog="unit compare",
        description="Runs side by side: their figures in one table, their translations of the same images, and what "
        "differs in their configs; on the screen, and as a page like that of unit report.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("runs", metavar="RUN", nargs="+", help="two or more: runs' folders, models', or runs' checkpoints")
    add(
        "--output",
        metavar="FOLDER",
        help="where to write the page: a new folder or an earlier page's (default: comparison, beside the first run)",
    )
    add_page_options(command, root="the first run's")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.report.report import compare as compare_runs

        written = compare_runs(options.runs, options.output, **page_arguments(options))
        return show(str(written), written.page, options)

    return exit_code(run)
