"""Battles of the StarCraft Multi-Agent Challenge without StarCraft II.

`make(map_name)` builds battles side by side, `StarCraft2Env` wears SMAC's own interface. The package `skirmish.env` has
the module names of SMAC, SMACv2 and the MAPPO authors' fork, for code that was written for one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skirmish.lazy import lazy_names

if TYPE_CHECKING:
    from skirmish.contract.options import SkirmishOptions
    from skirmish.data.maps import map_names
    from skirmish.faces.making import make
    from skirmish.faces.multi_agent import MultiAgentEnv
    from skirmish.faces.registry import get_map_params, get_smac_map_registry, map_param_registry
    from skirmish.faces.smac import StarCraft2Env
    from skirmish.faces.smacv2 import StarCraftCapabilityEnvWrapper
    from skirmish.faces.vector import SkirmishEnv
    from skirmish.physics.rules import Rules
    from skirmish.scenarios.draw import scenario_names

__all__ = [
    "MultiAgentEnv",
    "Rules",
    "SkirmishEnv",
    "SkirmishOptions",
    "StarCraft2Env",
    "StarCraftCapabilityEnvWrapper",
    "get_map_params",
    "get_smac_map_registry",
    "make",
    "map_names",
    "map_param_registry",
    "scenario_names",
]

__getattr__ = lazy_names(
    __name__,
    {
        "MultiAgentEnv": "skirmish.faces.multi_agent",
        "Rules": "skirmish.physics.rules",
        "SkirmishEnv": "skirmish.faces.vector",
        "SkirmishOptions": "skirmish.contract.options",
        "StarCraft2Env": "skirmish.faces.smac",
        "StarCraftCapabilityEnvWrapper": "skirmish.faces.smacv2",
        "get_map_params": "skirmish.faces.registry",
        "get_smac_map_registry": "skirmish.faces.registry",
        "make": "skirmish.faces.making",
        "map_names": "skirmish.data.maps",
        "map_param_registry": "skirmish.faces.registry",
        "scenario_names": "skirmish.scenarios.draw",
    },
)
