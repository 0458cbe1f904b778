"""SMAC's module name for `skirmish.faces.starcraft2_pz`."""

from skirmish.faces.starcraft2_pz import env, make_env, parallel_env, raw_env, smac_parallel_env

__all__ = ["env", "make_env", "parallel_env", "raw_env", "smac_parallel_env"]
