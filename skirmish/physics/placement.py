"""Where units go that are created one by one, often on one point, in drawn battles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from skirmish.compiled import njit
from skirmish.data.maps import _lattice, layers
from skirmish.data.units import unit_type
from skirmish.physics.tables import TOUCH


def free_spots(points: np.ndarray, names: Sequence[str], gap: float, size: tuple[int, int]) -> np.ndarray:
    """Where units created one by one at points end up: each takes the free spot nearest to its point.

    The rule of `maps.packed_spots`, inside the map. What finds no spot stays at its point; physics pushes it off.

    Args: points: (U, 2) in creation order; names: their types; gap: between neighbours; size: of the map.
    Returns: (U, 2) float64.
    """
    kinds = [unit_type(name) for name in names]
    sizes = np.array([kind.separation for kind in kinds])
    filled = np.array([layers(kind) for kind in kinds], np.int64)
    points = np.ascontiguousarray(points, np.float64)
    return _pack(points, sizes, filled, _unit_lattice(), gap, float(size[0]), float(size[1]))


@cache
def _unit_lattice() -> np.ndarray:
    return np.array(_lattice(1.0))


@njit(cache=True)
def _pack(points, sizes, filled, lattice, gap, width, height):
    spots = np.empty_like(points)
    for u in range(len(points)):
        x0 = min(max(points[u, 0], sizes[u]), width - sizes[u])
        y0 = min(max(points[u, 1], sizes[u]), height - sizes[u])
        spots[u, 0], spots[u, 1] = x0, y0
        for c in range(len(lattice)):
            x = x0 + (2.0 * sizes[u] + gap) * lattice[c, 0]
            y = y0 + (2.0 * sizes[u] + gap) * lattice[c, 1]
            if not (sizes[u] <= x <= width - sizes[u] and sizes[u] <= y <= height - sizes[u]):
                continue
            free = True
            for v in range(u):
                reach = sizes[u] + sizes[v] - TOUCH
                if filled[u] & filled[v] and (x - spots[v, 0]) ** 2 + (y - spots[v, 1]) ** 2 < reach * reach:
                    free = False
                    break
            if free:
                spots[u, 0], spots[u, 1] = x, y
                break
    return spots
