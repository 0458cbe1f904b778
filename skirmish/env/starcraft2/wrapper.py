"""SMACv2's module name for `skirmish.faces.smacv2`."""

from skirmish.faces.smacv2 import StarCraftCapabilityEnvWrapper

__all__ = ["StarCraftCapabilityEnvWrapper"]
