"""How a command ends: what a user did wrong is one line and exit code 2, a run that failed one line and 1."""

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Literal, NoReturn

from unit.text import one_line

UsageErrors = (ValueError, FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError)
"""What is raised for what a user did wrong."""

RENAMED_OPTIONS = {"--root": "--data.root"}
"""Options of earlier versions, and what they are called now."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports a wrong command in one line, and answers an option's old name with the new one."""

    def error(self, message: str) -> NoReturn:
        words = message.removeprefix("unrecognized arguments: ").replace("=", " ").split()
        for old, new in RENAMED_OPTIONS.items():
            if message.startswith("unrecognized") and old in words:
                message = f"{old} is now called {new}"
        self.exit(2, f"error: {one_line(message)}; see `{self.prog} --help`\n")


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace | int:
    """The options, or the exit code where the parser has answered by itself: --help, or a wrong command."""
    try:
        return parser.parse_args(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def pixels_or_keep(text: str) -> int | Literal["keep"]:
    """The value of --resize: a number of pixels, or keep."""
    if text == "keep":
        return "keep"
    if text.lstrip("-").isdecimal():
        return int(text)  # the model says which numbers it takes
    raise argparse.ArgumentTypeError(f"expected a number of pixels, or keep, got {text!r}")


def exit_code(run: Callable[[], int]) -> int:
    """Run a command and return its exit code. An error is printed as one line: 2 for a wrong command or config, 1 for a
    run that failed, 130 for an interruption."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have what the terminal's encoding lacks
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the output has had enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    except KeyboardInterrupt as interruption:
        return fail(str(interruption) or "interrupted", 130)


def fail(error: Exception | str, code: int) -> int:
    """Print the error as one line; returns the exit code."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    return code
