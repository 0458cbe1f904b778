"""Films of trained policies, for the `watch` commands of all programs."""

from __future__ import annotations

from typing import Any

from envs.interface import VectorEnv
from skirmish.data.maps import load_map
from skirmish.faces.vector import SkirmishEnv
from skirmish.pictures.watch import Shooting, record
from training.errors import UserError
from training.evaluation import Policy


def check_films(run: dict[str, Any], how: Shooting) -> None:
    """Check before anything is loaded that a run can be filmed.

    Args: run: its config.json; how: the flags of `skirmish.pictures.watch`.
    Raises: UserError if its backend has no pictures, or for bad flags.
    """
    if run["backend"] != "skirmish":
        raise UserError(f"only runs of the backend skirmish can be filmed, got one of {run['backend']}")
    try:
        how.check(load_map(run["map"]))
    except ValueError as error:
        raise UserError(str(error)) from error


def film_policy(policy: Policy, env: VectorEnv, how: Shooting, *, who: str) -> str:
    """Film greedy episodes; the first one is that of slot 0 of `training.evaluation.evaluate` with the same seed.

    Args: policy: acts greedily; env: one slot of the embedded simulator; who: name in the pictures.
    Returns: a line per film for people. Raises: UserError for a perturbed environment.
    """
    if not isinstance(env, SkirmishEnv):
        raise UserError(
            "only battles of the bare simulator can be filmed, got a perturbed environment: "
            "switch its perturbations off, e.g. --env obs_noise=0"
        )
    return record(env, lambda: policy.act(env), how, who=who, begin=lambda: policy.start(1))
