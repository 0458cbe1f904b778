"""One way to any battle: maps and drawn scenarios by name, options and choices of the rules side by side."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from skirmish.checks import require_known
from skirmish.contract.options import SkirmishOptions
from skirmish.data.maps import map_names
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.rules import Rules
from skirmish.scenarios.draw import SCENARIOS, scenario_names
from skirmish.scenarios.env import GeneratedEnv, ScenarioOptions


def option_names(name: str) -> tuple[str, ...]:
    """Names of the options that `make` takes for a map or scenario: its options and the choices of `Rules`."""
    options = ScenarioOptions if name in SCENARIOS else SkirmishOptions
    return tuple(field.name for kind in (options, Rules) for field in fields(kind))


def make(
    name: str,
    *,
    num_envs: int = 1,
    observation: str = "smac",
    seed: int = 0,
    rules: Rules | None = None,
    on_map: type[SkirmishEnv] = SkirmishEnv,
    on_scenario: type[GeneratedEnv] = GeneratedEnv,
    **options: Any,
) -> SkirmishEnv:
    """B battles side by side; call `reset` before the first step.

    Args:
      name: a map such as "3m", or a scenario with drawn teams such as "terran_5_vs_5".
      num_envs: B.
      observation: family "smac" or "mazero".
      seed: seeds the first `reset()`.
      rules: choices of the simulator; single ones among `options` change this object.
      on_map, on_scenario: classes to build.
      options: `option_names(name)`.
    Raises: ValueError with the nearest valid name for an unknown name, family or option, or a value without a meaning.
    """
    require_known("map", name, map_names() + scenario_names())
    for option in options:
        require_known("option", option, option_names(name))
    rules = rules or Rules()
    chosen = {field.name: options.pop(field.name) for field in fields(Rules) if field.name in options}
    for key, value in chosen.items():
        kind = type(getattr(rules, key))
        if type(value) not in ((int, float) if kind is float else (kind,)):
            raise ValueError(f"{key} must be of type {kind.__name__}, got {value!r}: it is a choice of the simulator")
    build: type[SkirmishEnv] = on_scenario if name in SCENARIOS else on_map
    rules = replace(rules, **chosen)
    return build(name, num_envs=num_envs, observation=observation, seed=seed, rules=rules, **options)
