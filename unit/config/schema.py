"""What may be in a config: each method's sections and keys, their types, and a Config made of values.

Whatever is wrong is a ConfigError of one line that names the key and says what is allowed.
"""

import difflib
import functools
import os
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from unit.config import strict_yaml
from unit.config.base import Config, ConfigError
from unit.methods import METHODS, find_method

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

RENAMED = {
    "data.labelled": "data.labeled",
    "data.labelled_batch": "data.labeled_batch",
    "model.judge": "model.discriminator",
    "model.judge_lr": "model.discriminator_lr",
    "model.judge_noise": "model.discriminator_noise",
    "model.judge_noise_end": "model.discriminator_noise_end",
    "model.fooling_steps": "model.generator_steps",
}
"""Keys of earlier versions, and what they are called now."""

UNUSABLE = (ArgumentError, TypeError, OverflowError)
"""What jsonargparse raises for values that are not of their keys' types, or beyond their bounds."""

S = TypeVar("S")


class Schema:
    """What may be in a method's config: `defaults` by section, the method's own before those that all methods have.

    Raises ConfigError for an unknown method.
    """

    def __init__(self, method: str) -> None:
        try:
            self.kind: type[Config] = find_method(method).Config
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.method = method
        values = asdict(self.kind())
        shared = [field.name for field in fields(Config)]
        self.defaults: dict[str, Any] = {name: values[name] for name in values if name not in shared}
        self.defaults |= {name: values[name] for name in shared}
        self.flat = flat(self.defaults)

    @functools.cached_property
    def free_at_resume(self) -> set[str]:
        """The keys that may change when a run is resumed, as their fields' metadata say."""
        return self.keys_with("free_at_resume")

    def keys_with(self, mark: str) -> set[str]:
        """The keys whose fields have that mark in their metadata."""
        types = typing.get_type_hints(self.kind)
        return {
            f"{section}.{field.name}"
            for section in self.defaults
            for field in fields(types[section])
            if field.metadata.get(mark)
        }

    def with_paths(self, config: Config, change: Callable[[str], str]) -> Config:
        """The config with each of its paths changed."""
        for key in self.keys_with("path"):
            section, _, name = key.partition(".")
            values = getattr(config, section)
            old = getattr(values, name)
            new = [change(path) for path in old] if isinstance(old, list) else old and change(old)
            config = replace(config, **{section: replace(values, **{name: new})})
        return config

    def parser(self, prog: str, description: str = "") -> ArgumentParser:
        """A command-line parser with `--config`, `--method` and one option for each key."""
        parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
        parser.add_argument(
            "--config", action=jsonargparse.ActionConfigFile, help="a YAML file, or the name of a config of unit's own"
        )
        parser.add_argument("--method", default=self.method, help=f"one of {', '.join(METHODS)}")
        types = typing.get_type_hints(self.kind)
        for section, values in self.defaults.items():
            parser.add_class_arguments(types[section], section)
            parser.set_defaults({f"{section}.{key}": value for key, value in values.items()})
        return parser

    @functools.cached_property
    def plain_parser(self) -> ArgumentParser:
        return self.parser("unit")

    def parse_arguments(self, parser: ArgumentParser, arguments: list[str]) -> Config:
        """The config that command-line arguments give."""
        try:
            return self.instantiate(parser, parser.parse_args(arguments))
        except UNUSABLE as error:
            raise ConfigError(self.in_one_line(str(error))) from None

    def parse_sections(self, sections: Mapping[str, Any]) -> Config:
        """The config of checked sections."""
        try:
            return self.instantiate(self.plain_parser, self.plain_parser.parse_object(dict(sections)))
        except UNUSABLE as error:
            raise ConfigError(self.in_one_line(str(error))) from None

    def instantiate(self, parser: ArgumentParser, parsed: Namespace) -> Config:
        check_values(flat({section: vars(parsed[section]) for section in self.defaults}), self.flat)
        values: Namespace = parser.instantiate(parsed)
        config = self.kind(**{section: values[section] for section in self.defaults})
        return self.with_paths(config, os.path.expanduser)

    def check_sections(self, sections: Mapping[str, Any], source: str) -> None:
        """Raise ConfigError unless each top-level key is a section, and each key of theirs is known."""
        for key, value in sections.items():
            if key in self.defaults and not isinstance(value, dict):
                raise ConfigError(f"{source}: {key}: expected a section with keys of its own, got {value!r}")
        values = flat({name: values for name, values in sections.items() if name != "method"})
        for key in values:
            if key not in self.flat:
                raise ConfigError(f"{source}: {self.unknown_key(key)}")
        check_given(values, self.flat)

    def in_one_line(self, message: str) -> str:
        """jsonargparse's message as one line: `optim.lr: expected float, got abc`."""
        message = re.sub(r"unrecognized arguments: --([\w.]+).*", lambda match: self.unknown_key(match[1]), message)
        return reworded(message)

    def unknown_key(self, key: str) -> str:
        if key in RENAMED:
            lacking = "" if RENAMED[key] in self.flat else f", which method {self.method} does not have"
            return f"{key} is now called {RENAMED[key]}{lacking}"
        keys = sorted(self.flat)
        near = difflib.get_close_matches(key, keys, 3, 0.5) or sorted({key.split(".")[0] for key in keys})
        return f"unknown key {key}; did you mean {' or '.join(near)}? (--help lists all)"


