"""Environments behind one vectorised interface: `make` builds one, `available` lists the names of a backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from envs.interface import EnvInfo, VectorEnv, require_known
from envs.lander import LANDERS, LanderEnv
from envs.matrix import MATRIX_GAMES, MatrixEnv
from envs.perturbed import Perturbation, Perturbed

__all__ = ["BACKENDS", "STARCRAFT", "EnvInfo", "VectorEnv", "available", "make", "option_names", "provenance"]

BACKENDS = ("gymnasium", "matrix", "skirmish", "smac", "smacv2")
STARCRAFT = ("smac", "smacv2")  # through the official packages
OWN: dict[str, Mapping[str, Any]] = {
    "gymnasium": LANDERS,
    "matrix": MATRIX_GAMES,
}  # backends that are no StarCraft -> their environments
PERTURBATIONS = tuple(field.name for field in fields(Perturbation))


def available(backend: str) -> tuple[str, ...]:
    """Names of a backend's maps or games; `skirmish.scenario_names()` lists drawn ones.

    Raises: ValueError for an unknown backend.
    """
    require_known("backend", backend, BACKENDS)
    if backend in OWN:
        return tuple(OWN[backend])
    if backend in STARCRAFT:
        from envs.smac import names_of

        return names_of(backend)
    from skirmish.data.maps import map_names  # imported late: numba takes a moment to load

    return map_names()


def option_names(name: str, *, backend: str | None = None) -> tuple[str, ...]:
    """Names of the options that `make` takes for environment `name`.

    Raises: ValueError with the nearest name for an unknown name or backend.
    """
    backend = _backend(name, backend)
    if backend in OWN:
        return ("reward_scale", *PERTURBATIONS)
    if backend in STARCRAFT:
        from envs import smac

        return smac.option_names(backend) + PERTURBATIONS
    from envs.skirmish import option_names as names_of

    return names_of(name) + PERTURBATIONS


def provenance(backend: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run's record says of a game outside of this repository; None for backends that have none.

    Args: options: as for `make`. Raises: ImportError saying what to install where something is missing.
    """
    if backend not in STARCRAFT:
        return None
    from envs import smac

    return smac.provenance(backend, dict(options))


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
      name: a map such as "3m", a scenario with drawn teams such as "terran_5_vs_5", "matrix_1" .. "matrix_4", or
        "lunar_lander".
      backend: None chooses "matrix" for matrix games, "gymnasium" for its lander and the embedded simulator "skirmish"
        for everything else. "smac" (maps) and "smacv2" (scenarios) are StarCraft II through the official packages.
      num_envs: B, episodes side by side.
      observation: family "smac" or "mazero".
      seed: seeds the first `reset()`.
      options: `option_names(name)`: options of the backend (SMAC's own names for maps), choices of `Rules` of the
        simulator, and perturbations (`envs/perturbed.py`); also `rules`, a whole `Rules` object.
    Raises: ValueError with the nearest valid name for an unknown name, backend, observation family or option;
      ImportError saying what to install where the packages of a backend are missing.
    """
    backend = _backend(name, backend)
    require_known("observation family", observation, ("smac", "mazero"))
    known = option_names(name, backend=backend)
    for option in options:
        require_known("option", option, (*known, "rules") if backend == "skirmish" else known)
    perturbation = Perturbation(**{key: options.pop(key) for key in PERTURBATIONS if key in options})
    if backend == "matrix":
        env: VectorEnv = MatrixEnv(name, num_envs=num_envs, observation=observation, **options)
    elif backend == "gymnasium":
        env = LanderEnv(name, num_envs=num_envs, observation=observation, seed=seed, **options)
    elif backend in STARCRAFT:
        from envs import smac

        env = smac.build(name, backend=backend, num_envs=num_envs, observation=observation, seed=seed, options=options)
    else:
        from envs.skirmish import build

        env = build(name, num_envs=num_envs, observation=observation, seed=seed, options=options)
    return Perturbed(env, perturbation, seed=seed) if perturbation.active else env


def _backend(name: str, backend: str | None) -> str:
    """The backend of `name`. Raises: ValueError for a backend, or a name of it, that does not exist."""
    if backend is None:
        backend = "matrix" if name.startswith("matrix_") else "gymnasium" if name in LANDERS else "skirmish"
    names = available(backend)
    if backend == "skirmish":
        from skirmish.scenarios.draw import scenario_names

        names += scenario_names()
    require_known("environment" if backend in OWN else "map", name, names)
    return backend
