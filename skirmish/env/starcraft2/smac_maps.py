"""The MAPPO authors' module name for the registry of maps, `skirmish.faces.registry`."""

from skirmish.faces.registry import get_map_params, get_smac_map_registry, map_param_registry

__all__ = ["get_map_params", "get_smac_map_registry", "map_param_registry"]
