"""The process that launched this one: `accelerate launch` and `torchrun` don't always take their children with them."""

import os

LAUNCHED = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")
"""Environment variables that `accelerate launch` and `torchrun` set."""

PARENT = os.getppid() if any(name in os.environ for name in LAUNCHED) else None
"""The launcher's id, or None; read when this is first imported, which is before anything slow."""


def is_orphan() -> bool:
    """Whether there was a launcher that is gone."""
    return PARENT is not None and os.getppid() != PARENT
