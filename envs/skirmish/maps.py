"""Maps: who fights whom, where, on which terrain; read from `data/maps.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from envs.interface import require_known
from envs.skirmish.units import UnitType, load_json, unit_type


@dataclass(frozen=True)
class Group:
    """One creation call: `count` units of one type at one point."""

    unit: str
    count: int
    x: float
    y: float


@dataclass(frozen=True)
class Terrain:
    """Ground of a map. Only convex arenas so far: the cliffs are half-planes a x + b y <= c."""

    size: tuple[int, int]
    walkable: np.ndarray  # (X, Y) bool, indexed [x, y]
    cliffs: np.ndarray  # (P, 3) float64 rows a, b, c with unit normals


@dataclass(frozen=True)
class MapSpec:
    """One map with SMAC's registry values."""

    name: str
    n_agents: int
    n_enemies: int
    episode_limit: int  # environment steps
    type_bits: int  # length of the type one-hot, 0 if all units of a side are alike
    ally_shields: bool  # Protoss: observations and states carry shields
    enemy_shields: bool
    allies: tuple[Group, ...]  # in agent order of the types
    enemies: tuple[Group, ...]  # in spawn order
    attack_point: tuple[float, float]  # the enemy's only order
    terrain: Terrain

    @property
    def unit_types(self) -> tuple[UnitType, ...]:
        """Types of all U units: agents in their order, then enemies in theirs."""
        return tuple(unit_type(g.unit) for g in self.allies + self.enemies for _ in range(g.count))


def map_names() -> tuple[str, ...]:
    """All maps in the data, smallest first."""
    return tuple(load_json("maps.json")["order"])


@cache
def load_map(name: str) -> MapSpec:
    """Read a map. Raises: ValueError with the nearest name for an unknown map."""
    require_known("map", name, map_names())
    data = load_json("maps.json")
    row = data["maps"][name]
    order = row["enemy_order"]
    if order["kind"] != "attack_move_point":
        raise ValueError(
            f"enemy order of map {name!r} must be 'attack_move_point', got {order['kind']!r}: extend the kernels"
        )
    return MapSpec(
        name=name,
        n_agents=row["n_agents"],
        n_enemies=row["n_enemies"],
        episode_limit=row["episode_limit"],
        type_bits=row["unit_type_bits"],
        ally_shields=row["ally_race"] == "P",
        enemy_shields=row["enemy_race"] == "P",
        allies=_groups(row["allies"]),
        enemies=_groups(row["enemies"]),
        attack_point=(order["point"][0], order["point"][1]),
        terrain=_terrain(row["terrain"]),
    )


def packed_spots(groups: tuple[Group, ...], gap: float) -> np.ndarray:
    """Where units created on points end up: each takes the free lattice spot nearest to its point.

    The lattice is triangular with its origin on the point and columns running north-south; equally near spots are
    taken in the order north, south, north-east, south-west, then by angle. Later groups avoid the spots of earlier
    ones.

    Args: groups: creation calls in order; gap: space between neighbouring units.
    Returns: (U, 2) float64 positions in creation order.
    """
    spots: list[tuple[float, float]] = []
    radii: list[float] = []
    for group in groups:
        radius = unit_type(group.unit).separation
        candidates = iter(_lattice(2 * radius + gap))
        placed = 0
        while placed < group.count:
            dx, dy = next(candidates)
            x, y = group.x + dx, group.y + dy
            if all(math.dist((x, y), s) >= radius + r for s, r in zip(spots, radii, strict=True)):
                spots.append((x, y))
                radii.append(radius)
                placed += 1
    return np.array(spots, np.float64)


@cache
def _lattice(spacing: float) -> tuple[tuple[float, float], ...]:
    """Triangular lattice offsets by distance from the origin; enough for more than 100 units."""
    reach, offsets = 8, []
    for column in range(-reach, reach + 1):
        for row in range(-reach, reach + 1):
            offsets.append((column * spacing * math.sqrt(0.75), (row + 0.5 * (column % 2)) * spacing))
    # Rounded keys: spots that are equally near must not be told apart by rounding errors.
    return tuple(
        sorted(offsets, key=lambda p: (round(math.hypot(*p), 6), round(abs(p[0]), 6), -p[0] * p[1], -p[1], p[0]))
    )


def _groups(rows: list[dict]) -> tuple[Group, ...]:
    return tuple(Group(unit=r["unit"], count=r["count"], x=r["point"][0], y=r["point"][1]) for r in rows)


@cache
def _terrain(name: str) -> Terrain:
    row = load_json("maps.json")["terrains"][name]
    walkable = np.array([[cell == "." for cell in line] for line in row["walk_rows"]], np.bool_).T  # rows are y
    return Terrain(
        size=(row["size"][0], row["size"][1]),
        walkable=np.ascontiguousarray(walkable),
        cliffs=np.array(row["cliffs"], np.float64).reshape(-1, 3),
    )
