"""SMAC's registry of maps: what its code bases look up before they build an environment. Light: loads no simulator."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from skirmish.checks import require_known
from skirmish.data.maps import MapSpec, load_map, map_names
from skirmish.scenarios.draw import EPISODE_LIMIT, RACES

DRAWN_TEAM_SIZE = 10  # registered for SMACv2's maps; capability_config decides


class UnknownMapError(KeyError, ValueError):
    """A map name that is not in the data; SMAC raises a KeyError, the rest of this project ValueErrors."""

    __str__ = Exception.__str__  # a KeyError would print the message in quotes


def map_params(spec: MapSpec) -> dict[str, Any]:
    """A map's entry of the registry."""
    return {
        "n_agents": spec.n_agents,
        "n_enemies": spec.n_enemies,
        "limit": spec.episode_limit,
        "a_race": spec.ally_race,
        "b_race": spec.enemy_race,
        "unit_type_bits": spec.type_bits,
        "map_type": spec.map_type,
    }


# Map -> its values, for SMAC's 23 maps.
map_param_registry: dict[str, dict[str, Any]] = {name: map_params(load_map(name)) for name in map_names()}

# The three maps of SMACv2, whose teams are drawn; `StarCraftCapabilityEnvWrapper` builds them.
drawn_map_registry = MappingProxyType(
    {
        f"10gen_{race_name}": {
            "n_agents": DRAWN_TEAM_SIZE,
            "n_enemies": DRAWN_TEAM_SIZE,
            "limit": EPISODE_LIMIT,
            "a_race": race.letter,
            "b_race": race.letter,
            "unit_type_bits": len(race.weights),
            "map_type": race.map_type,
            "map_name": "32x32_flat",
        }
        for race_name, race in RACES.items()
    }
)


def get_smac_map_registry() -> dict[str, dict[str, Any]]:
    """SMAC's 23 maps: the registry itself, not a copy, as in SMAC."""
    return map_param_registry


def get_map_params(map_name: str) -> dict[str, Any]:
    """Registry values of a map of SMAC or SMACv2.

    Returns: n_agents, n_enemies, limit (environment steps), a_race and b_race ("T", "P" or "Z"), unit_type_bits,
      map_type; SMACv2's maps also have map_name, the name of their map file.
    Raises: KeyError (also a ValueError) with the nearest name for an unknown map.
    """
    if map_name in map_param_registry:
        return map_param_registry[map_name]
    try:
        require_known("map", map_name, [*map_param_registry, *drawn_map_registry])
    except ValueError as error:
        raise UnknownMapError(str(error)) from None
    return dict(drawn_map_registry[map_name])
