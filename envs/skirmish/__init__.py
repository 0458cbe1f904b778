"""The embedded SMAC battle simulator; `envs.make(map_name)` builds one, `StarCraft2Env` wears SMAC's own interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.skirmish.env import SkirmishEnv
    from envs.skirmish.options import SkirmishOptions
    from envs.skirmish.rules import Rules
    from envs.skirmish.single import StarCraft2Env

__all__ = ["Rules", "SkirmishEnv", "SkirmishOptions", "StarCraft2Env"]

_HOMES = {
    "Rules": "envs.skirmish.rules",
    "SkirmishEnv": "envs.skirmish.env",
    "SkirmishOptions": "envs.skirmish.options",
    "StarCraft2Env": "envs.skirmish.single",
}


def __getattr__(name: str) -> Any:
    """Import on first use: numba takes a moment to load, and much of the package does without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
