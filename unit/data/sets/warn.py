"""Warnings of the data sets' tools: what is worth knowing but stops nothing."""

import sys

from unit.text import one_line


def warn(text: str) -> None:
    """Print `warning: …` on stderr, as one line."""
    print(f"warning: {one_line(text)}", file=sys.stderr)
