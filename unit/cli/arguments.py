"""A config from the command line: `--config maps --optim.lr 2e-4`."""

import functools
from pathlib import Path
from typing import NamedTuple

from jsonargparse import ArgumentParser

from unit.config.base import Config, ConfigError
from unit.config.files import find
from unit.config.schema import Schema, read_sections, schema


class Option(NamedTuple):
    """What a command takes beside the keys of a config."""

    name: str
    metavar: str
    help: str


def option(arguments: list[str], name: str) -> str | None:
    """The last value given to an option, as `--name value` or `--name=value`."""
    value = None
    for place, argument in enumerate(arguments):
        if argument == name and place + 1 < len(arguments):
            value = arguments[place + 1]
        elif argument.startswith(f"{name}="):
            value = argument.split("=", 1)[1]
    return value


def parse_config(arguments: list[str], *, prog: str = "unit train", options: tuple[Option, ...] = ()) -> Config:
    """The config that these arguments give; `options` are others that the command takes.

    The method, which the file names or `--method` (UNIT where neither does), says which sections and keys there are.
    Raises ConfigError, one line, for an unknown key, a wrong value or a missing file.
    """
    arguments = [part for argument in arguments for part in split(argument)]
    files: list[Path] = []
    others: list[str] = []
    method: str | None = None
    remaining = iter(arguments)
    for argument in remaining:
        value = next(remaining, None) if argument in ("--config", "--method") else None
        if value is None:
            others.append(argument)
        elif argument == "--config":
            files.append(find(value))
        else:
            method = value
    sections = [read_sections(path) for path in files]
    if method is None:
        method = next((str(part["method"]) for part in reversed(sections) if "method" in part), "unit")
    keys = schema(method)
    for path, part in zip(files, sections, strict=True):
        keys.check_sections(part, str(path))
    for argument in others:
        name = argument[2:].split("=")[0]
        if argument.startswith("--") and name in keys.defaults:
            raise ConfigError(keys.unknown_key(name))
    parser = command_parser(keys, prog, options)
    # Files come first, so that options beat them wherever they stand.
    given = [part for path in files for part in ("--config", str(path))]
    return keys.parse_arguments(parser, [*given, "--method", method, *others])


@functools.cache
def command_parser(keys: Schema, prog: str, options: tuple[Option, ...]) -> ArgumentParser:
    """Made once in a process: to read all types and docstrings takes as long as a short training."""
    parser = keys.parser(prog, "Train a method on folders of images; every key of its config is an option.")
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    return parser


def split(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith(("--config=", "--method=")) else [argument]
