"""How a scene of the toy maps looks from above: ground, shadows, roofs, trees, cars, light and the sensor's noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from unit.data.toymaps_layout import ROAD, Floats, Pixels, classes_at, fill_polygons

OVERSAMPLE = 2
"""The photo is drawn this many times finer, then averaged."""

# Mean colors of the ground seen from above, in the order of the plan's classes (a building's is its yard's).
GROUND = ((194, 178, 150), (112, 140, 168), (210, 208, 204), (134, 154, 100), (194, 178, 150))
ROUGHNESS = (9.0, 4.0, 4.0, 9.0, 9.0)  # of the ground's texture, in gray levels
ROOFS = ((142, 90, 72), (122, 84, 62), (92, 84, 80), (96, 112, 130), (192, 182, 168))
CROWN = (84, 106, 66)
CARS = ((235, 235, 235), (150, 60, 50), (60, 64, 72))


def _field(rng: np.random.Generator, cells: int, side: int) -> Floats:
    """Smooth noise of about unit variance, (side, side), with so many bumps across."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    fine = coarse.resize((side, side), Image.Resampling.BICUBIC)
    return 1.3 * np.asarray(fine, np.float32)


def _channels(red: float, green: float, blue: float) -> Floats:
    return np.array([red, green, blue], np.float32)[:, None, None]


def _ground(rng: np.random.Generator, plan: Pixels) -> Floats:
    """Color and texture of the bare ground, (3, side, side) in gray levels."""
    side = len(plan)
    colors = np.array(GROUND) + rng.normal(0, 7, (5, 1)) + rng.normal(0, 2.5, (5, 3))
    ground: Floats = colors.astype(np.float32).T.take(plan, axis=1)
    texture = _field(rng, 40, side) + 0.8 * _field(rng, 11, side)
    ground += np.array(ROUGHNESS, np.float32).take(plan) * texture
    # Land is green with grass in some patches and pale with sand or paving in others.
    patches = _field(rng, 6, side) * np.array([1, 0, 0, 0, 1], np.float32).take(plan)
    ground += np.maximum(patches, 0) * _channels(-28, -12, -28)
    ground -= np.minimum(patches, 0) * _channels(8, 13, 22)
    return ground


def _things(rng: np.random.Generator, plan: Pixels, scale: float) -> tuple[Floats, Pixels, Floats]:
    """Scatter trees and cars: centers (n, 2) in drawn pixels, classes below, radii (n,)."""
    where = (rng.random((330, 2)) * len(plan)).astype(np.float32)
    below = classes_at(plan, where)
    kept = rng.random(330) < np.array([0.22, 0.0, 0.15, 0.6, 0.0])[below]
    radii = (rng.uniform(0.7, 1.7, 330) * scale).astype(np.float32)
    return where[kept], below[kept], radii[kept]


def take_photo(rng: np.random.Generator, plan: Pixels, buildings: Floats, scale: float) -> Pixels:
    """Photograph a scene from above.

    Args:
        rng: The source of all draws, in a fixed order.
        plan: Classes, uint8 (side, side).
        buildings: Their corners in drawn pixels, float32 (n, 4, 2).
        scale: Drawn pixels per unit.

    Returns:
        uint8 (side / OVERSAMPLE, side / OVERSAMPLE, 3).
    """
    side = len(plan)
    ground = _ground(rng, plan)
    where, below, radii = _things(rng, plan, scale)
    sun = rng.uniform(0, 2 * np.pi)
    cast = scale * np.array([np.cos(sun), np.sin(sun)], np.float32)  # a shadow of one unit

    shade = Image.new("L", (side, side), 0)
    heights = rng.uniform(1.0, 2.4, (len(buildings), 1, 1)).astype(np.float32)
    for part in (0.5, 1.0):
        fill_polygons(shade, buildings + part * heights * cast, 255)
    trees = below != ROAD
    pen = ImageDraw.Draw(shade)
    for (x, y), r in zip((where[trees] + 0.9 * cast).tolist(), radii[trees].tolist(), strict=True):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    shadow = np.asarray(shade, np.float32) / 255
    ground *= 1 - shadow * _channels(0.52, 0.44, 0.34)  # the sky still lights it

    drawn = np.clip(ground, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(drawn.transpose(1, 2, 0)))
    pen = ImageDraw.Draw(image)
    _roofs(rng, pen, buildings, cast)
    tints = rng.normal(0, 9, (len(where), 1)) + rng.normal(0, 4, (len(where), 3))
    dark, light = _rgb(tints + CROWN), _rgb(tints + CROWN + 30)
    left, up = (0.25 * cast).tolist()
    for n, ((x, y), r) in enumerate(zip(where.tolist(), radii.tolist(), strict=True)):
        if trees[n]:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=dark[n])
            x, y, r = x - left, y - up, 0.55 * r
            pen.ellipse((x - r, y - r, x + r, y + r), fill=light[n])
        else:
            r = 0.4 * r + 0.2 * scale
            pen.rectangle((x - r, y - r, x + r, y + r), fill=CARS[n % len(CARS)])
    return _exposed(rng, image.reduce(OVERSAMPLE))


def _rgb(colors: npt.NDArray[np.float64]) -> list[tuple[int, ...]]:
    return [tuple(color) for color in np.clip(colors, 0, 255).astype(int).tolist()]


def _roofs(rng: np.random.Generator, pen: ImageDraw.ImageDraw, buildings: Floats, cast: Floats) -> None:
    """Roof the buildings (n, 4, 2): most have a ridge, and the side toward the sun is lighter."""
    kinds = rng.choice(len(ROOFS), len(buildings), p=(0.28, 0.22, 0.15, 0.15, 0.2))
    colors = np.array(ROOFS)[kinds] + rng.normal(0, 8, (len(buildings), 3))
    turned = np.roll(buildings, -1, axis=1)
    sides = turned - buildings
    wide = np.abs(sides[:, 0]).sum(-1) < np.abs(sides[:, 1]).sum(-1)
    a, b, c, d = np.where(wide[:, None, None], turned, buildings).transpose(1, 0, 2)  # a-b is a long side
    halves = np.stack([a, b, (b + c) / 2, (a + d) / 2], axis=1).reshape(-1, 8).tolist()
    lit = (d - a) @ cast > 0
    base, slope = _rgb(colors), _rgb(colors * np.where(lit, 1.22, 0.8)[:, None])
    for n, whole in enumerate(buildings.reshape(-1, 8).tolist()):
        pen.polygon(whole, fill=base[n])
        if kinds[n] < 3:  # the slate and the pale ones are flat
            pen.polygon(halves[n], fill=slope[n])


def _exposed(rng: np.random.Generator, image: Image.Image) -> Pixels:
    """Light the scene unevenly and add the sensor's noise: (size, size, 3)."""
    size = image.width
    across = np.linspace(-1, 1, size, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.13, 0.13, 2).astype(np.float32)
    light = slope_x * across + slope_y * across[:, None]
    light += rng.uniform(0.8, 1.12) + 0.04 * _field(rng, 4, size)
    tint = rng.uniform(0.97, 1.03, 3).astype(np.float32)
    photo = np.asarray(image, np.float32) * light[..., None] * tint
    photo += 6 * rng.standard_normal((size, size, 3), np.float32)
    return np.asarray(np.clip(np.rint(photo), 0, 255), np.uint8)
