"""Toy maps: aerial-looking photographs and their street maps, drawn by a seeded generator.

One scene is drawn twice. The map paints its plan (toymaps_layout.py) in five flat colors; the photo (toymaps_photo.py)
adds what a map leaves out: texture, trees, roofs, cast shadows, cars, light, and sensor noise.

Both looks order brightness alike (road, land, park and water, building) and agree loosely in hue, so that the natural
correspondence is the easy one for a method without pairs. A color look-up does not solve it: some roofs are as pale as
land, shadows as blue as water, and trees as dark as roofs, and the light differs from photo to photo.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unit.data.toymaps_layout import UNITS, Pixels, lay_out
from unit.data.toymaps_photo import OVERSAMPLE, take_photo

__all__ = ["PALETTE", "Pixels", "toy_pair", "write_toymaps"]

PALETTE: dict[str, tuple[int, int, int]] = {
    "land": (236, 228, 220),
    "water": (180, 212, 252),
    "road": (252, 252, 252),
    "park": (204, 220, 172),
    "building": (196, 176, 164),
}
"""The map's color of each class, in the order of the plan's numbers."""

MIN_SIZE = 16


def toy_pair(*, seed: int, size: int = 64) -> tuple[Pixels, Pixels]:
    """Draw one scene twice: the photograph from above and its street map.

    Args:
        seed: Of the scene and its light, at least 0.
        size: The side of both pictures in pixels, at least 16; a larger one shows the same scene in finer pixels.

    Returns:
        The photo and the map, each uint8 (size, size, 3), which depend on `seed` and `size` alone. Each pixel of the
        map is exactly one of PALETTE's colors.

    Raises:
        ValueError: If `size` is below 16 or `seed` below 0.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}; a toy map is at least {MIN_SIZE} pixels wide")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it is an integer of at least 0")
    scale = size * OVERSAMPLE / UNITS
    layout, look = (np.random.default_rng((seed, part)) for part in (0, 1))
    plan, buildings = lay_out(layout, scale)
    colors = np.array(list(PALETTE.values()), np.uint8)
    return take_photo(look, plan, buildings, scale), colors[plan[::OVERSAMPLE, ::OVERSAMPLE]]


def write_toymaps(
    root: str | Path,
    *,
    size: int = 64,
    train: int = 1000,
    test: int = 200,
    val: int = 0,
    seed: int = 0,
    paired: bool = False,
) -> None:
    """Write a data set of PNG files: trainA and testA hold photos, trainB and testB maps.

    No scene of trainA is in trainB, so the training data are truly unpaired; testA and testB show
    the same scenes under the same names, and so do valA and valB, if any. The folder appears whole
    or not at all.

    Args:
        root: A folder, absent or empty.
        size: The side of the images in pixels, at least 16.
        train: How many images trainA and trainB hold each, at least 1.
        test: How many pairs testA and testB hold, at least 1.
        val: How many pairs valA and valB hold, which are not there for 0.
        seed: Of all scenes, at least 0.
        paired: trainB shows the scenes of trainA under the same names, for methods that need pairs.

    Raises:
        FileExistsError: If `root` is a file or a folder with something in it.
        ValueError: If a number is below its least.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists; give a new or empty folder")
    if train < 1 or test < 1 or val < 0:
        raise ValueError(f"train is {train}, test is {test}, val is {val}; expected at least 1, 1 and 0")
    if size < MIN_SIZE or seed < 0:
        toy_pair(seed=seed, size=size)  # raises

    folders = [("trainA", train, 0), ("trainB", train, 0 if paired else 1), ("testA", test, 2), ("testB", test, 2)]
    folders += [("valA", val, 3), ("valB", val, 3)] if val else []
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as stage:
        whole = Path(stage) / root.name
        for folder, count, stream in folders:
            (whole / folder).mkdir(parents=True)
            scenes = np.random.SeedSequence((seed, stream)).generate_state(count, np.uint64)
            for number, scene in enumerate(scenes.tolist()):
                pair = toy_pair(seed=scene, size=size)
                picture = pair[0] if folder.endswith("A") else pair[1]
                Image.fromarray(picture).save(whole / folder / f"{number:05d}.png")
        if root.exists():
            root.rmdir()
        whole.rename(root)
