"""From YAML and the command line to a Config, and back: `--config maps.yaml --optim.lr 2e-4`.

Whatever is wrong is a ConfigError of one line that names the key and says what is allowed.
"""

import difflib
import functools
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonargparse
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from unit.config import (
    Config,
    ConfigError,
    DataConfig,
    DiscriminatorConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
)

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

# A resumed run may differ from the saved one in these keys alone. None of them changes what a step does, but that with
# other train.steps the linear and cosine schedules end elsewhere. The data may have moved, so its folders are compared
# by what is in them (state.py).
FREE_AT_RESUME = (
    "data.root", "data.a", "data.b", "data.cache_gb", "data.workers",
    "train.steps", "train.log_every", "train.sample_every", "train.checkpoint_every",
    "train.keep", "run.output", "run.tracker",
)  # fmt: skip

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def parser(description: str = "") -> ArgumentParser:
    """A command-line parser with `--config` and one option for each key of Config."""
    parser = ArgumentParser(prog="train.py", description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config", action=jsonargparse.ActionConfigFile, help="a YAML file, or the name of one in configs/"
    )
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(ModelConfig, "model")
    parser.add_class_arguments(DiscriminatorConfig, "discriminator")
    parser.add_class_arguments(LossConfig, "loss")
    parser.add_class_arguments(OptimConfig, "optim")
    parser.add_class_arguments(TrainConfig, "train")
    parser.add_class_arguments(RunConfig, "run")
    return parser


def parse(arguments: list[str]) -> Config:
    """The config that these command-line options give, e.g. ["--config", "maps.yaml", "--optim.lr", "2e-4"].

    Raises ConfigError, one line, for an unknown key, a wrong value or a missing file.
    """
    return instantiate(plain_parser(), located(arguments))


@functools.cache
def plain_parser() -> ArgumentParser:
    return parser()


def instantiate(parser: ArgumentParser, arguments: list[str]) -> Config:
    try:
        parsed = parser.parse_args(arguments)
        check_types(parsed)
        values: Namespace = parser.instantiate(parsed)
    except (ArgumentError, TypeError) as error:
        raise ConfigError(in_one_line(str(error))) from None
    return Config(values.data, values.model, values.discriminator, values.loss, values.optim, values.train, values.run)


def parse_model(values: dict[str, Any]) -> ModelConfig:
    """A model's own keys, as its folder's config.json holds them; raises ConfigError."""
    unknown = values.keys() - asdict(ModelConfig()).keys()
    if unknown:
        raise ConfigError(unknown_key(f"model.{min(unknown)}"))
    only = ArgumentParser(exit_on_error=False)
    only.add_class_arguments(ModelConfig, "model")
    try:
        model: ModelConfig = only.instantiate(only.parse_object({"model": values})).model
    except (ArgumentError, TypeError) as error:
        raise ConfigError(in_one_line(str(error))) from None
    return model


def located(arguments: list[str]) -> list[str]:
    """The same arguments with the name after `--config` replaced by the path of that file, and that put first, so that
    options beat the file wherever they stand."""
    arguments = [part for argument in arguments for part in split_config(argument)]
    for argument in arguments:
        if argument.startswith("--") and argument[2:].split("=")[0] in asdict(Config()):
            raise ConfigError(unknown_key(argument[2:]))
    files: list[str] = []
    others: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name = next(remaining, None) if argument == "--config" else None
        if name is None:
            others.append(argument)
            continue
        path = find(name)
        check_sections(path)
        files += ["--config", str(path)]
    return files + others


def split_config(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith("--config=") else [argument]


def check_types(values: Namespace) -> None:
    """Raise ConfigError for what jsonargparse lets pass: null for a value, true or false for a number."""
    defaults = flat(asdict(Config()))
    for key, value in flat({section: vars(values[section]) for section in asdict(Config())}).items():
        if value is None and defaults[key] is not None:
            raise ConfigError(f"{key}: expected {type(defaults[key]).__name__}, got null")
        if isinstance(value, bool) and not isinstance(defaults[key], bool):
            raise ConfigError(f"{key}: expected {type(defaults[key]).__name__}, got {str(value).lower()}")


def find(name: str) -> Path:
    """The config file of that name or path; raises ConfigError with the names that there are."""
    for path in (Path(name), CONFIGS / name, CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.name for path in CONFIGS.glob("*.yaml")))
    raise ConfigError(f"--config: no file {name}, neither here nor in {CONFIGS}, which holds {names}")


def check_sections(path: Path) -> None:
    """Raise ConfigError unless the file is YAML and each of its top-level keys is a section with keys of its own."""
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({in_one_line(str(error))})") from None
    if not isinstance(sections, dict):
        raise ConfigError(f"{path}: expected sections such as data: or model:, got {type(sections).__name__}")
    sections_allowed = asdict(Config())
    for key, value in sections.items():
        if key in sections_allowed and not isinstance(value, dict):
            raise ConfigError(f"{path}: {key}: expected a section with keys of its own, got {value!r}")
    for key in flat(sections):
        if key not in flat(sections_allowed):
            raise ConfigError(f"{path}: {unknown_key(key)}")


def in_one_line(message: str) -> str:
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
    message = re.sub(r"unrecognized arguments: --([\w.]+).*", lambda match: unknown_key(match[1]), message)
    return re.sub(r"\s+", " ", message).strip()


def unknown_key(key: str) -> str:
    keys = sorted(flat(asdict(Config())))
    near = difflib.get_close_matches(key, keys, 3, 0.5) or sorted({key.split(".")[0] for key in keys})
    return f"unknown key {key}; did you mean {' or '.join(near)}? (--help lists all)"


def flat(sections: dict[str, Any]) -> dict[str, Any]:
    """{"optim": {"lr": 1}} → {"optim.lr": 1}."""
    leaves: dict[str, Any] = {}
    for section, values in sections.items():
        keys = values if isinstance(values, dict) else {"": values}
        leaves |= {f"{section}.{key}".rstrip("."): value for key, value in keys.items()}
    return leaves


def to_yaml(config: Config) -> str:
    return yaml.safe_dump(asdict(config), sort_keys=False)


def differences(saved: Config, given: Config) -> dict[str, tuple[Any, Any]]:
    """The keys, but for those free at a resume, in which the configs differ: {key: (saved, given)}."""
    old, new = flat(asdict(saved)), flat(asdict(given))
    return {key: (old[key], new[key]) for key in old if key not in FREE_AT_RESUME and old[key] != new[key]}
