"""Score a translator on test images whose true translations are known: testA and testB with the same file names."""

from pathlib import Path
from typing import Literal

import torch

from unit.data.decoding import read_image
from unit.data.images import find_images, write_grid
from unit.data.toymaps import PALETTE
from unit.evaluation.maps import MAPS_CONSTANT, MAPS_PALETTE, MapsScore, maps_score
from unit.methods.translator import Translator
from unit.translation import carried

SHOWN = 8
"""Columns of the picture."""
PaletteName = Literal["maps", "toymaps"]


def evaluate_maps(
    translator: Translator,
    root: Path,
    *,
    palette: PaletteName,
    resize: int | None = None,
    grid: Path | None = None,
    seed: int = 0,
) -> MapsScore:
    """The maps score of root/testA carried to b, against root/testB; `grid` is a file for a picture of the first few.

    Images are scaled to a shorter side of `resize`, truths too. Raises ValueError where the folders do not hold the
    same names, FileNotFoundError where they are missing.
    """
    if translator.channels != 3:
        raise ValueError(f"the map score is of colours; expected a model of 3 channels, got {translator.channels}")
    photos, maps = find_images(root / "testA"), find_images(root / "testB")
    names = [
        [path.relative_to(root / folder) for path in paths] for folder, paths in (("testA", photos), ("testB", maps))
    ]
    if not photos or names[0] != names[1]:
        raise ValueError(
            f"{root}: testA has {len(photos)} images and testB {len(maps)}; expected pairs under the same names"
        )

    inputs, truths = ([read_image(path, channels=3, resize=resize) for path in paths] for paths in (photos, maps))
    for path, x, truth in zip(photos, inputs, truths, strict=True):
        if x.shape != truth.shape:
            raise ValueError(f"{path} has the shape {tuple(x.shape)}, its truth in testB {tuple(truth.shape)}")
    device = next(translator.parameters()).device
    outputs = [carried(translator, x[None].to(device), "a2b", cycle=False)[0] for x in inputs]
    if grid is not None:
        count = min(SHOWN, len(inputs))
        shown = [i * len(inputs) // count for i in range(count)]
        rows = [torch.stack([images[i] for i in shown]) for images in (inputs, outputs, truths)]
        grid.parent.mkdir(parents=True, exist_ok=True)
        write_grid(grid, torch.cat(rows), columns=len(shown))
    if palette == "maps":
        return maps_score(outputs, truths, palette=MAPS_PALETTE, constant=MAPS_CONSTANT, seed=seed)
    return maps_score(outputs, truths, palette=PALETTE, constant=PALETTE["land"], seed=seed)
