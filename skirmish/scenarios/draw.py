"""Scenarios with drawn battles, in the manner of SMACv2: every episode has new teams at new places.

One scenario is a race, two team sizes and the way teams and places are drawn; `draw_battle` draws one episode. All of
them are fought on one open 32 x 32 map, where every enemy without an order goes for the nearest agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from skirmish.checks import require_known
from skirmish.data.maps import EnemyOrder, Group, MapSpec, load_terrain

TERRAIN = "open_32x32"
EPISODE_LIMIT = 200  # environment steps
MIDDLE_STRIP = 1.0  # reflected agents start at least this far west of the middle line
INNER_OFFSET = 2.0  # surrounding enemies keep this far from the centre on both axes
CORNERS = 4

# Order of the agents' type ids, which is the order of the agents.
AGENT_TYPE_ORDER = (
    "baneling", "colossus", "hydralisk", "marauder", "marine", "medivac", "stalker", "zealot", "zergling",
)  # fmt: skip
# Ranges with use_unit_ranges; anything else shoots at 6 and sees 9. Distances between centres.
UNIT_SHOOT_RANGES = {
    "stalker": 6.0, "zealot": 0.1, "colossus": 7.0, "zergling": 0.1, "baneling": 0.25, "hydralisk": 5.0,
    "marine": 5.0, "marauder": 6.0, "medivac": 4.0,
}  # fmt: skip
UNIT_SIGHT_RANGES = {
    "stalker": 10.0, "zealot": 9.0, "colossus": 10.0, "zergling": 8.0, "baneling": 8.0, "hydralisk": 9.0,
    "marine": 9.0, "marauder": 10.0, "medivac": 11.0,
}  # fmt: skip


@dataclass(frozen=True)
class Race:
    """What a side is drawn from."""

    letter: str  # as in `MapSpec`
    map_type: str  # decides the medivac rules
    weights: Mapping[str, float]  # type -> probability, in the order of the type one-hot
    exceptions: tuple[str, ...]  # types that never make up a whole team


@dataclass(frozen=True)
class Scenario:
    """How an episode's battle is drawn, and the options it is published with."""

    name: str
    race: Race
    n_agents: int
    n_enemies: int
    reflect_probability: float = 0.5  # otherwise the agents start surrounded
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of `ScenarioOptions`

    @property
    def types(self) -> tuple[str, ...]:
        """Types in the order of the one-hot, the same for both sides."""
        return tuple(self.race.weights)


class Battle(NamedTuple):
    """Teams and creation points of one episode, in creation order; types are indices into `Scenario.types`."""

    ally_types: np.ndarray  # (n,) int64
    enemy_types: np.ndarray  # (m,) int64
    ally_positions: np.ndarray  # (n, 2) float64
    enemy_positions: np.ndarray  # (m, 2) float64


RACES = MappingProxyType(
    {
        "terran": Race("T", "terran_gen", {"marine": 0.45, "marauder": 0.45, "medivac": 0.1}, ("medivac",)),
        "protoss": Race("P", "protoss_gen", {"stalker": 0.45, "zealot": 0.45, "colossus": 0.1}, ()),
        "zerg": Race("Z", "zerg_gen", {"zergling": 0.45, "hydralisk": 0.45, "baneling": 0.1}, ("baneling",)),
    }
)
TEAM_SIZES = ((5, 5), (10, 10), (20, 20), (10, 11), (20, 23))
PUBLISHED = {"use_unit_ranges": True, "min_attack_range": 2.0, "obs_own_pos": True, "conic_fov": False}
VARIANTS = MappingProxyType(
    {
        "": {"prob_obs_enemy": 1.0, "action_mask": True},
        "_epo": {"prob_obs_enemy": 0.0, "action_mask": False},  # extended partial observability
    }
)
SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        name: Scenario(name, race, n, m, options=PUBLISHED | changes)
        for suffix, changes in VARIANTS.items()
        for race_name, race in RACES.items()
        for n, m in TEAM_SIZES
        for name in (f"{race_name}_{n}_vs_{m}{suffix}",)
    }
)


def scenario_names() -> tuple[str, ...]:
    """All scenarios: race_n_vs_m, and the same with the suffix `_epo`."""
    return tuple(SCENARIOS)


