"""From drawn replay positions to a `Batch`: value targets by the target network, policy targets stored or fresh."""

from __future__ import annotations

import numpy as np
import torch

from mazero.config import MAZeroConfig
from mazero.losses import Batch
from mazero.replay import SEARCH_FIELDS, Replay
from mazero.searches import Searches
from mazero.targets import policy_weights, standardised_advantages, td_horizon, value_targets
from mazero.values import TargetValues


def make_batch(
    replay: Replay,
    positions: np.ndarray,
    importance: np.ndarray,
    *,
    values: TargetValues,
    searches: Searches,
    config: MAZeroConfig,
    planned_updates: int,
    rng: np.random.Generator,
    device: str | torch.device = "cpu",
) -> Batch:
    """Targets for the drawn positions.

    Args:
      positions: (B,) int64.    importance: (B,) float32 replay weights.
      values: of positions, predicted by the target network.    searches: of positions, with the target network.
      planned_updates: of the whole run.
      rng: draws actions beyond episode ends and which samples are reanalysed.
      device: where the batch is to lie.
    """
    steps = config.targets.unroll_steps
    index = positions[:, None] + np.arange(steps + 1)  # (B, U + 1)
    end = replay.episode_end[positions][:, None]
    real = index < end
    inside = np.minimum(index, end - 1)

    action = replay.action[inside[:, :-1]]  # (B, U, n)
    n_actions = replay.available.shape[-1]
    beyond = rng.integers(0, n_actions, action.shape) if config.targets.padding_action == "random" else 0
    action = np.where(real[:, :-1, None], action, beyond)
    reward = np.where(real[:, :-1], replay.reward[inside[:, :-1]], 0.0)
    obs = replay.stacked_obs(inside, config.network.stacked_observations)

    stored = {name: getattr(replay, name)[inside] for name in SEARCH_FIELDS}
    if config.targets.reanalyze_ratio > 0:
        _reanalyse(stored, replay, inside, real, searches=searches, config=config, rng=rng)
    value = _value_targets(
        replay, positions, values=values, searches=searches, config=config, planned_updates=planned_updates
    )
    children = np.arange(stored["visit_counts"].shape[-1])
    mask = (children < stored["num_children"][..., None]) & real[..., None]  # (B, U + 1, K)
    if config.loss.policy_weight == "visits":
        share = stored["visit_counts"] / np.maximum(1, stored["visit_counts"].sum(axis=-1, keepdims=True))
    else:
        share = stored["importance"]
    weight = policy_weights(
        np.where(mask, share, 0.0),
        standardised_advantages(stored["q"], stored["predicted_value"], mask),
        awpo=config.loss.awpo,
        alpha=config.loss.awpo_alpha,
        weight_cap=config.loss.weight_cap,
    )

    def tensor(array: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device=device, dtype=dtype)

    return Batch(
        obs=tensor(obs),
        action=tensor(action, torch.int64),
        reward=tensor(reward),
        value=tensor(value),
        joint_actions=tensor(stored["joint_actions"], torch.int64),
        policy_weight=tensor(weight),
        real=tensor(real),
        importance=tensor(importance),
    )


def _value_targets(
    replay: Replay,
    positions: np.ndarray,
    *,
    values: TargetValues,
    searches: Searches,
    config: MAZeroConfig,
    planned_updates: int,
) -> np.ndarray:
    """(B, U + 1) n-step returns, bootstrapped at the real observation m steps ahead; 0 beyond the end."""
    settings = config.targets
    horizon = td_horizon(
        replay.age(positions),
        td_steps=settings.td_steps,
        planned_updates=planned_updates,
        age_share=settings.td_age_share,
    )
    longest = int(horizon.max())
    index = positions[:, None] + np.arange(settings.unroll_steps + longest + 1)  # (B, U + M + 1)
    end = replay.episode_end[positions][:, None]
    real = index < end
    inside = np.minimum(index, end - 1)
    reward = np.where(real, replay.reward[inside], 0.0)[:, :-1]
    # Only the states that a return ends in are evaluated, each of them once.
    ends_at = np.arange(settings.unroll_steps + 1) + horizon[:, None]  # (B, U + 1)
    needed = np.zeros_like(real)
    np.put_along_axis(needed, ends_at, True, axis=1)
    needed &= real
    bootstrap = np.zeros(index.shape)
    if needed.any():
        unique, inverse = np.unique(inside[needed], return_inverse=True)
        if settings.value_bootstrap == "predicted":
            found = values.find(replay, unique)
        elif settings.value_bootstrap == "searched":
            found = searches.find(replay, unique)["search_value"]
        else:
            found = replay.search_value[unique]
        bootstrap[needed] = found[inverse]
    return value_targets(reward, bootstrap, horizon=horizon, discount=config.search.discount)


def _reanalyse(
    stored: dict[str, np.ndarray],
    replay: Replay,
    inside: np.ndarray,
    real: np.ndarray,
    *,
    searches: Searches,
    config: MAZeroConfig,
    rng: np.random.Generator,
) -> None:
    """Replaces the searches of a share of the samples in `stored`, rows of `inside` (B, U + 1), by fresh ones.

    Positions that several samples share are searched once.
    """
    batch = inside.shape[0]
    count = round(config.targets.reanalyze_ratio * batch)
    chosen = np.zeros_like(real)
    chosen[rng.permutation(batch)[:count]] = True
    chosen &= real
    if not chosen.any():
        return
    unique, inverse = np.unique(inside[chosen], return_inverse=True)
    fresh = searches.find(replay, unique)
    for name in SEARCH_FIELDS:
        stored[name][chosen] = fresh[name][inverse]
    if config.targets.write_back:
        replay.write_search(unique, fresh)
