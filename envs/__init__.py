"""Environments behind one vectorised interface: `make` builds one, `available` lists the names of a backend."""

from __future__ import annotations

from typing import Any

from envs.interface import EnvInfo, VectorEnv, require_known
from envs.matrix import MATRIX_GAMES, MatrixEnv

__all__ = ["BACKENDS", "EnvInfo", "VectorEnv", "available", "make"]

BACKENDS = ("matrix", "skirmish")


def available(backend: str) -> tuple[str, ...]:
    """Names that `make` accepts for a backend. Raises: ValueError for an unknown backend."""
    require_known("backend", backend, BACKENDS)
    if backend == "matrix":
        return tuple(MATRIX_GAMES)
    from envs.skirmish.maps import map_names  # imported late: numba takes a moment to load

    return map_names()


def make(
    name: str,
    *,
    backend: str | None = None,
    num_envs: int = 1,
    observation: str = "smac",
    seed: int = 0,
    **options: Any,
) -> VectorEnv:
    """Build an environment; call its `reset` before the first step.

    Args:
      name: a map such as "3m", or "matrix_1" .. "matrix_4".
      backend: None chooses "matrix" for matrix games and the embedded simulator "skirmish" for maps.
      num_envs: B, episodes side by side.
      observation: family "smac" or "mazero".
      seed: seeds the first `reset()`.
      options: options of the backend (SMAC's own option names for maps).
    Raises: ValueError with the nearest valid name for an unknown name, backend, observation family or option.
    """
    if backend is None:
        backend = "matrix" if name.startswith("matrix_") else "skirmish"
    require_known("environment" if backend == "matrix" else "map", name, available(backend))
    if backend == "matrix":
        require_known("observation family", observation, ("smac", "mazero"))
        for option in options:
            require_known("option", option, ("reward_scale",))
        return MatrixEnv(name, num_envs=num_envs, observation=observation, **options)
    from envs.skirmish.env import SkirmishEnv

    return SkirmishEnv(name, num_envs=num_envs, observation=observation, seed=seed, **options)
