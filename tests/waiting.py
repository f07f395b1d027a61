"""Waiting for another process, which may end at any moment."""

import time
from collections.abc import Callable

HANGS = 240.0
"""Seconds after which a process counts as hanging where nothing is said about how fast it must be: starting an
interpreter with torch takes 5 on a quiet machine, and many times that on a busy one."""


def wait_for(
    condition: Callable[[], bool],
    *,
    over: Callable[[], bool] = lambda: False,
    said: Callable[[], object] = lambda: "",
    limit: float = HANGS,
) -> None:
    """Until the condition holds; AssertionError, with what the process `said`, where it is over without, or late.

    What can change is looked at once, and in this order: whether the process is over, and only then the condition,
    which it may have met just before it ended.
    """
    end = time.monotonic() + limit
    while True:
        ended, late = over(), time.monotonic() > end
        if condition():
            return
        assert not ended, f"ended: {said()}"
        assert not late, f"out of time: {said()}"
        time.sleep(0.02)
