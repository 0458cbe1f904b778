"""The one evaluation loop: E episodes side by side, the same for every method; who plays them decides how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from envs.interface import VectorEnv


class Policy(Protocol):
    """Chooses joint actions for every slot of a vectorised environment."""

    def start(self, num_envs: int) -> None:
        """New episodes begin in all `num_envs` slots: forget hidden states."""

    def act(self, env: VectorEnv) -> np.ndarray:
        """Joint actions (B, n) for the environment's current observations; those of finished slots are ignored."""


def evaluate(policy: Policy, env: VectorEnv, *, seed: int) -> dict[str, float]:
    """Play one episode in every slot of `env` and summarise; in battles not the first of a game, as in training.

    Where one is lost (discarded) all slots play on until every slot has an episode; the first whole one of each counts.

    Args:
      policy: acts greedily (MAMBA's draws); it sees observations and availability as in training.
      env: B slots, so B episodes; it must not be the training environment.
      seed: seed of these episodes.
    Returns: num_episodes, win_rate in [0, 1], return_mean and return_std (undiscounted team return, population
      deviation), length_mean (environment steps).
    """
    env.reset_later(seed)
    returns, lengths, won = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64), np.zeros(env.num_envs, np.bool_)
    missing = np.ones(env.num_envs, np.bool_)
    while missing.any():
        played = _play(policy, env)
        whole = missing & ~env.discarded
        returns[whole], lengths[whole], won[whole] = played[0][whole], played[1][whole], env.won[whole]
        missing &= ~whole
        if missing.any():
            env.reset_later()
    return {
        "num_episodes": env.num_envs,
        "win_rate": float(won.mean()),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "length_mean": float(lengths.mean()),
    }


def _play(policy: Policy, env: VectorEnv) -> tuple[np.ndarray, np.ndarray]:
    """Play every slot's episode, just begun, to its end. Returns: returns (B,) float64, lengths (B,) int64."""
    policy.start(env.num_envs)
    returns = np.zeros(env.num_envs)
    lengths = np.zeros(env.num_envs, dtype=np.int64)
    for _ in range(env.info.episode_limit):
        running = ~env.finished
        if not running.any():
            break
        env.step(policy.act(env))
        returns[running] += env.reward[running]
        lengths[running] += 1
    if not env.finished.all():
        raise RuntimeError(f"{env.info.name}: an episode outlived its limit of {env.info.episode_limit} steps")
    return returns, lengths


def pooled(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """Several results of `evaluate` of the same number of episodes as one of all their episodes.

    Whatever else the results hold is averaged.
    """
    together = {name: math.fsum(result[name] for result in results) / len(results) for name in results[0]}
    means = [result["return_mean"] - together["return_mean"] for result in results]
    variances = [result["return_std"] ** 2 + mean**2 for result, mean in zip(results, means, strict=True)]
    episodes = sum(int(result["num_episodes"]) for result in results)
    return together | {"num_episodes": episodes, "return_std": math.sqrt(math.fsum(variances) / len(results))}