def find_scenario(name: str) -> Scenario:
    """A scenario by name. Raises: ValueError with the nearest name for an unknown one."""
    require_known("scenario", name, SCENARIOS)
    return SCENARIOS[name]


def draw_battle(scenario: Scenario, rng: np.random.Generator) -> Battle:
    """Teams and creation points of one episode.

    Both sides are the same list of types; a larger enemy side gets further units, drawn as a team of their own. That
    has a side effect: a single extra enemy is never of an exception type, since it would be a whole team of them. With
    `reflect_probability` the enemies mirror the agents across the middle line, otherwise they surround them.
    """
    n, m = scenario.n_agents, scenario.n_enemies
    allies = draw_team(scenario.race, n, rng)
    enemies = allies[:m]
    if m > n:
        enemies = np.concatenate([allies, draw_team(scenario.race, m - n, rng)])
    surrounded = rng.random() > scenario.reflect_probability
    places = surrounded_positions(n, m, rng) if surrounded else reflected_positions(n, m, rng)
    return Battle(allies, enemies, *places)


def draw_team(race: Race, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) int64 types, independent with the race's weights; teams of nothing but exceptions are drawn again."""
    edges = np.cumsum(list(race.weights.values()))
    edges[-1] = 1.0  # whatever rounding makes of the sum
    exceptional = np.array([name in race.exceptions for name in race.weights])
    while True:
        team = np.searchsorted(edges, rng.random(count), side="right")
        if not exceptional[team].all():
            return team


def reflected_positions(n: int, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Agents anywhere in the west, enemies at their mirror images, further enemies anywhere in the east.

    Returns: (n, 2) and (m, 2) float64.
    """
    width, height = map(float, load_terrain(TERRAIN).size)
    allies = rng.random((n, 2)) * (width / 2 - MIDDLE_STRIP, height)
    mirrored = allies[:m] * (-1.0, 1.0) + (width, 0.0)
    extra = rng.random((max(0, m - n), 2)) * (width / 2, height) + (width / 2, 0.0)
    return allies, np.concatenate([mirrored, extra])


def surrounded_positions(n: int, m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Agents at the centre, enemies in one to four groups, each on one of the diagonals to the corners.

    Returns: (n, 2) and (m, 2) float64.
    """
    size = np.array(load_terrain(TERRAIN).size, np.float64)
    centre = size / 2
    groups = int(rng.integers(1, CORNERS + 1))
    members = rng.multinomial(m, np.full(groups, 1.0 / groups))
    inwards = rng.random(groups)  # 0: in the corner, 1: at the inner end of the diagonal
    corners = np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)])[rng.permutation(CORNERS)[:groups]]
    inner = centre + INNER_OFFSET * (2.0 * corners - 1.0)
    points = inwards[:, None] * inner + (1.0 - inwards[:, None]) * corners * size
    return np.tile(centre, (n, 1)), np.repeat(points, members, axis=0)


def build_spec(scenario: Scenario) -> MapSpec:
    """The scenario as a map. Its groups name all types once; their counts and points are those of no episode."""
    n, m = scenario.n_agents, scenario.n_enemies
    centre = tuple(length / 2.0 for length in load_terrain(TERRAIN).size)

    def groups(count: int) -> tuple[Group, ...]:
        order = sorted(scenario.types, key=AGENT_TYPE_ORDER.index)
        shares = np.cumsum([scenario.race.weights[name] for name in order])
        edges = np.rint(count * shares).astype(int)  # nominal teams, as near to the weights as whole units allow
        counts = np.diff(edges, prepend=0)
        return tuple(Group(name, int(c), *centre) for name, c in zip(order, counts, strict=True))

    return MapSpec(
        name=scenario.name,
        n_agents=n,
        n_enemies=m,
        episode_limit=EPISODE_LIMIT,
        type_bits=len(scenario.types),
        map_type=scenario.race.map_type,
        ally_race=scenario.race.letter,
        enemy_race=scenario.race.letter,
        allies=groups(n),
        enemies=groups(m),
        enemy_order=EnemyOrder("hunt"),
        terrain=load_terrain(TERRAIN),
    )
