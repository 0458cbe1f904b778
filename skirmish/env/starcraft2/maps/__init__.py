"""SMAC's module name for the registry of maps, `skirmish.faces.registry`."""

from skirmish.faces.registry import get_map_params

__all__ = ["get_map_params"]
