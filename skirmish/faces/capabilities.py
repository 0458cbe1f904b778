"""SMACv2's `capability_config`: what is drawn for every episode, read into a scenario and its options.

Known generators, with their keys besides "dist_type":

- team_gen: "weighted_teams" (unit_types, weights, exception_unit_types, observe).
- start_positions: "surrounded_and_reflect" (p, map_x, map_y), "surrounded", "reflect_position" (map_x, map_y).
- attack, health: "per_agent_uniform" (lower_bound, upper_bound, observe).
- enemy_mask: "mask" (mask_probability).

SMACv2 also registers "fixed" and "all_teams", and starts teams on two points without start_positions; none of its
published configurations does, and they are refused here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skirmish.data.maps import load_terrain
from skirmish.faces.registry import UnknownMapError, drawn_map_registry
from skirmish.scenarios.draw import RACES, TERRAIN, Race, Scenario

GENERATORS: Mapping[str, tuple[str, ...]] = {
    "team_gen": ("weighted_teams",),
    "start_positions": ("surrounded_and_reflect", "surrounded", "reflect_position"),
    "attack": ("per_agent_uniform",),
    "health": ("per_agent_uniform",),
    "enemy_mask": ("mask",),
}
# Probability of reflected positions, where the configuration gives none.
REFLECT_PROBABILITY = {"surrounded": 0.0, "reflect_position": 1.0}
SUM_SLACK = 1e-8  # of weights, which are written in decimals


def read_config(map_name: str, config: Any) -> tuple[Scenario, dict[str, Any]]:
    """A scenario named after the map, and the options of `ScenarioOptions` that the configuration decides.

    Raises: KeyError (also a ValueError) for a map that is none of SMACv2's; ValueError for what is missing, unknown or
      not supported.
    """
    if map_name not in drawn_map_registry:
        raise UnknownMapError(
            f"teams are drawn on the maps {', '.join(drawn_map_registry)}, got {map_name!r}: pass one of these, or use "
            "StarCraft2Env for a map of SMAC"
        )
    if not isinstance(config, Mapping):
        raise ValueError(f"capability_config must be a mapping, got {config!r}: see skirmish/faces/capabilities.py")
    for key in config:
        if key not in ("n_units", "n_enemies", *GENERATORS):
            raise ValueError(
                f"capability_config may hold n_units, n_enemies, {', '.join(GENERATORS)}, got {key!r}: take it out"
            )
    n, m = _count(config, "n_units"), _count(config, "n_enemies")
    for key in ("team_gen", "start_positions"):
        if key not in config:
            raise ValueError(
                f"capability_config must hold {key}, got {', '.join(map(str, config))}: add it, since every episode "
                "has teams and places of its own here"
            )
    for key in GENERATORS.keys() & config.keys():
        kind = _entry(config[key], key, "dist_type")
        if kind not in GENERATORS[key]:
            raise ValueError(
                f"{key} must have a dist_type of {', '.join(GENERATORS[key])}, got {kind!r}: use one of these"
            )
    race = _race(RACES[map_name.removeprefix("10gen_")], config["team_gen"])
    scenario = Scenario(map_name, race, n, m, _reflect_probability(config["start_positions"]))
    return scenario, {"observe_types": _observed(config["team_gen"], "team_gen"), **_traits(config)}


def _traits(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of what is drawn per agent."""
    options: dict[str, Any] = {}
    for key, option in (("attack", "attack_probability"), ("health", "health_level")):
        if key in config:
            options[option] = (_bound(config[key], key, "lower_bound"), _bound(config[key], key, "upper_bound"))
            options[f"observe_{option}"] = _observed(config[key], key)
    if "enemy_mask" in config:
        options["mask_probability"] = _entry(config["enemy_mask"], "enemy_mask", "mask_probability")
    return options


def _race(published: Race, teams: Mapping[str, Any]) -> Race:
    """The map's race with the configuration's weights; types that are not named are never drawn."""
    types, weights = _entry(teams, "team_gen", "unit_types"), _entry(teams, "team_gen", "weights")
    exceptions = teams.get("exception_unit_types", ())
    for name in (*types, *exceptions):
        if name not in published.weights:
            raise ValueError(
                f"team_gen's types on this map are {', '.join(published.weights)}, got {name!r}: use its race's map"
            )
    if len(weights) != len(types) or len(set(types)) != len(types):
        raise ValueError(
            f"team_gen needs one weight for each of its different unit_types, got {len(weights)} for {list(types)}: "
            "name every type once"
        )
    if min(weights) < 0 or abs(sum(weights) - 1.0) > SUM_SLACK:
        raise ValueError(f"team_gen's weights must be probabilities that sum to 1, got {list(weights)}: rescale them")
    chances = dict(zip(types, map(float, weights), strict=True))
    if all(name in exceptions for name, chance in chances.items() if chance > 0):
        raise ValueError(
            f"exception_unit_types never make up a whole team, got {list(exceptions)} and no other type with a weight: "
            "leave one out"
        )
    all_chances = {name: chances.get(name, 0.0) for name in published.weights}  # in the order of the one-hot
    return Race(published.letter, published.map_type, all_chances, tuple(exceptions))


def _reflect_probability(positions: Mapping[str, Any]) -> float:
    size = load_terrain(TERRAIN).size
    got = tuple(_entry(positions, "start_positions", key) for key in ("map_x", "map_y"))
    if got != size:
        raise ValueError(f"start_positions must have the map's map_x, map_y = {size}, got {got}: the map is fixed")
    if positions["dist_type"] in REFLECT_PROBABILITY:
        return REFLECT_PROBABILITY[positions["dist_type"]]
    p = _entry(positions, "start_positions", "p")
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0.0 <= p <= 1.0:
        raise ValueError(f"start_positions' p must lie in [0, 1], got {p!r}: it is the probability of reflection")
    return float(p)


def _count(config: Mapping[str, Any], key: str) -> int:
    got = config.get(key)
    if isinstance(got, bool) or not isinstance(got, int) or got < 1:
        raise ValueError(f"capability_config must hold {key}, an integer of at least 1, got {got!r}: it counts a team")
    return got


def _entry(config: Any, key: str, name: str) -> Any:
    if not isinstance(config, Mapping) or name not in config:
        raise ValueError(f"{key} must be a mapping with the key {name!r}, got {config!r}: add it")
    return config[name]


def _observed(config: Mapping[str, Any], key: str) -> bool:
    got = _entry(config, key, "observe")
    if not isinstance(got, bool):
        raise ValueError(f"{key}'s observe must be True or False, got {got!r}: it is a switch")
    return got


def _bound(config: Mapping[str, Any], key: str, name: str) -> float:
    """A bound of one value per agent, which SMACv2 writes as a sequence of one."""
    got = _entry(config, key, name)
    values = list(got) if isinstance(got, Sequence) else [got]
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], int | float):
        raise ValueError(f"{key}'s {name} must be one number or a sequence of one, got {got!r}: one value per agent")
    return float(values[0])
