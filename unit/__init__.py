"""Unpaired image-to-image translation: two folders of images in, a model that turns the ones into the others out."""

from typing import TYPE_CHECKING, Any

from unit.registry import look_up

__version__ = "0.2.0"
__all__ = ["compare", "encode", "evaluate", "load", "sample", "train", "translate", "write_report"]

if TYPE_CHECKING:
    from unit.api import train
    from unit.evaluation.evaluate import evaluate
    from unit.inference.codes import encode
    from unit.inference.folder import translate
    from unit.inference.samples import sample
    from unit.inference.translator import load
    from unit.report.report import compare, write_report

_PUBLIC = {
    "compare": "unit.report.report:compare",
    "encode": "unit.inference.codes:encode",
    "evaluate": "unit.evaluation.evaluate:evaluate",
    "load": "unit.inference.translator:load",
    "sample": "unit.inference.samples:sample",
    "train": "unit.api:train",
    "translate": "unit.inference.folder:translate",
    "write_report": "unit.report.report:write_report",
}


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first asked for, so that `import unit` alone is quick."""
    if name in _PUBLIC:
        return look_up(_PUBLIC, name, what="function")
    raise AttributeError(f"module 'unit' has no attribute {name!r}")
