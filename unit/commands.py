"""The command lines: parse, call, exit code.

That is 2 for a wrong command or config, 1 for a failed run, each with one line on what was wrong.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from unit.config import ConfigError
from unit.options import located
from unit.text import one_line

if TYPE_CHECKING:
    from torch import nn

    from unit.methods.translator import Translator

UsageErrors = (ValueError, FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError)


def train(arguments: list[str]) -> int:
    """train.py: train with a config, or go on with a run."""

    def run() -> int:
        from unit import training
        from unit.run import run_of

        given = arguments
        named = option(arguments, "--resume")
        auto = named == "auto"
        resume = None if named is None or auto else Path(os.path.normpath(named))
        if resume is not None and option(arguments, "--config") is None:
            saved = run_of(resume) / "config.yaml"
            if not saved.is_file():
                raise ConfigError(f"--resume: no run in {resume}, which has no config.yaml")
            given = ["--config", str(saved), *arguments]
        schema, given = located(given)
        command = schema.parser("Train a method on folders of images or on digits.")
        command.add_argument(
            "--resume",
            metavar="RUN",
            help="a run's folder: go on from its newest checkpoint; one of its checkpoints/step-…: from that one, with "
            "another --run.output; auto: run.output's, or begin where there is nothing yet",
        )
        config = schema.instantiate(command, given)
        if auto:
            resume = Path(config.run.output) if (Path(config.run.output) / "config.yaml").is_file() else None
        elif resume is not None and option(arguments, "--run.output") is None:
            config = replace(config, run=replace(config.run, output=str(run_of(resume))))
        try:
            folder = training.train(config, resume=resume, auto=auto)
        except training.Interrupted as interruption:
            code = 128 + interruption.signal
            return fail(interruption, code) if os.environ.get("RANK", "0") == "0" else code
        except training.RunError as error:
            return fail(error, 1)
        if os.environ.get("RANK", "0") == "0":
            print(f"finished: {then(config.method, folder)}")
        return 0

    return answered(run)


def then(method: str, run: Path) -> str:
    """What to do with a finished run."""
    if method == "unit":
        return f"translate with `python translate.py --model {run} --input … --output …`"
    return f"see `python -m unit evaluate --model {run}` and `python -m unit plot --model {run} --output …`"


def option(arguments: list[str], name: str) -> str | None:
    """The last value given to an option, as `--name value` or `--name=value`."""
    value = None
    for place, argument in enumerate(arguments):
        if argument == name and place + 1 < len(arguments):
            value = arguments[place + 1]
        elif argument.startswith(f"{name}="):
            value = argument.split("=", 1)[1]
    return value


def translate(arguments: list[str]) -> int:
    """translate.py: carry a folder of images, or one image, to the other domain."""
    command = argparse.ArgumentParser(
        prog="translate.py", description="Translate images with a trained model.", allow_abbrev=False
    )
    add = command.add_argument
    add("--model", required=True, help="a model's or a run's folder")
    add("--input", required=True, help="an image, or a folder of images (nested folders are kept)")
    add("--output", required=True, help="the folder for the translations; of one image, a file or a folder")
    add("--direction", choices=("a2b", "b2a"), default="a2b", help="from which domain to which (default: a2b)")
    add("--cycle", action="store_true", help="write the round trip (a2b2a for a2b) in place of the translation")
    add("--overwrite", action="store_true", help="replace files that are there; without it they are left alone")
    add(
        "--resize", type=int, metavar="N", help="first scale images to a shorter side of N pixels (default: keep sizes)"
    )
    add("--format", choices=("png", "jpg", "webp", "tif", "bmp"), default="png", help="of the output (default: png)")
    add("--batch-size", type=int, default=8, metavar="N", help="images of one size translated at once (default: 8)")
    add("--device", help="such as cpu or cuda:0 (default: a GPU where there is one)")
    options = command.parse_args(arguments)

    def run() -> int:
        from unit.translation import translate

        report = translate(
            options.model,
            options.input,
            options.output,
            direction=options.direction,
            cycle=options.cycle,
            overwrite=options.overwrite,
            resize=options.resize,
            format=options.format,
            batch_size=options.batch_size,
            device=options.device,
            progress=True,
        )
        print(report)
        return 1 if report.failed else 0

    return answered(run)


def main(arguments: list[str]) -> int:
    """python -m unit: what is done with a finished model."""
    command = argparse.ArgumentParser(
        prog="python -m unit",
        description="Score a finished model, draw its pictures, or prove that a training resumes exactly.",
        allow_abbrev=False,
    )
    commands = command.add_subparsers(dest="command", required=True)
    score = commands.add_parser("evaluate", help="a model's figures on images that it has not seen")
    add = score.add_argument
    add("--model", required=True, help="a model's or a run's folder")
    add(
        "--root",
        help="of a translator, the folder that holds testA and testB (and trainA and trainB without --palette); of an "
        "autoencoder, the digits' (default: the run's data.root)",
    )
    add(
        "--split",
        choices=("test", "held_out"),
        default="test",
        help="of an autoencoder: the test images, or the training images that data.held_out set aside",
    )
    add(
        "--palette", choices=("maps", "toymaps"), help="testA and testB are photographs and true maps of the same names"
    )
    add("--resize", type=int, metavar="N", help="scale images to a shorter side of N pixels")
    add("--size", type=int, metavar="N", default=64, help="without --palette: side of the centre square (default: 64)")
    add("--grid", metavar="FILE", help="with --palette: write a picture of inputs, translations and truths")
    draw = commands.add_parser("plot", help="an autoencoder's pictures, or a translator's codes")
    draw.add_argument("--model", required=True, help="a model's or a run's folder")
    draw.add_argument("--root", help="as for evaluate")
    draw.add_argument("--resize", type=int, metavar="N", help="of a translator: scale images to a shorter side of N")
    draw.add_argument("--output", required=True, help="folder for the pictures, which are named after what they show")
    draw.add_argument("--overwrite", action="store_true", help="replace pictures that are there")
    proof = commands.add_parser(
        "prove-resume",
        help="kill a short training of your config again and again, resume it, and compare its end bit for bit",
        description="All options not listed here are train.py's, such as --config NAME and --data.root FOLDER.",
        allow_abbrev=False,
    )
    add = proof.add_argument
    add("--kills", type=int, default=50, metavar="N", help="how often to kill, a fifth inside a save (default: 50)")
    add("--steps", type=int, default=12, metavar="N", help="steps of each training (default: 12)")
    add("--every", type=int, default=3, metavar="N", help="steps from checkpoint to checkpoint (default: 3)")
    add("--processes", type=int, default=1, metavar="N", help="of each training (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="of the kills (default: 0)")
    add("--output", metavar="FOLDER", help="where to keep the trainings (default: they are deleted)")
    options, rest = command.parse_known_args(arguments)
    if options.command == "prove-resume":
        return answered(lambda: prove_resume(options, rest))
    if rest:
        command.error(f"unrecognized arguments: {' '.join(rest)}")

    def run() -> int:
        from unit.methods.translator import Translator
        from unit.model import load_model

        model = load_model(options.model)
        if not isinstance(model, Translator):
            return of_digits(model)
        if options.root is None:
            raise ConfigError("--root: expected the folder that holds testA and testB")
        return of_translator(model)

    def of_digits(model: "nn.Module") -> int:
        from unit.data.digit_batches import open_digits
        from unit.evaluation.digits import evaluate_digits, table
        from unit.model import digits_of
        from unit.report.digits import plot

        data = digits_of(options.model, root=options.root)
        if options.command == "plot":
            pictures = plot(model, open_digits(data, "test"), Path(options.output), overwrite=options.overwrite)
            print(*pictures, sep="\n")
            return 0
        split: Literal["test", "held_out"] = options.split
        print(table(evaluate_digits(model, open_digits(data, split), open_digits(data, "train"))))
        return 0

    def of_translator(model: "Translator") -> int:
        from unit.evaluation.paired import evaluate_maps
        from unit.evaluation.pairing import pairing_of
        from unit.evaluation.unpaired import evaluate_unpaired
        from unit.report.codes import plot_codes

        root = Path(options.root)
        if options.command == "plot":
            output = Path(options.output)
            print(*plot_codes(model, root, output, resize=options.resize, overwrite=options.overwrite), sep="\n")
            return 0
        if options.palette is None:
            print(evaluate_unpaired(model, root, resize=options.resize, size=options.size).table())
        else:
            grid = None if options.grid is None else Path(options.grid)
            score = evaluate_maps(model, root, palette=options.palette, resize=options.resize, grid=grid)
            print(score.table())
        pairs = pairing_of(Path(options.model))
        if pairs is not None:
            print(pairs.line())
        return 0

    return answered(run)


def prove_resume(options: argparse.Namespace, arguments: list[str]) -> int:
    """`python -m unit prove-resume`: exit code 1 where a resumed training is not the unbroken one."""
    from unit.proof.resume import Plan, prove
    from unit.training import RunError

    given = {"kills": options.kills, "steps": options.steps, "every": options.every, "processes": options.processes}
    for name, value in given.items():
        if value < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {value}")
    if options.every > options.steps:
        raise ConfigError(f"--every: expected at most --steps {options.steps}, got {options.every}")
    folder = None if options.output is None else Path(options.output)
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--output: {folder} exists and is not empty")
    plan = Plan(arguments, options.steps, options.every, options.processes)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="prove-resume-")))
        try:
            certificate = prove(plan, folder, kills=options.kills, seed=options.seed)
        except RunError as error:
            return fail(error, 1)
    print(certificate.table())
    return 0 if certificate.exact else 1


def answered(run: Callable[[], int]) -> int:
    """Run a command; what a user did wrong is one line and exit code 2, an interruption 130."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have what the terminal's encoding lacks
    try:
        return run()
    except UsageErrors as error:
        return fail(error, 2)
    except OSError as error:
        return fail(error, 1)
    except (RuntimeError, MemoryError) as error:
        from unit.memory import is_out_of_memory

        if is_out_of_memory(error):
            return fail(f"{error}; lower the batch size or data.size, or raise train.accumulation", 1)
        if "does not have a deterministic implementation" in str(error):
            return fail(f"train.deterministic: {str(error).split('.')[0]}", 1)
        raise
    except KeyboardInterrupt:
        return fail("interrupted; --resume goes on from the newest checkpoint, if there is one yet", 130)


def fail(error: Exception | str, code: int) -> int:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return code
