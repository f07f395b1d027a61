"""What there is to say of a set of image files, as lines: which were left out, and what was done to others."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from unit.text import one_line

MOST = 12
"""How many suffixes are named."""

LONGEST_SUFFIX = 16


def files(count: int) -> str:
    """1 file, 2 files."""
    return f"{count} file" if count == 1 else f"{count} files"


def skipped_line(paths: Sequence[Path]) -> str:
    """How many files were skipped as no images, and their suffixes: "9 files skipped (.heic, .txt)"."""
    suffixes = sorted({path.suffix.lower() or "no suffix" for path in paths})
    named = [suffix if len(suffix) <= LONGEST_SUFFIX else f"{suffix[:LONGEST_SUFFIX]}…" for suffix in suffixes[:MOST]]
    more = f" and {len(suffixes) - MOST} more" if len(suffixes) > MOST else ""
    return one_line(f"{files(len(paths))} skipped ({', '.join(named)}{more})")


def scaled_line(count: int, shorter_side: int | None) -> str:
    """How many images were scaled before they were translated."""
    images = "1 image was" if count == 1 else f"{count} images were"
    return f"{images} scaled to a shorter side of {shorter_side} pixels first (--resize keep keeps sizes)"


class Notes:
    """Notes on files, each kind counted and shown by its first file."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.firsts: dict[str, str] = {}

    def add(self, name: object, notes: Iterable[str]) -> None:
        """Note what `Decoded.notes` says of the file of this name."""
        for note in notes:
            self.counts[note] = self.counts.get(note, 0) + 1
            self.firsts.setdefault(note, str(name))

    def lines(self) -> list[str]:
        """One line for each kind: "3 files with a broken color profile, which is ignored; the first is 'a.png'"."""
        return [
            f"{files(count)} with {note}{'; the first is' if count > 1 else ':'} {one_line(repr(self.firsts[note]))}"
            for note, count in self.counts.items()
        ]
