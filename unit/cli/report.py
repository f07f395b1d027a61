"""`unit report`: a run's report, to be opened in a browser, kept and sent."""

import webbrowser

from unit.cli.errors import OneLineParser, exit_code, parse, pixels_or_keep


def report(arguments: list[str]) -> int:
    """`unit report RUN`; returns the exit code."""
    command = OneLineParser(
        prog="unit report",
        description="A run's report: a folder of static files that opens in a browser, offline, from anywhere. It "
        "shows translations, figures and their baselines, curves, samples and the config; of a run that still trains, "
        "what there is of these.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add("run", metavar="RUN", help="a run's folder, a model's, or one of a run's checkpoints")
    add("--output", metavar="FOLDER", help="where to write it: a new folder or an earlier report (default: RUN/report)")
    add("--count", type=int, metavar="N", help="at most so many images of each direction (default: 200)")
    add("--data.root", dest="root", metavar="FOLDER", help="where the data lies (default: the run's data.root)")
    add("--resize", type=pixels_or_keep, metavar="N", help="of a translator: as of unit evaluate")
    add("--split", choices=("test", "held_out", "train"), help="of an autoencoder: which images")
    add("--evaluate", choices=("yes", "no"), default="yes", help="measure figures first where there are none yet")
    add(
        "--open", choices=("yes", "no"), nargs="?", const="yes", default="no", help="show it in a browser (default: no)"
    )
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.report.report import COUNT, write_report

        written = write_report(
            options.run,
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
