"""Maps: who fights whom, where, on which terrain; read from `data/maps.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from skirmish.checks import require_known
from skirmish.data.units import DEFAULT_VERSION, UnitType, load_json, require_version, unit_type

LEVEL_HEIGHTS = {"1": 8.0, "2": 10.0}  # world units; the void's height is per terrain
RAMP_FROM, RAMP_TO = 4.0, 8.0  # x of the west ramp's foot and head; the east ramp mirrors it


@dataclass(frozen=True)
class Group:
    """One creation call: `count` units of one type at one point."""

    unit: str
    count: int
    x: float
    y: float


@dataclass(frozen=True)
class EnemyOrder:
    """The one order the map's script gives the enemy."""

    kind: str  # "attack_move", "attack_group", "none", or "hunt": every idle enemy attacks the nearest agent
    points: tuple[tuple[float, float], ...] = ()  # attack_move: the goal, or a segment to draw it from


@dataclass(frozen=True)
class Wall:
    """A cliff line that units keep their distance from."""

    points: tuple[tuple[float, float], ...]  # polyline
    sides: int  # 1: ground on the left of the line, seen along its points; 2: on both sides
    blocks: str  # "all", or "ground": cliff walkers pass


@dataclass(frozen=True)
class Terrain:
    """Ground of a map."""

    name: str
    size: tuple[int, int]
    walkable: np.ndarray  # (X, Y) bool, indexed [x, y]: the grid behind SMAC's movement mask
    height: np.ndarray  # (X, Y) float64 world heights of the cells' centres
    walls: tuple[Wall, ...]


@dataclass(frozen=True)
class MapSpec:
    """One map with SMAC's registry values."""

    name: str
    n_agents: int
    n_enemies: int
    episode_limit: int  # environment steps
    type_bits: int  # length of the type one-hot, 0 if all units of a side are alike
    map_type: str  # SMAC's class of maps: decides type one-hots and medivac rules
    ally_race: str  # "T", "P" or "Z"
    enemy_race: str
    allies: tuple[Group, ...]  # creation calls in order
    enemies: tuple[Group, ...]
    enemy_order: EnemyOrder
    terrain: Terrain
    game_version: str = DEFAULT_VERSION  # of the unit data

    @property
    def ally_shields(self) -> bool:
        """Protoss: observations and states carry shields."""
        return self.ally_race == "P"

    @property
    def enemy_shields(self) -> bool:
        """As `ally_shields`, for the other side."""
        return self.enemy_race == "P"

    @property
    def kinds(self) -> tuple[UnitType, ...]:
        """The K different types on the map, those of the agents first, in their order.

        A type of the enemy has a row of its own where the agents' copy differs from it.
        """
        rows = [self._type(name, agents=True) for name in agent_types(self)]
        for group in self.enemies:
            stock = self._type(group.unit, agents=False)
            if stock not in rows:
                rows.append(stock)
        return tuple(rows)

    @property
    def unit_types(self) -> tuple[UnitType, ...]:
        """Types of all U units: agents in their order, then enemies in creation order."""
        agents = [t for t in agent_types(self) for g in self.allies if g.unit == t for _ in range(g.count)]
        enemies = [g.unit for g in self.enemies for _ in range(g.count)]
        return tuple(
            self._type(name, agents=side) for names, side in ((agents, True), (enemies, False)) for name in names
        )

    def row_of(self, name: str, *, agents: bool) -> int:
        """Row of a side's type in `kinds`."""
        return self.kinds.index(self._type(name, agents=agents))

    def _type(self, name: str, *, agents: bool) -> UnitType:
        return unit_type(name, self.game_version, agents=agents)


def agent_types(spec: MapSpec) -> tuple[str, ...]:
    """Names of the agents' types in the order of their ids, which is the order of the agents."""
    present = dict.fromkeys(g.unit for g in spec.allies)
    order = load_json("maps.json")["agent_types"].get(spec.map_type, list(present))
    return tuple(name for name in order if name in present)


def map_names() -> tuple[str, ...]:
    """All maps in the data."""
    return tuple(load_json("maps.json")["maps"])


