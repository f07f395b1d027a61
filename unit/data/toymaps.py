"""Toy maps: aerial-looking photographs and their street maps, drawn by a seeded generator.

One scene is a town of 64 x 64 units, whatever the size of its picture in pixels. Its streets are
a grid in a turned and bent frame (u, v); blocks, streets and buildings are all rectangles of that
frame, so that buildings stand along their street. A lake, a river, green banks and parks lie in
between. The *plan* names the class of each pixel. The map paints it in five flat colours; the photo
adds what a map leaves out: texture, trees, roofs, cast shadows, cars, light, and sensor noise.

Both looks order brightness alike (road, land, park and water, building) and agree loosely in hue,
so that the natural correspondence is the easy one for a method without pairs. A colour look-up
does not solve it: some roofs are as pale as land, shadows as blue as water, and trees as dark as
roofs, and the light differs from photo to photo.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

PALETTE: dict[str, tuple[int, int, int]] = {
    "land": (236, 228, 220),
    "water": (180, 212, 252),
    "road": (252, 252, 252),
    "park": (204, 220, 172),
    "building": (196, 176, 164),
}
LAND, WATER, ROAD, PARK, BUILDING = range(5)

UNITS = 64.0  # the side of a scene
OVERSAMPLE = 2  # the photo is drawn this much finer, then averaged
MIN_SIZE = 16

# Mean colours of the ground seen from above, in PALETTE's order (a building's is its yard's).
GROUND = ((194, 178, 150), (112, 140, 168), (210, 208, 204), (134, 154, 100), (194, 178, 150))
ROUGHNESS = (9.0, 4.0, 4.0, 9.0, 9.0)  # of the ground's texture, in grey levels
ROOFS = ((142, 90, 72), (122, 84, 62), (92, 84, 80), (96, 112, 130), (192, 182, 168))
CROWN = (84, 106, 66)
CARS = ((235, 235, 235), (150, 60, 50), (60, 64, 72))


@dataclass(frozen=True)
class _Frame:
    """The streets' frame: (u, v) in units around the centre -> (x, y) in drawn pixels."""

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


def _draw(image: Image.Image, shapes: Floats, fill: int) -> None:
    """Fill polygons (n, points, 2) given in drawn pixels."""
    pen = ImageDraw.Draw(image)
    for shape in shapes.reshape(len(shapes), 2 * shapes.shape[1]).tolist():
        pen.polygon(shape, fill=fill)


def _at(plan: Pixels, xy: Floats) -> Pixels:
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


def _plan(rng: np.random.Generator, scale: float) -> tuple[Pixels, Floats]:
    """Lay out a scene: its plan (side, side) of classes and the buildings' corners (n, 4, 2)."""
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
        _draw(image, banks, PARK)
    _draw(image, frame.outlines(parks, points=5), PARK)
    _draw(image, frame.outlines(streets[0], points=5), ROAD)
    if has_river:
        _draw(image, river, WATER)  # over the narrow streets; the wide ones cross it on bridges
    _draw(image, frame.outlines(streets[1], points=5), ROAD)
    if has_lake:
        _draw(image, _lake(rng, scale), WATER)

    buildings = frame.outlines(houses)
    probes = np.concatenate([buildings, buildings.mean(axis=1, keepdims=True)], axis=1)
    buildings = buildings[(_at(np.asarray(image), probes) == LAND).all(axis=1)]
    _draw(image, buildings, BUILDING)
    return np.array(image), buildings


