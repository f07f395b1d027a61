"""`unit train`: train with a config, or go on with a run. Also `accelerate launch -m unit.cli.train`."""

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from unit.cli.arguments import Option, option, parse_config
from unit.cli.errors import exit_code, fail
from unit.text import one_line


def train(arguments: list[str]) -> int:
    """`unit train --config NAME --KEY VALUE …` or `unit train --resume RUN`; returns the exit code."""
    return exit_code(lambda: run(arguments))


def run(arguments: list[str]) -> int:
    from unit import training
    from unit.config.base import ConfigError
    from unit.training.run_folder import run_of

    named = option(arguments, "--resume")
    auto = named == "auto"
    resume = None if named is None or auto else Path(os.path.normpath(named))
    given = arguments
    if resume is not None and option(arguments, "--config") is None:
        saved = run_of(resume) / "config.yaml"
        if not saved.is_file():
            raise ConfigError(f"--resume: no run in {resume}, which has no config.yaml")
        given = ["--config", str(saved), *arguments]
    config = parse_config(given, prog="unit train", options=OPTIONS)
    if auto:
        output = Path(config.run.output)
        resume = output if (output / "config.yaml").is_file() else None
    elif resume is not None and option(arguments, "--run.output") is None:
        config = replace(config, run=replace(config.run, output=str(run_of(resume))))
    main = os.environ.get("RANK", "0") == "0"
    named = option(arguments, "--init")
    init = None if named is None else Path(named).expanduser()
    if init is not None and resume is not None and not auto:
        raise ConfigError("--init begins a run of its own; expected it without --resume")
    command = one_line(shlex.join(["unit", "train", *arguments]))
    try:
        folder = training.train(config, resume=resume, auto=auto, init=init, command=command)
    except training.Interrupted as interruption:
        code = 128 + interruption.signal
        return fail(interruption, code) if main else code
    except training.RunError as error:
        return fail(error, 1)
    except KeyboardInterrupt:
        return fail("interrupted; --resume goes on from the newest checkpoint, if there is one yet", 130)
    if main:
        print(f"finished: {next_steps(config.method, folder)}")
    return 0


OPTIONS = (
    Option(
        "--resume",
        "RUN",
        "a run's folder: go on from its newest checkpoint; one of its checkpoints/step-…: from that one, with another "
        "--run.output; auto: run.output's, or begin where there is nothing yet",
    ),
    Option(
        "--init",
        "FOLDER",
        "a model's, a run's or a checkpoint's folder, such as RUN/best: begin with its weights, as far as they fit",
    ),
)


def next_steps(method: str, run: Path) -> str:
    """What to do with a finished run."""
    folder = shlex.quote(one_line(run))
    from unit.methods import find_method
    from unit.methods.translation import TranslationMethod

    if issubclass(find_method(method), TranslationMethod):
        return f"try `unit translate --model {folder} --input … --output …` and `unit evaluate --model {folder}`"
    return f"try `unit evaluate --model {folder}` and `unit plot --model {folder}`"


if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