@cache
def load_map(name: str, game_version: str = DEFAULT_VERSION) -> MapSpec:
    """Read a map, with the unit data of a game version. Raises: ValueError for an unknown map or version."""
    require_known("map", name, map_names())
    require_version(game_version)
    row = load_json("maps.json")["maps"][name]
    order = row["enemy_order"]
    return MapSpec(
        name=name,
        n_agents=row["n_agents"],
        n_enemies=row["n_enemies"],
        episode_limit=row["episode_limit"],
        type_bits=row["unit_type_bits"],
        map_type=row["map_type"],
        ally_race=row["ally_race"],
        enemy_race=row["enemy_race"],
        allies=_groups(row["allies"]),
        enemies=_groups(row["enemies"]),
        enemy_order=EnemyOrder(order["kind"], tuple((p[0], p[1]) for p in order.get("points", ()))),
        terrain=load_terrain(row["terrain"]),
        game_version=game_version,
    )


@cache
def load_terrain(name: str) -> Terrain:
    """Read a terrain. Raises: ValueError with the nearest name for an unknown one."""
    terrains = load_json("maps.json")["terrains"]
    require_known("terrain", name, terrains)
    row = terrains[name]
    # Corners opened by the engine's finer pathing count as walkable: where two diagonal cliffs meet, agents could
    # not pass by movement actions otherwise.
    walkable = np.array([[cell in ".+" for cell in line] for line in row["walk_rows"]], np.bool_).T  # rows are y
    return Terrain(
        name=name,
        size=(row["size"][0], row["size"][1]),
        walkable=np.ascontiguousarray(walkable),
        height=_heights(row),
        walls=tuple(
            Wall(tuple((float(x), float(y)) for x, y in w["points"]), w["sides"], w["blocks"]) for w in row["walls"]
        ),
    )


def packed_spots(groups: tuple[Group, ...], gap: float) -> np.ndarray:
    """Where units created on points end up: each takes the free lattice spot nearest to its point.

    The lattice is triangular with its origin on the point and columns running north-south; equally near spots are
    taken in the order north, south, north-east, south-west, then by angle. Later units avoid the spots of earlier
    ones that they collide with.

    Args: groups: creation calls in order; gap: space between neighbouring units.
    Returns: (U, 2) float64 positions in creation order.
    """
    spots: list[tuple[float, float]] = []
    types: list[UnitType] = []
    for group in groups:
        kind = unit_type(group.unit)
        candidates = iter(_lattice(2 * kind.separation + gap))
        placed = 0
        while placed < group.count:
            dx, dy = next(candidates)
            x, y = group.x + dx, group.y + dy
            if all(
                not collide(kind, other) or math.dist((x, y), spot) >= kind.separation + other.separation
                for spot, other in zip(spots, types, strict=True)
            ):
                spots.append((x, y))
                types.append(kind)
                placed += 1
    return np.array(spots, np.float64)


def layers(kind: UnitType) -> int:
    """Bit set of the layers a unit fills: units collide if they share one.

    Ground units and structures share the first, structures and cliff walkers the second, cliff walkers and flyers the
    third, so that a colossus walks over ground units but not through a structure, a flyer or another colossus.
    """
    if "structure" in kind.attributes:
        return 0b011
    return {"ground": 0b001, "cliff": 0b110, "air": 0b100}[kind.mover]


def collide(a: UnitType, b: UnitType) -> bool:
    """Do units of these types push each other apart?"""
    return layers(a) & layers(b) != 0


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


def _groups(rows: list[dict[str, Any]]) -> tuple[Group, ...]:
    return tuple(Group(unit=r["unit"], count=r["count"], x=r["point"][0], y=r["point"][1]) for r in rows)


def _heights(row: dict[str, Any]) -> np.ndarray:
    """(X, Y) heights of the cells' centres; ramps rise linearly towards the plateau between them."""
    low, high = LEVEL_HEIGHTS["1"], LEVEL_HEIGHTS["2"]
    width = row["size"][0]
    heights = np.empty(row["size"])
    for y, line in enumerate(row["level_rows"]):
        for x, level in enumerate(line):
            if level == "r":
                along = min(x + 0.5, width - x - 0.5)  # the east ramp mirrors the west one
                heights[x, y] = low + (high - low) * min(1.0, max(0.0, (along - RAMP_FROM) / (RAMP_TO - RAMP_FROM)))
            else:
                heights[x, y] = row["void_height"] if level == "0" else LEVEL_HEIGHTS[level]
    return heights
