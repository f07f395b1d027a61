"""Training: the loop, and what serves it. Accelerate appears in this package only."""

from unit.training.errors import Interrupted, RunError
from unit.training.loop import train

__all__ = ["Interrupted", "RunError", "train"]