def _field(rng: np.random.Generator, cells: int, side: int) -> Floats:
    """Smooth noise of about unit variance, (side, side), with so many bumps across."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    fine = coarse.resize((side, side), Image.Resampling.BICUBIC)
    return 1.3 * np.asarray(fine, np.float32)


def _channels(red: float, green: float, blue: float) -> Floats:
    return np.array([red, green, blue], np.float32)[:, None, None]


def _ground(rng: np.random.Generator, plan: Pixels) -> Floats:
    """Colour and texture of the bare ground, (3, side, side) in grey levels."""
    side = len(plan)
    colours = np.array(GROUND) + rng.normal(0, 7, (5, 1)) + rng.normal(0, 2.5, (5, 3))
    ground: Floats = colours.astype(np.float32).T.take(plan, axis=1)
    texture = _field(rng, 40, side) + 0.8 * _field(rng, 11, side)
    ground += np.array(ROUGHNESS, np.float32).take(plan) * texture
    # Land is green with grass in some patches and pale with sand or paving in others.
    patches = _field(rng, 6, side) * np.array([1, 0, 0, 0, 1], np.float32).take(plan)
    ground += np.maximum(patches, 0) * _channels(-28, -12, -28)
    ground -= np.minimum(patches, 0) * _channels(8, 13, 22)
    return ground


def _things(rng: np.random.Generator, plan: Pixels, scale: float) -> tuple[Floats, Pixels, Floats]:
    """Scatter trees and cars: centres (n, 2) in drawn pixels, classes below, radii (n,)."""
    where = (rng.random((330, 2)) * len(plan)).astype(np.float32)
    below = _at(plan, where)
    kept = rng.random(330) < np.array([0.22, 0.0, 0.15, 0.6, 0.0])[below]
    radii = (rng.uniform(0.7, 1.7, 330) * scale).astype(np.float32)
    return where[kept], below[kept], radii[kept]


def _photo(rng: np.random.Generator, plan: Pixels, buildings: Floats, scale: float) -> Pixels:
    """See the scene from above: (side / OVERSAMPLE, side / OVERSAMPLE, 3)."""
    side = len(plan)
    ground = _ground(rng, plan)
    where, below, radii = _things(rng, plan, scale)
    sun = rng.uniform(0, 2 * np.pi)
    cast = scale * np.array([np.cos(sun), np.sin(sun)], np.float32)  # a shadow of one unit

    shade = Image.new("L", (side, side), 0)
    heights = rng.uniform(1.0, 2.4, (len(buildings), 1, 1)).astype(np.float32)
    for part in (0.5, 1.0):
        _draw(shade, buildings + part * heights * cast, 255)
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


def _rgb(colours: npt.NDArray[np.float64]) -> list[tuple[int, ...]]:
    return [tuple(colour) for colour in np.clip(colours, 0, 255).astype(int).tolist()]


def _roofs(rng: np.random.Generator, pen: ImageDraw.ImageDraw, buildings: Floats, cast: Floats) -> None:
    """Roof the buildings (n, 4, 2): most have a ridge, and the side towards the sun is lighter."""
    kinds = rng.choice(len(ROOFS), len(buildings), p=(0.28, 0.22, 0.15, 0.15, 0.2))
    colours = np.array(ROOFS)[kinds] + rng.normal(0, 8, (len(buildings), 3))
    sides = np.roll(buildings, -1, axis=1) - buildings
    wide = np.abs(sides[:, 0]).sum(-1) < np.abs(sides[:, 1]).sum(-1)
    a, b, c, d = np.where(wide[:, None, None], np.roll(buildings, -1, axis=1), buildings).transpose(
        1, 0, 2
    )  # a-b is a long side
    halves = np.stack([a, b, (b + c) / 2, (a + d) / 2], axis=1).reshape(-1, 8).tolist()
    lit = (d - a) @ cast > 0
    base, slope = _rgb(colours), _rgb(colours * np.where(lit, 1.22, 0.8)[:, None])
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


def toy_pair(*, seed: int, size: int = 64) -> tuple[Pixels, Pixels]:
    """Draw one scene twice: the photograph from above and its street map.

    Both are uint8 (size, size, 3) and depend on `seed` and `size` alone; a larger size shows the
    same scene in finer pixels. Each pixel of the map is exactly one of PALETTE's colours.

    Raises ValueError if `size` is below 16 or `seed` below 0.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}; a toy map is at least {MIN_SIZE} pixels wide")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it is an integer of at least 0")
    scale = size * OVERSAMPLE / UNITS
    layout, look = (np.random.default_rng((seed, part)) for part in (0, 1))
    plan, buildings = _plan(layout, scale)
    colours = np.array(list(PALETTE.values()), np.uint8)
    return _photo(look, plan, buildings, scale), colours[plan[::OVERSAMPLE, ::OVERSAMPLE]]


def write_toymaps(root: str | Path, *, size: int = 64, train: int = 1000, test: int = 200, seed: int = 0) -> None:
    """Write PNG files to `root`: trainA and testA hold photos, trainB and testB maps.

    No scene of trainA is in trainB, so the training data are unpaired in truth; testA and testB
    show the same scenes under the same names. The folder appears whole or not at all.

    Raises FileExistsError if `root` is a file or a folder with something in it, and ValueError
    if `train` or `test` is below 1, or for a size or seed that `toy_pair` refuses.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} exists; give a new or empty folder")
    if train < 1 or test < 1:
        raise ValueError(f"train is {train} and test is {test}; each is at least 1")
    if size < MIN_SIZE or seed < 0:
        toy_pair(seed=seed, size=size)  # raises

    folders = (("trainA", train, 0), ("trainB", train, 1), ("testA", test, 2), ("testB", test, 2))
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
