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

from unit.config import Config, ConfigError
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
            self.check_types(parsed)
            values: Namespace = parser.instantiate(parsed)
        except (ArgumentError, TypeError) as error:
            raise ConfigError(self.in_one_line(str(error))) from None
        return self.kind(**{section: values[section] for section in self.defaults})

    def check_types(self, values: Namespace) -> None:
        """Raise ConfigError for what jsonargparse lets pass: null for a value, true or false for a number."""
        for key, value in flat({section: vars(values[section]) for section in self.defaults}).items():
            kind = type(self.flat[key]).__name__
            if value is None and self.flat[key] is not None:
                raise ConfigError(f"{key}: expected {kind}, got null")
            if isinstance(value, bool) and not isinstance(self.flat[key], bool):
                raise ConfigError(f"{key}: expected {kind}, got {str(value).lower()}")

    def check_sections(self, path: Path) -> None:
        """Raise ConfigError unless each top-level key of the file is a section, and each key of theirs is known."""
        sections = read_sections(path)
        for key, value in sections.items():
            if key in self.defaults and not isinstance(value, dict):
                raise ConfigError(f"{path}: {key}: expected a section with keys of its own, got {value!r}")
        for key in flat({name: values for name, values in sections.items() if name != "method"}):
            if key not in self.flat:
                raise ConfigError(f"{path}: {self.unknown_key(key)}")

    def in_one_line(self, message: str) -> str:
        """jsonargparse's message as one line: `optim.lr: expected float, got abc`."""
        message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("typing.", "")
        message = re.sub(r'Parser key "([\w.]+)":\s*', r"\1: ", message)
        message = re.sub(r"Expected an? ", "expected ", message).replace(". Got value: ", ", got ")
        message = re.sub(
            r"Does not validate.*Subtypes: \[(\w+), NoneType\].*Given value: (.*)",
            r"expected \1 or null, got \2",
            message,
            flags=re.DOTALL,
        )
        message = re.sub(r"unrecognized arguments: --([\w.]+).*", lambda match: self.unknown_key(match[1]), message)
        return re.sub(r"\s+", " ", message).strip()

    def unknown_key(self, key: str) -> str:
        keys = sorted(self.flat)
        near = difflib.get_close_matches(key, keys, 3, 0.5) or sorted({key.split(".")[0] for key in keys})
        return f"unknown key {key}; did you mean {' or '.join(near)}? (--help lists all)"


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
    only = ArgumentParser(exit_on_error=False)
    only.add_class_arguments(kind, name)
    try:
        section: S = only.instantiate(only.parse_object({name: values}))[name]
    except (ArgumentError, TypeError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
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
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
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
