"""From drawn replay positions to a `Batch`: value targets by the target network, policy targets stored or fresh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mazero.config import MAZeroConfig
from mazero.inference import Model
from mazero.losses import Batch
from mazero.replay import SEARCH_FIELDS, Replay
from mazero.search import SearchResult, Workspace, search
from mazero.targets import policy_weights, standardised_advantages, td_horizon, value_targets
from training.errors import Diverged


def search_fields(result: SearchResult) -> dict[str, np.ndarray]:
    """A search as the replay stores it: one row a root, SEARCH_FIELDS as keys."""
    return {
        "search_value": result.value.astype(np.float32),
        "predicted_value": result.predicted_value.astype(np.float32),
        "num_children": result.num_children,
        "joint_actions": result.joint_actions,
        "visit_counts": result.visit_counts,
        "q": result.q.astype(np.float32),
        "prior": result.prior.astype(np.float32),
    }


def search_observations(
    model: Model,
    obs: np.ndarray,
    available: np.ndarray,
    config: MAZeroConfig,
    *,
    seeds: np.ndarray,
    noise: bool,
    num_simulations: int | None = None,
    workspace: Workspace | None = None,
) -> SearchResult:
    """Encode real observations and search from them.

    Args:
      obs: (B, n, S * O) float32.    available: (B, n, A) bool.    seeds: (B,) uint64.
      num_simulations: N, if other than the config's.
    Raises: Diverged if the network's policy is not finite.
    """
    settings = config.search
    if num_simulations is not None:
        settings = replace(settings, num_simulations=num_simulations)
    roots = model.roots(obs, available)
    if not torch.isfinite(roots.policy_logits).all():
        raise Diverged("a logit of the policy is not finite")
    return search(
        model.recurrent,
        roots,
        settings,
        seeds,
        noise=noise,
        workspace=workspace,
        threads=torch.get_num_threads(),
    )


def make_batch(
    replay: Replay,
    positions: np.ndarray,
    importance: np.ndarray,
    *,
    target: Model,
    config: MAZeroConfig,
    updates: int,
    planned_updates: int,
    rng: np.random.Generator,
    device: str | torch.device = "cpu",
    workspace: Workspace | None = None,
) -> Batch:
    """Targets for the drawn positions.

    Args:
      positions: (B,) int64.    importance: (B,) float32 replay weights.
      target: model that bootstraps and searches.    updates, planned_updates: done so far, and in all.
      rng: draws actions beyond episode ends, which samples are reanalysed, and the seeds of their searches.
      device: where the batch is to lie.    workspace: memory of the searches, to use again.
    """
    steps = config.targets.unroll_steps
    index = positions[:, None] + np.arange(steps + 1)  # (B, U + 1)
    end = replay.episode_end[positions][:, None]
    real = index < end
    inside = np.minimum(index, end - 1)

    action = replay.action[inside[:, :-1]]  # (B, U, n)
    n_actions = replay.available.shape[-1]
    action = np.where(real[:, :-1, None], action, rng.integers(0, n_actions, action.shape))
    reward = np.where(real[:, :-1], replay.reward[inside[:, :-1]], 0.0)
    obs = replay.stacked_obs(inside, config.network.stacked_observations)

    if config.targets.reanalyze_ratio > 0:
        stored = _reanalysed(replay, inside, real, obs, target=target, config=config, rng=rng, workspace=workspace)
    else:
        stored = {name: getattr(replay, name)[inside] for name in SEARCH_FIELDS}
    value = _value_targets(
        replay, positions, target=target, config=config, updates=updates, planned_updates=planned_updates
    )
    children = np.arange(stored["visit_counts"].shape[-1])
    mask = (children < stored["num_children"][..., None]) & real[..., None]  # (B, U + 1, K)
    if config.loss.policy_weight == "visits":
        share = stored["visit_counts"] / np.maximum(1, stored["visit_counts"].sum(axis=-1, keepdims=True))
    else:
        share = stored["prior"]
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
    target: Model,
    config: MAZeroConfig,
    updates: int,
    planned_updates: int,
) -> np.ndarray:
    """(B, U + 1) n-step returns, bootstrapped at the real observation m steps ahead; 0 beyond the end."""
    settings = config.targets
    horizon = td_horizon(
        updates - replay.created[positions],
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
            values = _predict_values(target, replay.stacked_obs(unique, config.network.stacked_observations))
        else:
            values = replay.search_value[unique]
        bootstrap[needed] = values[inverse]
    return value_targets(reward, bootstrap, horizon=horizon, discount=config.search.discount)


def _predict_values(model: Model, obs: np.ndarray) -> np.ndarray:
    return model.roots(obs).value.cpu().numpy()


def _reanalysed(
    replay: Replay,
    inside: np.ndarray,
    real: np.ndarray,
    obs: np.ndarray,
    *,
    target: Model,
    config: MAZeroConfig,
    rng: np.random.Generator,
    workspace: Workspace | None,
) -> dict[str, np.ndarray]:
    """Stored searches at `inside` (B, U + 1), those of a share of the samples replaced by fresh ones.

    Positions that several samples share are searched once.
    """
    batch = inside.shape[0]
    count = round(config.targets.reanalyze_ratio * batch)
    chosen = np.zeros_like(real)
    chosen[rng.permutation(batch)[:count]] = True
    chosen &= real
    stored = {name: getattr(replay, name)[inside] for name in SEARCH_FIELDS}
    if not chosen.any():
        return stored
    unique, first, inverse = np.unique(inside[chosen], return_index=True, return_inverse=True)
    result = search_observations(
        target,
        obs[chosen][first],
        replay.available[unique],
        config,
        seeds=rng.integers(0, 2**64, len(unique), dtype=np.uint64),
        noise=True,
        workspace=workspace,
    )
    fresh: dict[str, Any] = search_fields(result)
    for name in SEARCH_FIELDS:
        stored[name][chosen] = fresh[name][inverse]
    if config.targets.write_back:
        replay.write_search(unique, fresh)
    return stored
