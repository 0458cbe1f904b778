"""Films of trained policies, for the `watch` commands of all programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from envs.interface import VectorEnv
from skirmish.data.maps import load_map
from skirmish.faces.vector import SkirmishEnv
from skirmish.pictures.watch import Shooting, record
from training.errors import UserError
from training.evaluation import Policy, evaluate

OUTCOMES = ("won", "lost")  # lost: whatever is not won, a draw or the end of time too
TRIES = 64


def add_outcome_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `watch` that look for a battle by how it ends."""
    parser.add_argument(
        "--outcome",
        choices=OUTCOMES,
        help="film the first battle, from --seed on, that ends so; each seed is an episode of its own",
    )
    parser.add_argument("--tries", type=int, default=TRIES, help="seeds that --outcome looks at (default %(default)s)")


def first_that_is(outcome: str, env: VectorEnv, make_policy: Callable[[int], Policy], *, seed: int, tries: int) -> int:
    """The first seed of `seed`, `seed` + 1, ... whose episode, played greedily in slot 0, is `won` or `lost`.

    Args: env: of one slot.    make_policy: of an episode seed, as the film will be made with.    tries: seeds.
    Raises: UserError if no episode of `tries` ends so, or if tries is no positive number.
    """
    if tries < 1:
        raise UserError(f"tries must be at least 1, got {tries}: it is how many episodes are looked at")
    for candidate in range(seed, seed + tries):
        if bool(evaluate(make_policy(candidate), env, seed=candidate)["win_rate"]) == (outcome == "won"):
            return candidate
    raise UserError(f"none of {tries} battles from seed {seed} on is {outcome}: give more --tries or another --seed")


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
