"""Folders nested deeper than Python recurses: `Path.mkdir(parents=True)` and `shutil.rmtree` call themselves at each
level."""

import os
from pathlib import Path


def make_folders(folder: Path) -> None:
    """Make a folder and all above it that are missing."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all below it; links are removed, not followed. Raises OSError for what can't be removed."""
    waiting, found = [os.fspath(folder)], []
    while waiting:
        here = waiting.pop()
        found.append(here)
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    os.unlink(entry.path)
    for path in reversed(found):
        os.rmdir(path)
