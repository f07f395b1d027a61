"""From YAML and the command line to a Config, and back: `--config maps.yaml --optim.lr 2e-4`.

The method, which the file names or `--method` (UNIT where neither does), says which sections and keys there are.
Whatever is wrong is a ConfigError of one line that names the key and says what is allowed.
"""

import difflib
import functools
import re
import typing
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jsonargparse
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from unit.config import Config, ConfigError, strict_yaml
from unit.config.methods import CONFIGS_OF

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

# A resumed run may differ from the saved one in these keys alone. None of them changes what a step does, but that with
# other train.steps the linear and cosine schedules end elsewhere. The data may have moved, so its folders are compared
# by what is in them (state.py).
FREE_AT_RESUME = (
    "data.root", "data.download", "data.a", "data.b", "data.cache_gb", "data.workers",
    "train.steps", "train.log_every", "train.sample_every", "train.checkpoint_every",
    "train.keep", "run.output", "run.tracker",
)  # fmt: skip

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

S = TypeVar("S")

UNUSABLE = (ArgumentError, TypeError, OverflowError)
"""What jsonargparse raises for values that are not of their keys' types, or beyond their bounds."""


class Schema:
    """What may be in a method's config: `defaults` by section, the method's own before those that all methods have.

    Raises ConfigError for an unknown method.
    """

    def __init__(self, method: str) -> None:
        if method not in CONFIGS_OF:
            raise ConfigError(f"method: expected one of {', '.join(CONFIGS_OF)}, got {method}")
        self.method = method
        self.kind = CONFIGS_OF[method]
        values = asdict(self.kind())
        shared = [field.name for field in fields(Config)]
        self.defaults: dict[str, Any] = {name: values[name] for name in values if name not in shared}
        self.defaults |= {name: values[name] for name in shared}
        self.flat = flat(self.defaults)

    def parser(self, description: str = "") -> ArgumentParser:
        """A command-line parser with `--config`, `--method` and one option for each key."""
        parser = ArgumentParser(prog="train.py", description=description, exit_on_error=False, allow_abbrev=False)
        parser.add_argument(
            "--config", action=jsonargparse.ActionConfigFile, help="a YAML file, or the name of one in configs/"
        )
        parser.add_argument("--method", default=self.method, help=f"one of {', '.join(CONFIGS_OF)}")
        types = typing.get_type_hints(self.kind)
        for section, values in self.defaults.items():
            parser.add_class_arguments(types[section], section)
            parser.set_defaults({f"{section}.{key}": value for key, value in values.items()})
        return parser

    def instantiate(self, parser: ArgumentParser, arguments: list[str]) -> Config:
        """The config that the parser makes of located arguments."""
        try:
            parsed = parser.parse_args(arguments)
            check_values(flat({section: vars(parsed[section]) for section in self.defaults}), self.flat)
            values: Namespace = parser.instantiate(parsed)
        except UNUSABLE as error:
            raise ConfigError(self.in_one_line(str(error))) from None
        return self.kind(**{section: values[section] for section in self.defaults})

    def check_sections(self, path: Path) -> None:
        """Raise ConfigError unless each top-level key of the file is a section, and each key of theirs is known."""
        sections = read_sections(path)
        for key, value in sections.items():
            if key in self.defaults and not isinstance(value, dict):
                raise ConfigError(f"{path}: {key}: expected a section with keys of its own, got {value!r}")
        values = flat({name: values for name, values in sections.items() if name != "method"})
        for key in values:
            if key not in self.flat:
                raise ConfigError(f"{path}: {self.unknown_key(key)}")
        check_given(values, self.flat)

    def in_one_line(self, message: str) -> str:
        """jsonargparse's message as one line: `optim.lr: expected float, got abc`."""
        message = re.sub(r"unrecognized arguments: --([\w.]+).*", lambda match: self.unknown_key(match[1]), message)
        return plainly(message)

    def unknown_key(self, key: str) -> str:
        keys = sorted(self.flat)
        near = difflib.get_close_matches(key, keys, 3, 0.5) or sorted({key.split(".")[0] for key in keys})
        return f"unknown key {key}; did you mean {' or '.join(near)}? (--help lists all)"


def plainly(message: str) -> str:
    """jsonargparse's message on a value in this project's words: `optim.lr: expected float, got abc`."""
    message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("typing.", "")
    message = re.sub(r'Parser key "([\w.]+)":\s*', r"\1: ", message)
    message = re.sub(r"Expected an? ", "expected ", message).replace(". Got value: ", ", got ")
    message = re.sub(
        r"Does not validate.*Subtypes: \[(\w+), NoneType\].*Given value: (.*)",
        r"expected \1 or null, got \2",
        message,
        flags=re.DOTALL,
    )
    return re.sub(r"\s+", " ", message).strip()


