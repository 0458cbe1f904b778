"""SMAC's module names: in code written for SMAC or SMACv2, `smac.env` or `smacv2.env` becomes `skirmish.env`.

Everything here is defined in `skirmish.faces`. `StarCraft2Env` is SMAC 1.0's class; SMACv2's battles are built by
`StarCraftCapabilityEnvWrapper`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skirmish.lazy import lazy_names

if TYPE_CHECKING:
    from skirmish.faces.multi_agent import MultiAgentEnv
    from skirmish.faces.smac import StarCraft2Env
    from skirmish.faces.smacv2 import StarCraftCapabilityEnvWrapper

__all__ = ["MultiAgentEnv", "StarCraft2Env", "StarCraftCapabilityEnvWrapper"]

__getattr__ = lazy_names(
    __name__,
    {
        "MultiAgentEnv": "skirmish.faces.multi_agent",
        "StarCraft2Env": "skirmish.faces.smac",
        "StarCraftCapabilityEnvWrapper": "skirmish.faces.smacv2",
    },
)
