"""The process that launched this one: `accelerate launch` and `torchrun` don't always take their children with them,
and a sweep that is killed takes none."""

import os

SWEEP = "UNIT_SWEEP"
"""Environment variable of the trainings that a sweep starts."""
LAUNCHED = ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID", SWEEP)
"""Environment variables that `accelerate launch`, `torchrun` and `unit sweep` set."""

PARENT = os.getppid() if any(name in os.environ for name in LAUNCHED) else None
"""The launcher's id, or None; read when this is first imported, which is before anything slow."""


def is_orphan() -> bool:
    """Whether there was a launcher that is gone."""
    return PARENT is not None and os.getppid() != PARENT
