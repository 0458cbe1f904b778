"""Ground for the kernels: walls as segments, found by cell, and the ways around them.

Units keep their centres a fixed clearance away from the cliff lines. On terrains whose open ground is not convex a
table names, for every pair of cells, the corner to walk to first: shortest paths over the corners of the walls
(visibility graph), computed once per terrain and clearance.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from skirmish.compiled import njit
from skirmish.data.maps import Terrain, Wall, load_terrain

# Columns of `walls` (W, 8) float64: ends, unit normal (left of the direction), sides, 1 if cliff walkers pass.
X0, Y0, X1, Y1, NORMAL_X, NORMAL_Y, SIDES, GROUND_ONLY = 0, 1, 2, 3, 4, 5, 6, 7
STRAIGHT = -1  # entry of the way tables: nothing is in between
CORNER_SLACK = 0.1  # corners are passed this much outside the clearance, and seen past this much inside it


class Ground(NamedTuple):
    """What kernels need of a terrain; X x Y cells, W walls, C corners, N cells that units can stand in."""

    walls: np.ndarray  # (W, 8)
    near_start: np.ndarray  # (X * Y + 1,) int64: walls near cell (x, y) are near_ids[near_start[x Y + y] : ...]
    near_ids: np.ndarray  # int64
    winding: bool  # False: every goal is in a straight line
    cell_node: np.ndarray  # (X, Y) int64 nearest of the N cells
    corners: np.ndarray  # (C, 2)
    way: np.ndarray  # (N, N) int16: corner to walk to from one cell towards another, or STRAIGHT
    corner_way: np.ndarray  # (C, N) int16: the same from a corner


@cache
def build_ground(name: str, clearance: float) -> Ground:
    """Ground of a terrain for units that keep `clearance` from the cliff lines."""
    terrain = load_terrain(name)
    walls = _segments(terrain.walls)
    starts, ids = _near(walls, terrain.size, clearance)
    nothing = np.zeros((0, 0), np.int16)
    plain = Ground(walls, starts, ids, False, np.zeros(terrain.size, np.int64), np.zeros((0, 2)), nothing, nothing)
    nodes = _standing_cells(terrain, walls, clearance)
    if _all_visible(nodes, walls, clearance - CORNER_SLACK):
        return plain
    corners = _corners(terrain, walls, clearance)
    way, corner_way = _ways(nodes, corners, walls, clearance - CORNER_SLACK)
    centres = np.stack(np.meshgrid(*(np.arange(s) + 0.5 for s in terrain.size), indexing="ij"), -1)
    distance = ((centres[:, :, None] - nodes) ** 2).sum(-1)
    return plain._replace(winding=True, cell_node=distance.argmin(-1), corners=corners, way=way, corner_way=corner_way)


def _segments(lines: tuple[Wall, ...]) -> np.ndarray:
    rows = []
    for line in lines:
        for (x0, y0), (x1, y1) in zip(line.points, line.points[1:]):
            length = math.hypot(x1 - x0, y1 - y0)
            normal = (-(y1 - y0) / length, (x1 - x0) / length)
            rows.append((x0, y0, x1, y1, *normal, line.sides, line.blocks == "ground"))
    return np.array(rows, np.float64).reshape(-1, 8)


def _near(walls: np.ndarray, size: tuple[int, int], reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Walls within reach of each cell's centre, half a cell's diagonal added."""
    starts, ids = [0], []
    for x in range(size[0]):
        for y in range(size[1]):
            for w, wall in enumerate(walls):
                if point_distance(x + 0.5, y + 0.5, wall) <= reach + math.sqrt(0.5):
                    ids.append(w)
            starts.append(len(ids))
    return np.array(starts, np.int64), np.array(ids, np.int64)


@njit(cache=True)
def point_distance(x, y, wall):
    """Distance of a point to a wall, negative behind the end of a one-sided wall's line."""
    ex, ey = wall[X1] - wall[X0], wall[Y1] - wall[Y0]
    along = ((x - wall[X0]) * ex + (y - wall[Y0]) * ey) / (ex * ex + ey * ey)
    along = min(1.0, max(0.0, along))
    dx, dy = x - wall[X0] - along * ex, y - wall[Y0] - along * ey
    distance = math.sqrt(dx * dx + dy * dy)
    if 0.0 < along < 1.0 and wall[SIDES] == 1.0 and dx * wall[NORMAL_X] + dy * wall[NORMAL_Y] < 0.0:
        return -distance
    return distance


@njit(cache=True)
def clearance_at(x, y, walls):
    """Distance of a point to the nearest wall; negative behind a one-sided one that is near."""
    least = np.inf
    for w in range(walls.shape[0]):
        distance = point_distance(x, y, walls[w])
        if abs(distance) < abs(least):
            least = distance
    return least


