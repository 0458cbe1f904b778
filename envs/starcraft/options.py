"""Names, options and sizes of the environments of both packages, as our data and contract have them.

The sizes are those of the contract (`skirmish.contract`), which the packages' answers are held against. So an
environment is described without its package, and before any game is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from envs.interface import require_known
from envs.starcraft.crew import Handling
from skirmish.contract import smac as contract
from skirmish.contract.layout import Layout
from skirmish.contract.layout_v2 import SceneLayout
from skirmish.contract.options import SkirmishOptions, build_layout, build_profile, build_reward_terms
from skirmish.data.maps import MapSpec, load_map, load_terrain, map_names
from skirmish.scenarios.draw import SCENARIOS, TERRAIN, Scenario, scenario_names
from skirmish.scenarios.env import GeneratedEnv, ScenarioOptions

BACKENDS = ("smac", "smacv2")
FACTORIES = {"smac": "smac.env:StarCraft2Env", "smacv2": "smacv2.env:StarCraftCapabilityEnvWrapper"}
MAP_FILE_V2 = "32x32_flat"  # of all of SMACv2's scenarios
OURS = ("sight_scale", "enemy_memory", "reward_scale_teams")  # options of the simulator that the packages have not
# Options of ours that SMACv2 takes as parts of its capability_config.
CAPABILITIES = (
    "attack_probability", "observe_attack_probability", "health_level", "observe_health_level", "mask_probability",
    "observe_types",
)  # fmt: skip
HANDLING = tuple(field.name for field in fields(Handling))
FACTORY = "factory"  # option: "module:name" of what is built instead of the package's class, for tests


@dataclass(frozen=True)
class Battle:
    """One environment of either package, described by our data."""

    name: str
    map_file: str
    spec: MapSpec
    layout: Layout | SceneLayout  # of the observations that learners see
    package_layout: Layout | SceneLayout  # of those that the package makes
    profile: np.ndarray  # (K, NUM_PROFILE), rows as in `spec.kinds`
    options: Mapping[str, Any]  # keywords of the package's class, the seed left out
    largest_return: float | None
    agent_types: tuple[str, ...]  # (n,), or empty where they are drawn


def names_of(backend: str) -> tuple[str, ...]:
    """Names of the environments of a backend."""
    return map_names() if backend == "smac" else scenario_names()


def option_names(backend: str) -> tuple[str, ...]:
    """Options of the package that mean something here, with its names; then those of `Handling`, and `factory`.

    Left out are the seed, replays, windows, and scripted agents, whose commands would replace the learners' actions.
    """
    kind = SkirmishOptions if backend == "smac" else ScenarioOptions
    return (*(field.name for field in fields(kind) if field.name not in OURS), *HANDLING, FACTORY)


def describe(name: str, backend: str, observation: str, options: Mapping[str, Any]) -> Battle:
    """Everything that is fixed about an environment.

    Args: options: those of the package, by `option_names`.
    Raises: ValueError with the nearest name for what is unknown, or for a value without a meaning.
    """
    for option in options:
        require_known("option", option, option_names(backend))
    return (_on_map if backend == "smac" else _drawn)(name, observation == "mazero", dict(options))


def _on_map(name: str, mazero: bool, options: dict[str, Any]) -> Battle:
    spec, chosen = load_map(name), _checked(SkirmishOptions, options)
    profile = build_profile(spec)
    enemies = np.array([spec.kinds.index(kind) for kind in spec.unit_types[spec.n_agents :]])
    most = contract.max_reward(profile, enemies, chosen.reward_death_value, chosen.reward_win)
    terms = build_reward_terms(chosen, most)
    return Battle(
        name=name,
        map_file=name,
        spec=spec,
        layout=build_layout(spec, chosen, mazero=mazero),
        package_layout=build_layout(spec, chosen),
        profile=profile,
        # The only way to tell a time limit from a defeat is the info that this option switches on.
        options={"map_name": name, **options, "continuing_episode": True},
        largest_return=(1.0 if terms.sparse else most) / terms.divisor,
        agent_types=tuple(kind.name for kind in spec.unit_types[: spec.n_agents]),
    )


def _drawn(name: str, mazero: bool, options: dict[str, Any]) -> Battle:
    scenario = SCENARIOS[name]
    options = {**scenario.options, **options}
    chosen = _checked(ScenarioOptions, options)
    if mazero:
        options["obs_last_action"] = True  # the family shows them, and the package knows whom an agent sees
    ours = {key: value for key, value in options.items() if key != "game_version"}
    like = GeneratedEnv(name, observation="mazero" if mazero else "smac", **ours)
    package_like = GeneratedEnv(name, observation="smac", **ours)
    plain = {key: value for key, value in options.items() if key not in CAPABILITIES}
    return Battle(
        name=name,
        map_file=MAP_FILE_V2,
        spec=like.spec,
        layout=like.layout,
        package_layout=package_like.layout,
        profile=like.profile,
        options={
            "map_name": f"10gen_{name.partition('_')[0]}",
            "capability_config": _capability_config(scenario, chosen),
            **plain,
            "continuing_episode": True,
        },
        largest_return=None,
        agent_types=(),
    )


def _checked(kind: Any, options: Mapping[str, Any]) -> Any:
    """Our options of the same names and values; the game's version is the game's own matter."""
    version = options.get("game_version")
    if version is not None and not isinstance(version, str):
        raise ValueError(f"game_version must be a text such as '4.10', got {version!r}: put it in quotes")
    return kind(**{key: value for key, value in options.items() if key != "game_version"})


def _capability_config(scenario: Scenario, chosen: ScenarioOptions) -> dict[str, Any]:
    """What SMACv2 draws for every episode, in its own words."""
    width, height = load_terrain(TERRAIN).size
    config: dict[str, Any] = {
        "n_units": scenario.n_agents,
        "n_enemies": scenario.n_enemies,
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": list(scenario.types),
            "weights": list(scenario.race.weights.values()),
            "exception_unit_types": list(scenario.race.exceptions),
            "observe": bool(chosen.observe_types),
        },
        "start_positions": {
            "dist_type": "surrounded_and_reflect",
            "p": scenario.reflect_probability,
            "map_x": width,
            "map_y": height,
        },
    }
    for key, bounds, shown in (
        ("attack", chosen.attack_probability, chosen.observe_attack_probability),
        ("health", chosen.health_level, chosen.observe_health_level),
    ):
        if bounds is not None:
            low, high = ([float(bound)] for bound in bounds)
            config[key] = {"dist_type": "per_agent_uniform", "lower_bound": low, "upper_bound": high, "observe": shown}
    if chosen.mask_probability is not None:
        config["enemy_mask"] = {
            "dist_type": "mask",
            "mask_probability": float(chosen.mask_probability),
            "n_enemies": scenario.n_enemies,
        }
    return config


def rows_of_types(battle: Battle) -> tuple[np.ndarray, dict[int, int]]:
    """Rows of the profile on a map of SMAC: (n,) of the agents, in their order; of enemies by the game's type id."""
    spec = battle.spec
    agents = np.array([spec.kinds.index(kind) for kind in spec.unit_types[: spec.n_agents]], np.int64)
    enemies = {kind.type_id: spec.kinds.index(kind) for kind in spec.unit_types[spec.n_agents :]}
    return agents, enemies
