"""`unit report`: a run's report, to be opened in a browser, kept and sent."""

from unit.cli.errors import OneLineParser, exit_code, parse
from unit.cli.page import add_page_options, page_arguments, show


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
    add_page_options(command, root="the run's")
    options = parse(command, arguments)
    if isinstance(options, int):
        return options

    def run() -> int:
        from unit.report.report import write_report

        written = write_report(options.run, options.output, **page_arguments(options))
        return show(str(written), written.page, options)

    return exit_code(run)
