"""SMAC's module name for the environments; see `skirmish.env`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skirmish.lazy import lazy_names

if TYPE_CHECKING:
    from skirmish.faces.smac import StarCraft2Env
    from skirmish.faces.smacv2 import StarCraftCapabilityEnvWrapper

__all__ = ["StarCraft2Env", "StarCraftCapabilityEnvWrapper"]

__getattr__ = lazy_names(
    __name__,
    {
        "StarCraft2Env": "skirmish.faces.smac",
        "StarCraftCapabilityEnvWrapper": "skirmish.faces.smacv2",
    },
)
