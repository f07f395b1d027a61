"""`unit compare`: several runs side by side, on the screen and as a page."""

import webbrowser

from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


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
    add("--count", type=int, metavar="N", help="at most so many images of each direction (default: 200)")
    add("--data.root", dest="root", metavar="FOLDER", help="where the images lie (default: the first run's data.root)")
    add("--resize", type=pixels_or_keep, metavar="N", help="of translators: scale images to this shorter side, or keep")
    add("--split", choices=("test", "held_out", "train"), help="of autoencoders: which images")
    add("--evaluate", choices=("yes", "no"), default="yes", help="measure figures first where a run has none yet")
    add(
        "--open", choices=("yes", "no"), nargs="?", const="yes", default="no", help="show it in a browser (default: no)"
    )
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.report.report import COUNT
        from unit.report.report import compare as compare_runs

        written = compare_runs(
            options.runs,
            options.output,
            root=options.root,
            resize=options.resize,
            split=options.split,
            count=COUNT if options.count is None else options.count,
            evaluate=options.evaluate == "yes",
            say=lambda line: print(line, flush=True),
        )
        print(written)
        if options.open == "yes" and not webbrowser.open(written.page.resolve().as_uri()):
            print("no browser could be opened; open that file in one")
        return 0

    return exit_code(run)
