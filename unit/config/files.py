"""Config files: the ones that come with unit, a user's own, and a run's saved one."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from unit.config.base import Config, ConfigError
from unit.config.schema import flat, from_sections, nested, read_sections, schema

PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next((path for path in (PACKAGE / "configs", PACKAGE.parent / "configs") if path.is_dir()), PACKAGE)
"""The configs that come with unit: inside the installed package, or beside it in a checkout."""


def load(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The config of a file.

    Args:
        name: the path of a YAML file, or the name of a config that comes with unit (`maps`, `maps.yaml`).
        overrides: values by key that replace the file's, such as `{"optim.lr": 2e-4}`.

    Returns:
        The method's config, all its values checked.

    Raises:
        ConfigError: a missing file, an unknown key or a value that is not allowed, in one line.
    """
    path = find(name)
    sections = read_sections(path)
    for section, values in nested(overrides or {}).items():
        known = sections.get(section)
        if isinstance(values, dict):
            values = {key: without_paths(value) for key, value in values.items()}
        sections[section] = known | values if isinstance(known, dict) and isinstance(values, dict) else values
    return from_sections(sections, str(path))


def without_paths(value: Any) -> Any:
    """Paths, alone or in a list, as strings."""
    if isinstance(value, list | tuple):
        return [without_paths(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def find(name: str | Path) -> Path:
    """The config file of that path or name; raises ConfigError with the names that there are."""
    for path in (Path(name), CONFIGS / name, CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    raise ConfigError(f"--config: no file {name}; configs that come with unit: {', '.join(config_names())}")


def config_names() -> list[str]:
    """The names of the configs that come with unit, sorted."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def to_yaml(config: Config) -> str:
    """The config as a YAML file, which `load` reads again."""
    values = asdict(config)
    sections = {name: values[name] for name in schema(config.method).defaults}
    return yaml.safe_dump({"method": config.method} | sections, sort_keys=False)


def differences(saved: Config, given: Config) -> dict[str, tuple[Any, Any]]:
    """The keys, but for those that may change at a resume, in which the configs differ: {key: (saved, given)}."""
    if saved.method != given.method:
        return {"method": (saved.method, given.method)}
    free = schema(saved.method).free_at_resume
    old, new = flat(asdict(saved)), flat(asdict(given))
    return {key: (old[key], new[key]) for key in old if key not in free and old[key] != new[key]}