@njit(cache=True)
def _sees(ax, ay, bx, by, walls, clearance):
    """Does the straight way between two points keep the clearance from all walls?"""
    for w in range(walls.shape[0]):
        cx, cy, dx, dy = walls[w, X0], walls[w, Y0], walls[w, X1], walls[w, Y1]
        side_a = (dx - cx) * (ay - cy) - (dy - cy) * (ax - cx)
        side_b = (dx - cx) * (by - cy) - (dy - cy) * (bx - cx)
        side_c = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        side_d = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
        if side_a * side_b < 0.0 and side_c * side_d < 0.0:
            return False
        nearest = min(
            min(_to_segment(ax, ay, cx, cy, dx, dy), _to_segment(bx, by, cx, cy, dx, dy)),
            min(_to_segment(cx, cy, ax, ay, bx, by), _to_segment(dx, dy, ax, ay, bx, by)),
        )
        if nearest < clearance:
            return False
    return True


@njit(cache=True)
def _to_segment(x, y, ax, ay, bx, by):
    ex, ey = bx - ax, by - ay
    square = ex * ex + ey * ey
    along = 0.0 if square == 0.0 else min(1.0, max(0.0, ((x - ax) * ex + (y - ay) * ey) / square))
    return math.hypot(x - ax - along * ex, y - ay - along * ey)


def _standing_cells(terrain: Terrain, walls: np.ndarray, clearance: float) -> np.ndarray:
    """(N, 2) centres of walkable cells that keep (nearly) the clearance."""
    centres = np.argwhere(terrain.walkable) + 0.5
    keep = [clearance_at(x, y, walls) >= clearance - CORNER_SLACK for x, y in centres]
    return centres[np.array(keep, np.bool_)]


def _corners(terrain: Terrain, walls: np.ndarray, clearance: float) -> np.ndarray:
    """(C, 2) points just outside the clearance around the ends of walls, where they lie on open ground."""
    points = []
    for x, y in np.unique(np.concatenate([walls[:, [X0, Y0]], walls[:, [X1, Y1]]]), axis=0):
        for angle in np.arange(8) * (math.pi / 4):
            reach = clearance + CORNER_SLACK
            px, py = x + reach * math.cos(angle), y + reach * math.sin(angle)
            inside = 0.0 < px < terrain.size[0] and 0.0 < py < terrain.size[1]
            # The test of the sides needs ground that is not the void: every level is above it.
            if inside and terrain.height[int(px), int(py)] > 1.0 and clearance_at(px, py, walls) >= clearance:
                points.append((px, py))
    return np.array(points, np.float64).reshape(-1, 2)


@njit(cache=True)
def _all_visible(nodes, walls, clearance):
    for a in range(nodes.shape[0]):
        for b in range(a):
            if not _sees(nodes[a, 0], nodes[a, 1], nodes[b, 0], nodes[b, 1], walls, clearance):
                return False
    return True


@njit(cache=True)
def _ways(nodes, corners, walls, clearance):
    """First corner of the shortest way between all pairs of cells, and from all corners to all cells."""
    n, m = nodes.shape[0], corners.shape[0]
    points = np.concatenate((nodes, corners))
    seen = np.full((n + m, n + m), np.inf)  # lengths of straight ways
    for a in range(n + m):
        for b in range(a):
            if _sees(points[a, 0], points[a, 1], points[b, 0], points[b, 1], walls, clearance):
                seen[a, b] = seen[b, a] = math.hypot(points[a, 0] - points[b, 0], points[a, 1] - points[b, 1])
    lengths = seen[n:, n:].copy()  # between corners, by Floyd and Warshall
    for a in range(m):
        lengths[a, a] = 0.0
    for via in range(m):
        for a in range(m):
            for b in range(m):
                lengths[a, b] = min(lengths[a, b], lengths[a, via] + lengths[via, b])
    to_node = np.full((m, n), np.inf)  # from a corner to a cell
    for a in range(m):
        for b in range(n):
            for last in range(m):
                to_node[a, b] = min(to_node[a, b], lengths[a, last] + seen[n + last, b])
    way = np.full((n + m, n), STRAIGHT)
    for a in range(n + m):
        for b in range(n):
            if a == b or seen[a, b] < np.inf:
                continue
            best = np.inf
            for first in range(m):
                if n + first != a and seen[a, n + first] + to_node[first, b] < best:
                    best = seen[a, n + first] + to_node[first, b]
                    way[a, b] = first
    return way[:n].astype(np.int16), way[n:].astype(np.int16)  # small tables stay in the processor's cache
