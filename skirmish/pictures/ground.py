"""The picture of a terrain: ground shaded by its height, cliffs, and the void around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skirmish.data.maps import LEVEL_HEIGHTS, Terrain, Wall
from skirmish.pictures.pillow import Image, ImageDraw
from skirmish.pictures.sprites import Colour

GROUND_LOW: Colour = (206, 199, 184)
GROUND_HIGH: Colour = (240, 235, 224)
VOID: Colour = (43, 49, 59)
ROCK: Colour = (96, 100, 106)  # the face of a cliff that falls into the void
CLIFF: Colour = (74, 66, 58)
GRID: Colour = (120, 112, 98)

MARGIN = 1.0  # world units of void around the ground
COARSE = 8  # samples per world unit of the distances to the cliffs
SHADE_WIDTH = 1.0  # ground darkens this near to a cliff: about where units keep out
ROCK_WIDTH = 0.7
GRID_STEP = 4  # world units
TICK_STEP, TICK_LENGTH, LINE_WIDTH = 0.5, 0.42, 0.14  # cliffs between levels: a line with ticks on its low side


@dataclass(frozen=True)
class View:
    """The part of the world in a picture, and its scale."""

    left: float
    bottom: float
    width: float  # world units
    height: float
    scale: float  # pixels per world unit

    @property
    def size(self) -> tuple[int, int]:
        """Pixels."""
        return round(self.width * self.scale), round(self.height * self.scale)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the world lies in the picture; whole numbers are the corners of pixels."""
        return (x - self.left) * self.scale, (self.bottom + self.height - y) * self.scale


def fitting_view(terrain: Terrain, pixels: int, least_aspect: float = 1.0) -> View:
    """All ground of a terrain with a margin, `pixels` wide, at least `least_aspect` times as wide as high."""
    x0, y0, x1, y1 = _bounds(terrain)
    width, height = x1 - x0 + 2 * MARGIN, y1 - y0 + 2 * MARGIN
    wide = max(width, least_aspect * height)
    return View((x0 + x1 - wide) / 2, y0 - MARGIN, wide, height, pixels / wide)


def paint_ground(terrain: Terrain, view: View) -> Image.Image:
    """RGB picture of a terrain in a view."""
    columns, rows = math.ceil(view.width * COARSE), math.ceil(view.height * COARSE)
    x = view.left + (np.arange(columns) + 0.5) * view.width / columns
    y = view.bottom + view.height - (np.arange(rows) + 0.5) * view.height / rows
    inside = _resized(_inside(terrain, x[None, :], y[:, None]), view.size)  # distance to the edge, < 0 in the void
    height = _resized(_height(terrain, x, y), view.size)
    low, high = LEVEL_HEIGHTS["1"], LEVEL_HEIGHTS["2"]
    part = np.clip((height - low) / (high - low), 0.0, 1.0)[:, :, None]
    ground = _rgb(GROUND_LOW) + part * (_rgb(GROUND_HIGH) - _rgb(GROUND_LOW))
    slope_y, slope_x = np.gradient(height, np.float32(1.0 / view.scale))  # rows run south
    light = 1.0 + np.clip(0.14 * (slope_x - slope_y), -0.25, 0.06)  # from the north-west, seen from above
    near = np.clip(inside / SHADE_WIDTH, 0.0, 1.0)
    ground *= (light * (0.86 + 0.14 * near * (2.0 - near)))[:, :, None]
    depth = np.clip(-inside / ROCK_WIDTH, 0.0, 1.0)[:, :, None]
    outside = _rgb(ROCK) + depth * (_rgb(VOID) - _rgb(ROCK))
    edge = np.clip(inside * view.scale + 0.5, 0.0, 1.0)[:, :, None]  # a pixel wide: smooth
    picture = Image.fromarray(np.clip(outside + edge * (ground - outside) + 0.5, 0, 255).astype(np.uint8))
    lines = picture.copy()
    _draw_grid(lines, view)
    picture.paste(lines, mask=Image.fromarray((255 * edge[:, :, 0]).astype(np.uint8)))
    for wall in terrain.walls:
        _draw_wall(picture, view, terrain, wall)
    return picture


def _bounds(terrain: Terrain) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the ground: up to the cliffs into the void, else to the map's border."""
    edges = [p for wall in terrain.walls if wall.sides == 1 for p in wall.points]
    width, height = terrain.size
    if not edges:
        return 0.0, 0.0, float(width), float(height)
    xs, ys = zip(*edges, strict=True)
    return max(0.0, min(xs)), max(0.0, min(ys)), min(float(width), max(xs)), min(float(height), max(ys))


