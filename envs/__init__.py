"""Environments behind one vectorised interface: `make` builds one, `available` lists the names of a backend."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from envs.interface import EnvInfo, VectorEnv, require_known
from envs.matrix import MATRIX_GAMES, MatrixEnv
from envs.perturbed import Perturbation, Perturbed

__all__ = ["BACKENDS", "EnvInfo", "VectorEnv", "available", "make", "option_names"]

BACKENDS = ("matrix", "skirmish")
PERTURBATIONS = tuple(field.name for field in fields(Perturbation))


def available(backend: str) -> tuple[str, ...]:
    """Names of a backend's maps or games; `envs.skirmish.scenarios` lists the drawn scenarios, which `make` takes too.

    Raises: ValueError for an unknown backend.
    """
    require_known("backend", backend, BACKENDS)
    if backend == "matrix":
        return tuple(MATRIX_GAMES)
    from envs.skirmish.maps import map_names  # imported late: numba takes a moment to load

    return map_names()


def option_names(name: str, *, backend: str | None = None) -> tuple[str, ...]:
    """Names of the options that `make` takes for environment `name`.

    Raises: ValueError with the nearest name for an unknown name or backend.
    """
    if _backend(name, backend) == "matrix":
        return ("reward_scale", *PERTURBATIONS)
    from envs.skirmish.options import SkirmishOptions
    from envs.skirmish.rules import Rules
    from envs.skirmish.scenario_env import ScenarioOptions
    from envs.skirmish.scenarios import SCENARIOS

    options = ScenarioOptions if name in SCENARIOS else SkirmishOptions
    return tuple(field.name for kind in (options, Rules) for field in fields(kind)) + PERTURBATIONS


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
      name: a map such as "3m", a scenario with drawn teams such as "terran_5_vs_5", or "matrix_1" .. "matrix_4".
      backend: None chooses "matrix" for matrix games and the embedded simulator "skirmish" for everything else.
      num_envs: B, episodes side by side.
      observation: family "smac" or "mazero".
      seed: seeds the first `reset()`.
      options: `option_names(name)`: options of the backend (SMAC's own names for maps), choices of `Rules` of the
        simulator, and perturbations (`envs/perturbed.py`); also `rules`, a whole `Rules` object.
    Raises: ValueError with the nearest valid name for an unknown name, backend, observation family or option.
    """
    backend = _backend(name, backend)
    require_known("observation family", observation, ("smac", "mazero"))
    known = option_names(name, backend=backend)
    for option in options:
        require_known("option", option, (*known, "rules") if backend == "skirmish" else known)
    perturbation = Perturbation(**{key: options.pop(key) for key in PERTURBATIONS if key in options})
    if backend == "matrix":
        env: VectorEnv = MatrixEnv(name, num_envs=num_envs, observation=observation, **options)
    else:
        env = _make_skirmish(name, num_envs=num_envs, observation=observation, seed=seed, options=options)
    return Perturbed(env, perturbation, seed=seed) if perturbation.active else env


def _backend(name: str, backend: str | None) -> str:
    """The backend of `name`. Raises: ValueError for a backend, or a name of it, that does not exist."""
    if backend is None:
        backend = "matrix" if name.startswith("matrix_") else "skirmish"
    names = available(backend)
    if backend == "skirmish":
        from envs.skirmish.scenarios import scenario_names

        names += scenario_names()
    require_known("environment" if backend == "matrix" else "map", name, names)
    return backend


def _make_skirmish(name: str, *, num_envs: int, observation: str, seed: int, options: dict[str, Any]) -> VectorEnv:
    """Choices of the simulator among the options go into its rules."""
    from envs.skirmish.env import SkirmishEnv
    from envs.skirmish.rules import Rules
    from envs.skirmish.scenario_env import GeneratedEnv
    from envs.skirmish.scenarios import SCENARIOS

    rules = options.pop("rules", None) or Rules()
    chosen = {field.name: options.pop(field.name) for field in fields(Rules) if field.name in options}
    for key, value in chosen.items():
        kind = type(getattr(rules, key))
        if type(value) not in ((int, float) if kind is float else (kind,)):
            raise ValueError(f"{key} must be of type {kind.__name__}, got {value!r}: it is a choice of the simulator")
    build: type[SkirmishEnv] = GeneratedEnv if name in SCENARIOS else SkirmishEnv
    rules = replace(rules, **chosen)
    return build(name, num_envs=num_envs, observation=observation, seed=seed, rules=rules, **options)