@functools.cache
def _schema(method: str, entry: Any) -> Schema:
    return Schema(method)


def schema(method: str) -> Schema:
    """The schema of the method of that name; raises ConfigError for an unknown one."""
    return _schema(method, METHODS.get(method))


def from_sections(sections: Mapping[str, Any], source: str) -> Config:
    """The config of a file's sections, of which `method` may name the method; raises ConfigError, naming `source`."""
    keys = schema(str(sections.get("method", "unit")))
    keys.check_sections(sections, source)
    return keys.parse_sections({name: values for name, values in sections.items() if name != "method"})


def parse_section(kind: type[S], name: str, values: Any) -> S:
    """One section's keys, as a model's config.json holds them; raises ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected keys, got {values!r}")
    unknown = values.keys() - typing.get_type_hints(kind).keys()
    if unknown:
        raise ConfigError(f"unknown key {name}.{min(unknown)}")
    defaults = flat({name: {field.name: getattr(kind(), field.name) for field in fields(typing.cast(Any, kind))}})
    check_given(flat({name: values}), defaults)
    only = section_parser(typing.cast(Any, kind), name)
    try:
        parsed = only.parse_object({name: values})
        check_values(flat({name: vars(parsed[name])}), defaults)
        section: S = only.instantiate(parsed)[name]
    except UNUSABLE as error:
        raise ConfigError(reworded(str(error))) from None
    return section


@functools.cache
def section_parser(kind: type[Any], name: str) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, name)
    return parser


def reworded(message: str) -> str:
    """jsonargparse's message on a value in this project's words: `optim.lr: expected float, got abc`."""
    message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("typing.", "")
    message = re.sub(r'Parser key "([\w.]+)":\s*', r"\1: ", message)
    message = re.sub(r"Expected an? ", "expected ", message).replace(". Got value: ", ", got ")
    message = re.sub(
        r"Does not validate.*Subtypes: \[(.*), NoneType\].*Given value: (.*)",
        r"expected \1 or null, got \2",
        message,
        flags=re.DOTALL,
    )
    message = re.sub(
        r"Does not validate.*Subtypes: \[(.*)\]\s+Errors:.*Given value: (.*)",
        lambda found: f"expected {one_of(found[1])}, got {found[2]}",
        message,
        flags=re.DOTALL,
    )
    return re.sub(r"\s+", " ", message).strip()


def one_of(types: str) -> str:
    """int, Literal['all'] → int or all."""
    return " or ".join(re.sub(r"Literal\['(.*)'\]", r"\1", kind) for kind in types.split(", "))


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
    """Raise ConfigError for an integer, alone or in a list, that does not fit torch's 64 bits."""
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


def flat(sections: Mapping[str, Any]) -> dict[str, Any]:
    """{"optim": {"lr": 1}} → {"optim.lr": 1}."""
    leaves: dict[str, Any] = {}
    for section, values in sections.items():
        keys = values if isinstance(values, dict) else {"": values}
        leaves |= {f"{section}.{key}".rstrip("."): value for key, value in keys.items()}
    return leaves


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """{"optim.lr": 1} → {"optim": {"lr": 1}}; a key without a dot stays as it is."""
    sections: dict[str, Any] = {}
    for key, value in leaves.items():
        section, dot, name = key.partition(".")
        if dot:
            sections.setdefault(section, {})[name] = value
        else:
            sections[section] = value
    return sections


def read_sections(path: Path) -> dict[str, Any]:
    """A config file's content; raises ConfigError unless it is YAML with sections."""
    try:
        with path.open(encoding="utf-8") as file:
            sections = strict_yaml.load(file.read(strict_yaml.MAX_CHARACTERS + 1))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(sections, dict):
        raise ConfigError(f"{path}: expected sections such as data: or model:, got {type(sections).__name__}")
    return sections
