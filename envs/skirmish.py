"""The embedded simulator as an environment of this suite: the package's classes behind `VectorEnv`."""

from __future__ import annotations

from typing import Any

from envs.interface import VectorEnv
from skirmish.faces.making import make, option_names
from skirmish.faces.vector import SkirmishEnv
from skirmish.scenarios.env import GeneratedEnv

__all__ = ["DrawnBattles", "MapBattles", "build", "option_names"]

STOP = 1  # action id; the dead have only 0, no-op


class MapBattles(SkirmishEnv, VectorEnv):
    """Battles on one of SMAC's maps."""

    idle_action = STOP


class DrawnBattles(GeneratedEnv, VectorEnv):
    """Battles with drawn teams and places."""

    idle_action = STOP


def build(name: str, *, num_envs: int, observation: str, seed: int, options: dict[str, Any]) -> VectorEnv:
    """Arguments and errors as of `skirmish.make`."""
    classes: dict[str, Any] = {"on_map": MapBattles, "on_scenario": DrawnBattles}
    env = make(name, num_envs=num_envs, observation=observation, seed=seed, **classes, **options)
    assert isinstance(env, VectorEnv)
    return env
