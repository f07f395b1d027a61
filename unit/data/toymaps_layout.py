"""Where things lie in a scene of the toy maps: the plan that its photograph and its map both show.

A scene is a town of 64 × 64 units, whatever the size of its picture in pixels. Its streets are a grid in a turned and
bent frame (u, v); blocks, streets and buildings are all rectangles of that frame, so that buildings stand along their
street. A lake, a river, green banks and parks lie in between. The *plan* names the class of each pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LAND, WATER, ROAD, PARK, BUILDING = range(5)
UNITS = 64.0
"""The side of a scene."""


@dataclass(frozen=True)
class _Frame:
    """The streets' frame: (u, v) in units around the center -> (x, y) in drawn pixels."""

    angle: float
    bend: float
    phase: float
    scale: float

    def pixels(self, uv: Floats) -> Floats:
        """Map points (..., 2), bent by a sine of the other coordinate and then turned."""
        bent = uv + self.bend * np.sin(uv[..., ::-1] * (2 * np.pi / 55) + self.phase)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = bent @ np.array([[cos, sin], [-sin, cos]], np.float32)
        return np.asarray((turned + UNITS / 2) * self.scale, np.float32)

    def outlines(self, boxes: npt.ArrayLike, *, points: int = 1) -> Floats:
        """Outline boxes (n, 4) of (u0, v0, u1, v1): (n, 4 * points, 2), only those in sight."""
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)[:, [0, 1, 2, 1, 2, 3, 0, 3]]
        corners = corners.reshape(-1, 4, 1, 2)
        steps = np.linspace(0, 1, points, endpoint=False, dtype=np.float32)[:, None]
        edges = corners + steps * (np.roll(corners, -1, axis=1) - corners)
        shapes = self.pixels(edges.reshape(-1, 4 * points, 2))
        side = UNITS * self.scale
        seen = (shapes.max(axis=1) > 0).all(axis=1) & (shapes.min(axis=1) < side).all(axis=1)
        return np.asarray(shapes[seen])


def fill_polygons(image: Image.Image, shapes: Floats, fill: int) -> None:
    """Fill polygons (n, points, 2) given in drawn pixels."""
    pen = ImageDraw.Draw(image)
    for shape in shapes.reshape(len(shapes), 2 * shapes.shape[1]).tolist():
        pen.polygon(shape, fill=fill)


def classes_at(plan: Pixels, xy: Floats) -> Pixels:
    """Read the classes under points (..., 2), those outside moved to the border."""
    index = np.clip(xy.astype(np.int64), 0, len(plan) - 1)
    return plan[index[..., 1], index[..., 0]]


def _river(rng: np.random.Generator, scale: float) -> tuple[Floats, Floats]:
    """A winding band across the scene and the wider band of its banks, each (1, points, 2)."""
    along = np.linspace(-50, 50, 40)
    middle = rng.uniform(-16, 16) + rng.uniform(2, 7) * np.sin(along / 11 + rng.uniform(0, 6))
    half = rng.uniform(4, 6) * (1 + 0.2 * np.sin(along / 7 + rng.uniform(0, 6)))
    frame = _Frame(rng.uniform(0, np.pi), 0.0, 0.0, scale)

    def band(half: npt.NDArray[np.float64]) -> Floats:
        sides = [np.stack([along, middle - half], -1), np.stack([along, middle + half], -1)[::-1]]
        return frame.pixels(np.concatenate(sides).astype(np.float32))[None]

    return band(half), band(half + rng.uniform(2, 4))


def _lake(rng: np.random.Generator, scale: float) -> Floats:
    """A blob r(theta) with a curved shore, (1, points, 2)."""
    theta = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = rng.uniform(10, 17) * np.ones_like(theta)
    for wave in (2, 3, 5):
        radius *= 1 + rng.uniform(0, 0.5) / wave * np.cos(wave * theta + rng.uniform(0, 6))
    shore = np.stack([np.cos(theta), np.sin(theta)], -1) * radius[:, None]
    return ((shore + rng.uniform(4, 60, 2)) * scale).astype(np.float32)[None]


