"""Pillow's remarks on odd files, kept from the user: what it can decode is an image, and the rest raises."""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Quiet:
    """How many threads decode now, and the warning filters to put back after the last of them.

    ``warnings.catch_warnings`` alone is not safe in threads: two that overlap put back the wrong
    filters. Only warnings raised in Pillow's own modules are silenced.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readers = 0
        self.filters = warnings.catch_warnings()


_quiet = _Quiet()


def _forget_readers() -> None:
    global _quiet
    # A forked worker has none of its parent's threads, but may hold their locks.
    _quiet = _Quiet()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_readers)


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Silence Pillow's remarks on odd metadata: what it can decode is an image, the rest raises."""
    if getattr(sys.flags, "context_aware_warnings", False):  # Python 3.14: each thread has its own
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
        return
    quiet = _quiet
    with quiet.lock:
        quiet.readers += 1
        if quiet.readers == 1:
            quiet.filters = warnings.catch_warnings()
            quiet.filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with quiet.lock:
            quiet.readers -= 1
            if quiet.readers == 0:
                quiet.filters.__exit__(None, None, None)
