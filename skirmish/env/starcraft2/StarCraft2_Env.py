"""The MAPPO authors' module name for their environment, `skirmish.faces.mappo`."""

from skirmish.faces.mappo import StarCraft2Env

__all__ = ["StarCraft2Env"]
