"""Which battle a map file stands for, and the type ids that the game's clients see on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath

from skirmish.checks import require_known
from skirmish.data.maps import EnemyOrder, Group, MapSpec, agent_types, load_map, load_terrain, map_names
from skirmish.data.units import DEFAULT_VERSION, unit_data
from skirmish.faces.records import FIRST_ALLY_TYPE
from skirmish.scenarios.draw import AGENT_TYPE_ORDER, RACES, TERRAIN

MAP_FOLDER = "SMAC_Maps"
SUFFIX = ".SC2Map"
DRAWN_MAPS = ("32x32_flat", "10gen_terran", "10gen_protoss", "10gen_zerg")  # SMACv2: units come by debug commands


@dataclass(frozen=True)
class Scene:
    """A map as the game's clients know it."""

    name: str
    spec: MapSpec | None  # None on the maps whose teams are created by debug commands
    ally_names: tuple[str, ...]  # the agents' own types in the order of their ids
    version: str = DEFAULT_VERSION  # of the unit data

    @property
    def drawn(self) -> bool:
        """True if the map is empty until somebody creates units."""
        return self.spec is None

    def ally_id(self, name: str) -> int:
        """Id of an agents' type. SMAC takes the smallest for its base; SMACv2 counts from the end of the table."""
        return FIRST_ALLY_TYPE + self.ally_names.index(name)

    def enemy_id(self, name: str) -> int:
        """Id of a standard type."""
        return int(unit_data(self.version)["units"][name]["type_id"])

    def type_of(self, type_id: int, owner: int) -> str:
        """Name of a type that the owner (1 agents, 2 enemy) may have. Raises: ValueError for another id."""
        names = self.ally_names if owner == 1 else tuple(unit_data(self.version)["units"])
        for name in names:
            if type_id == (self.ally_id(name) if owner == 1 else self.enemy_id(name)):
                return name
        raise ValueError(f"unit type {type_id} of player {owner} is not served here: see the types in `data`")


def map_files() -> tuple[str, ...]:
    """Names of all maps that there are, without folder and suffix."""
    return (*map_names(), *DRAWN_MAPS)


def find_scene(path: str, version: str = DEFAULT_VERSION) -> Scene:
    """The scene of a map file, known by its name alone. Raises: ValueError with the nearest name for another one."""
    name = PureWindowsPath(PurePosixPath(path).name).name.removesuffix(SUFFIX)
    require_known("map", name, map_files())
    if name in DRAWN_MAPS:
        return Scene(name, None, AGENT_TYPE_ORDER, version)
    spec = load_map(name, version)
    return Scene(name, spec, agent_types(spec), version)


def drawn_spec(scene: Scene, allies: Sequence[str], enemies: Sequence[str]) -> MapSpec:
    """A battle between created teams as a map; its groups hold all types of the sides' races, and no points.

    Args: allies, enemies: names of the types in creation order.
    """
    race = next((r for r in RACES.values() if {*allies, *enemies} <= set(r.weights)), None)
    names = race.weights if race else {*allies, *enemies}
    ordered = sorted(names, key=AGENT_TYPE_ORDER.index)
    centre = tuple(length / 2.0 for length in load_terrain(TERRAIN).size)

    def groups(team: Sequence[str]) -> tuple[Group, ...]:
        return tuple(Group(name, list(team).count(name), centre[0], centre[1]) for name in ordered)

    letter = race.letter if race else "T"
    plain = MapSpec(
        name=scene.name,
        n_agents=len(allies),
        n_enemies=len(enemies),
        episode_limit=200,
        type_bits=0,
        map_type="drawn",
        ally_race=letter,
        enemy_race=letter,
        allies=groups(allies),
        enemies=groups(enemies),
        enemy_order=EnemyOrder("hunt"),
        terrain=load_terrain(TERRAIN),
    )
    return replace(plain, game_version=scene.version)
