"""The embedded SMAC battle simulator; `envs.make(map_name)` builds one."""

from envs.skirmish.env import SkirmishEnv, SkirmishOptions
from envs.skirmish.rules import Rules

__all__ = ["Rules", "SkirmishEnv", "SkirmishOptions"]