def check_values(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise ConfigError for what jsonargparse lets pass: null for a value, true or false for a number. Both are by key,
    `optim.lr`."""
    for key, value in values.items():
        kind = type(defaults[key]).__name__
        if value is None and defaults[key] is not None:
            raise ConfigError(f"{key}: expected {kind}, got null")
        if isinstance(value, bool) and not isinstance(defaults[key], bool):
            raise ConfigError(f"{key}: expected {kind}, got {str(value).lower()}")
        check_bits(key, value)


def check_bits(key: str, value: object) -> None:
    """Raise ConfigError for an integer, alone or in a list, that is none to torch."""
    for number in value if isinstance(value, tuple | list) else [value]:
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise ConfigError(f"{key}: expected a number of 64 bits, got one of {number.bit_length()}")


def check_given(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise ConfigError for what jsonargparse should not be given: a string that it, which reads it as YAML of its own,
    could crash or hang on, and an integer that is no float."""
    for key, value in values.items():
        check_bits(key, value)
        if isinstance(value, str):
            try:
                strict_yaml.load(value)
            except yaml.YAMLError as error:
                is_name = isinstance(defaults[key], str | None)  # which need not be YAML
                if isinstance(error, strict_yaml.TooMuch) or not is_name:
                    raise ConfigError(f"{key}: not readable as a value ({error})") from None


@functools.cache
def schema(method: str) -> Schema:
    return Schema(method)


@functools.cache
def plain_parser(method: str) -> ArgumentParser:
    return schema(method).parser()


def parse(arguments: list[str]) -> Config:
    """The config that these command-line options give, e.g. ["--config", "maps.yaml", "--optim.lr", "2e-4"].

    Raises ConfigError, one line, for an unknown key, a wrong value or a missing file.
    """
    located_ = located(arguments)
    return located_.schema.instantiate(plain_parser(located_.schema.method), located_.arguments)


class Located(NamedTuple):
    """Arguments that begin with the paths of their config files, and the schema of the method that they ask for."""

    schema: Schema
    arguments: list[str]


def located(arguments: list[str]) -> Located:
    """Find the config files, and put them first, so that options beat the file wherever they stand."""
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
    if method is None:
        named = [str(sections["method"]) for path in files if "method" in (sections := read_sections(path))]
        method = named[-1] if named else "unit"
    keys = schema(method)
    for path in files:
        keys.check_sections(path)
    for argument in others:
        if argument.startswith("--") and argument[2:].split("=")[0] in keys.defaults:
            raise ConfigError(keys.unknown_key(argument[2:]))
    given = [part for path in files for part in ("--config", str(path))]
    return Located(keys, [*given, "--method", method, *others])


def split(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith(("--config=", "--method=")) else [argument]


def parse_section(kind: type[S], name: str, values: dict[str, Any]) -> S:
    """One section's keys, as a model's config.json holds them; raises ConfigError."""
    unknown = values.keys() - typing.get_type_hints(kind).keys()
    if unknown:
        raise ConfigError(f"unknown key {name}.{min(unknown)}")
    defaults = flat({name: vars(kind())})
    check_given(flat({name: values}), defaults)
    only = ArgumentParser(exit_on_error=False)
    only.add_class_arguments(kind, name)
    try:
        parsed = only.parse_object({name: values})
        check_values(flat({name: vars(parsed[name])}), defaults)
        section: S = only.instantiate(parsed)[name]
    except UNUSABLE as error:
        raise ConfigError(plainly(str(error))) from None
    return section


def find(name: str) -> Path:
    """The config file of that name or path; raises ConfigError with the names that there are."""
    for path in (Path(name), CONFIGS / name, CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.name for path in CONFIGS.glob("*.yaml")))
    raise ConfigError(f"--config: no file {name}, neither here nor in {CONFIGS}, which holds {names}")


def read_sections(path: Path) -> dict[str, Any]:
    """A config file's content; raises ConfigError unless it is YAML with sections."""
    try:
        with path.open(encoding="utf-8") as file:
            sections = strict_yaml.load(file.read(strict_yaml.MOST_CHARACTERS + 1))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(sections, dict):
        raise ConfigError(f"{path}: expected sections such as data: or model:, got {type(sections).__name__}")
    return sections


def flat(sections: dict[str, Any]) -> dict[str, Any]:
    """{"optim": {"lr": 1}} → {"optim.lr": 1}."""
    leaves: dict[str, Any] = {}
    for section, values in sections.items():
        keys = values if isinstance(values, dict) else {"": values}
        leaves |= {f"{section}.{key}".rstrip("."): value for key, value in keys.items()}
    return leaves


def to_yaml(config: Config) -> str:
    values = asdict(config)
    sections = {name: values[name] for name in schema(config.method).defaults}
    return yaml.safe_dump({"method": config.method} | sections, sort_keys=False)


def differences(saved: Config, given: Config) -> dict[str, tuple[Any, Any]]:
    """The keys, but for those free at a resume, in which the configs differ: {key: (saved, given)}."""
    if saved.method != given.method:
        return {"method": (saved.method, given.method)}
    old, new = flat(asdict(saved)), flat(asdict(given))
    return {key: (old[key], new[key]) for key in old if key not in FREE_AT_RESUME and old[key] != new[key]}