def _houses(rng: np.random.Generator, box: tuple[float, float, float, float]) -> list[list[float]]:
    """Houses in the two rows of a block that face its streets, or one hall now and then."""
    u0, v0, u1, v1 = box
    if rng.random() < 0.15:
        du, dv = rng.uniform(0.5, 2.5, 2)
        return [[u0 + du, v0 + dv, u1 - du, v1 - dv]]
    houses = []
    for row in (0, 1):
        lots = max(1, round((u1 - u0) / rng.uniform(5.6, 7.6)))
        width = (u1 - u0) / lots
        for lot, (side, gap, deep, empty) in enumerate(rng.random((lots, 4)).tolist()):
            if empty < 0.1:
                continue
            left, right = u0 + lot * width + 0.5 + side, u0 + (lot + 1) * width - 0.4 - gap
            depth = min(3.6 + 2.0 * deep, 0.45 * (v1 - v0))
            near = (v0 if row == 0 else v1 - depth) + (0.8 * gap if row == 0 else -0.8 * gap)
            houses.append([left, near, right, near + depth])
    return houses


def lay_out(rng: np.random.Generator, scale: float) -> tuple[Pixels, Floats]:
    """Lay out a scene.

    Args:
        rng: The source of all its draws, in a fixed order.
        scale: Drawn pixels per unit.

    Returns:
        The plan, uint8 (side, side) of classes with side = UNITS · scale, and the buildings' corners in drawn pixels,
        float32 (n, 4, 2).
    """
    side = round(UNITS * scale)
    image = Image.new("L", (side, side), LAND)
    bend = rng.choice([0.0, 1.5, 3.5])
    frame = _Frame(rng.uniform(0, np.pi), float(bend), rng.uniform(0, 6), scale)
    lines = np.cumsum(rng.uniform(15, 25, (2, 7)), axis=1) - 80 + rng.uniform(0, 10, (2, 1))
    width = np.where(rng.random((2, 7)) < 0.3, rng.uniform(3.2, 4.2), rng.uniform(1.4, 2.0))

    parks, houses = [], []
    streets: tuple[list[list[float]], list[list[float]]] = ([], [])  # narrow, wide
    (us, vs), (wu, wv) = lines.tolist(), (width / 2).tolist()
    for i in range(6):
        for j in range(6):
            if math.hypot(us[i] + us[i + 1], vs[j] + vs[j + 1]) > 124:
                continue  # out of sight
            use, gap_u, gap_v = rng.random(3)
            if use < 0.2:
                parks.append([us[i], vs[j], us[i + 1], vs[j + 1]])
            elif use < 0.9:
                inner = (us[i] + wu[i] + 0.7, vs[j] + wv[j] + 0.7)
                outer = (us[i + 1] - wu[i + 1] - 0.7, vs[j + 1] - wv[j + 1] - 0.7)
                houses += _houses(rng, (*inner, *outer))
            # A narrow street lacks a stretch now and then, which makes T-junctions.
            if wu[i] > 1.5 or gap_u > 0.12:
                stretch = [us[i] - wu[i], vs[j] - wv[j], us[i] + wu[i], vs[j + 1] + wv[j + 1]]
                streets[wu[i] > 1.5].append(stretch)
            if wv[j] > 1.5 or gap_v > 0.12:
                stretch = [us[i] - wu[i], vs[j] - wv[j], us[i + 1] + wu[i + 1], vs[j] + wv[j]]
                streets[wv[j] > 1.5].append(stretch)

    river, banks = _river(rng, scale)
    has_river, has_banks, has_lake = rng.random(3) < (0.5, 0.6, 0.5)
    if has_river and has_banks:
        fill_polygons(image, banks, PARK)
    fill_polygons(image, frame.outlines(parks, points=5), PARK)
    fill_polygons(image, frame.outlines(streets[0], points=5), ROAD)
    if has_river:
        fill_polygons(image, river, WATER)  # over the narrow streets; the wide ones cross it on bridges
    fill_polygons(image, frame.outlines(streets[1], points=5), ROAD)
    if has_lake:
        fill_polygons(image, _lake(rng, scale), WATER)

    buildings = frame.outlines(houses)
    probes = np.concatenate([buildings, buildings.mean(axis=1, keepdims=True)], axis=1)
    buildings = buildings[(classes_at(np.asarray(image), probes) == LAND).all(axis=1)]
    fill_polygons(image, buildings, BUILDING)
    return np.array(image), buildings
