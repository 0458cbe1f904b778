"""Battles of the StarCraft Multi-Agent Challenge without StarCraft II.

`make(map_name)` builds battles side by side, `StarCraft2Env` wears SMAC's own interface.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skirmish.contract.options import SkirmishOptions
    from skirmish.data.maps import map_names
    from skirmish.faces.making import make
    from skirmish.faces.smac import StarCraft2Env
    from skirmish.faces.vector import SkirmishEnv
    from skirmish.physics.rules import Rules
    from skirmish.scenarios.draw import scenario_names

__all__ = ["Rules", "SkirmishEnv", "SkirmishOptions", "StarCraft2Env", "make", "map_names", "scenario_names"]

_HOMES = {
    "Rules": "skirmish.physics.rules",
    "SkirmishEnv": "skirmish.faces.vector",
    "SkirmishOptions": "skirmish.contract.options",
    "StarCraft2Env": "skirmish.faces.smac",
    "make": "skirmish.faces.making",
    "map_names": "skirmish.data.maps",
    "scenario_names": "skirmish.scenarios.draw",
}


def __getattr__(name: str) -> Any:
    """Import on first use: numba takes a moment to load, and much of the package does without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
