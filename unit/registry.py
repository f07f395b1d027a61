"""Tables of names and where what they name is defined, imported when it is first asked for."""

import importlib
from collections.abc import Mapping
from typing import Any


def look_up(table: Mapping[str, Any], name: str, *, what: str) -> Any:
    """The entry of that name: an object, or the `"package.module:attribute"` of one, which is then imported.

    Raises ValueError, which lists the names there are, for one that is not in the table.
    """
    if name not in table:
        raise ValueError(f"{what}: expected one of {', '.join(table)}, got {name}")
    entry = table[name]
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    return getattr(importlib.import_module(module), attribute)
