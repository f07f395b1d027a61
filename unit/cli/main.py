"""`unit COMMAND …`, which `python -m unit` is too."""

import sys
from collections.abc import Callable

import unit
from unit.cli.errors import exit_code, fail
from unit.registry import look_up

COMMANDS: dict[str, tuple[str, str]] = {
    "data": ("unit.cli.data:data", "prepare a data set: download it, take a local copy, or draw the toy maps"),
    "train": ("unit.cli.train:train", "train with a config, or go on with a run"),
    "translate": ("unit.cli.translate:translate", "translate a folder of images, or one image"),
    "sample": ("unit.cli.sample:sample", "draw images from an autoencoder's prior"),
    "encode": ("unit.cli.encode:encode", "the codes of a folder of images, as an array"),
    "evaluate": ("unit.cli.evaluate:evaluate", "a model's figures on images that it has not seen"),
    "plot": ("unit.cli.plot:plot", "a model's pictures"),
    "report": ("unit.cli.report:report", "a run's report: images, figures and curves as a page that can be sent"),
    "compare": ("unit.cli.compare:compare", "several runs side by side: figures, images, and what differs"),
    "sweep": ("unit.cli.sweep:sweep", "train several configs, overrides and seeds, and compare them in one table"),
    "config": ("unit.cli.config:config", "list the configs that come with unit, or show one"),
    "prove-resume": ("unit.cli.prove_resume:prove_resume", "prove that a training resumes exactly"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: dispatch(given))


def dispatch(given: list[str]) -> int:
    """Print the usage or the version, or run the subcommand."""
    match given:
        case [] | ["-h" | "--help", *_]:
            print(usage())
            return 0
        case ["--version", *_]:
            print(f"unit {unit.__version__}")
            return 0
    name, *rest = given
    if name not in COMMANDS:
        return fail(f"no command {name}; expected one of {', '.join(COMMANDS)}", 2)
    command: Callable[[list[str]], int] = look_up({name: COMMANDS[name][0]}, name, what="command")
    return command(rest)


def usage() -> str:
    """The commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    head = "Two folders of unrelated images in, a model that turns the ones into the others out."
    foot = "`unit COMMAND --help` lists a command's options."
    return "\n".join(["usage: unit COMMAND [options]", "", head, "", *lines, "", foot])
