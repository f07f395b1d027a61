"""The sample grid of a training."""

from pathlib import Path

from unit.data.images import write_grid
from unit.methods.method import Grid


def write_samples(path: Path, grid: Grid) -> None:
    """Write a method's sample grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_grid(path, grid.images, columns=grid.columns)
