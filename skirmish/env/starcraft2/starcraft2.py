"""SMAC's module name for `skirmish.faces.smac`."""

from skirmish.faces.smac import Direction, StarCraft2Env

__all__ = ["Direction", "StarCraft2Env"]