def _inside(terrain: Terrain, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of points to the edge of the ground, negative outside."""
    width, height = terrain.size
    border = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    nearest = np.full(border.shape, np.inf)
    across = np.full(border.shape, np.inf)
    for wall in terrain.walls:
        if wall.sides != 1:
            continue
        for (ax, ay), (bx, by) in zip(wall.points, wall.points[1:], strict=False):
            length = math.dist((ax, ay), (bx, by))
            ux, uy = (bx - ax) / length, (by - ay) / length
            along = np.clip((x - ax) * ux + (y - ay) * uy, 0.0, length)
            distance = np.hypot(x - ax - along * ux, y - ay - along * uy)
            left = (y - ay) * ux - (x - ax) * uy  # > 0: on the ground's side of the line
            # Beside a corner both lines are equally near; the one that the point is further across decides.
            better = (distance < nearest - 1e-9) | ((distance < nearest + 1e-9) & (np.abs(left) > np.abs(across)))
            nearest = np.where(better, np.minimum(distance, nearest), nearest)
            across = np.where(better, left, across)
    return np.minimum(np.where(across > 0.0, nearest, -nearest), border)


def _height(terrain: Terrain, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(len(y), len(x)) heights of the ground, interpolated between the cells; the void takes its neighbours' height."""
    cells = np.where(terrain.height >= min(LEVEL_HEIGHTS.values()), terrain.height, np.nan)
    while np.isnan(cells).any():
        padded = np.pad(cells, 1, constant_values=np.nan)
        around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        known = ~np.isnan(around)
        mean = np.where(known, around, 0.0).sum(0) / np.maximum(1, known.sum(0))
        cells = np.where(np.isnan(cells) & known.any(0), mean, cells)
    fx, fy = (np.clip(v - 0.5, 0.0, n - 1.0) for v, n in zip((x, y), cells.shape, strict=True))
    i, j = (np.minimum(v.astype(np.int64), n - 2) for v, n in zip((fx, fy), cells.shape, strict=True))
    a, b = (fx - i)[None, :], (fy - j)[:, None]
    at = cells.T  # [y, x]
    south = at[np.ix_(j, i)] * (1 - a) + at[np.ix_(j, i + 1)] * a
    north = at[np.ix_(j + 1, i)] * (1 - a) + at[np.ix_(j + 1, i + 1)] * a
    return np.asarray(south * (1 - b) + north * b)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _rgb(colour: Colour) -> np.ndarray:
    return np.array(colour, np.float32)


def _draw_grid(picture: Image.Image, view: View) -> None:
    draw = ImageDraw.Draw(picture, "RGBA")
    width, height = picture.size
    thick = max(1, round(0.03 * view.scale))
    for x in range(0, math.ceil(view.left + view.width), GRID_STEP):
        at = view.pixel(x, 0.0)[0]
        draw.line([(at, 0), (at, height)], fill=(*GRID, 44), width=thick)
    for y in range(0, math.ceil(view.bottom + view.height), GRID_STEP):
        at = view.pixel(0.0, y)[1]
        draw.line([(0, at), (width, at)], fill=(*GRID, 44), width=thick)


def _draw_wall(picture: Image.Image, view: View, terrain: Terrain, wall: Wall) -> None:
    draw = ImageDraw.Draw(picture)
    width = max(1, round(LINE_WIDTH * view.scale))
    draw.line([view.pixel(*p) for p in wall.points], fill=CLIFF, width=width, joint="curve")
    if wall.sides != 2:
        return
    for (ax, ay), (bx, by) in zip(wall.points, wall.points[1:], strict=False):
        length = math.dist((ax, ay), (bx, by))
        nx, ny = -(by - ay) / length, (bx - ax) / length
        for k in range(int(length / TICK_STEP)):
            part = (k + 0.5) * TICK_STEP / length
            x, y = ax + part * (bx - ax), ay + part * (by - ay)
            side = 1.0 if _cell(terrain, x + nx, y + ny) < _cell(terrain, x - nx, y - ny) else -1.0
            tip = view.pixel(x + side * TICK_LENGTH * nx, y + side * TICK_LENGTH * ny)
            draw.line([view.pixel(x, y), tip], fill=CLIFF, width=max(1, round(0.6 * width)))


def _cell(terrain: Terrain, x: float, y: float) -> float:
    """Height of the cell around a point."""
    i, j = (min(max(int(v), 0), n - 1) for v, n in zip((x, y), terrain.size, strict=True))
    return float(terrain.height[i, j])
