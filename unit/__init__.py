"""Unpaired image-to-image translation: two folders of images in, a model that turns the ones into the others out."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load", "translate"]

if TYPE_CHECKING:
    from unit.model import load
    from unit.translation import translate


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first asked for, so that `import unit` alone is quick."""
    match name:
        case "load":
            from unit.model import load

            return load
        case "translate":
            from unit.translation import translate

            return translate
    raise AttributeError(f"module 'unit' has no attribute {name!r}")
