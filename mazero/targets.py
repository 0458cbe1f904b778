"""Targets of a batch as pure functions over arrays: n-step returns, TD horizon, advantages and policy weights."""

from __future__ import annotations

import numpy as np


def td_horizon(age: np.ndarray, *, td_steps: int, planned_updates: int, age_share: float) -> np.ndarray:
    """Steps of the value target's return: m = clip(td_steps - age // (age_share * planned_updates), 1, td_steps).

    Args:
      age: (B,) int, environment steps collected since the transition, itself included.
    Returns: (B,) int64.
    Source: the release, which counts ages in transitions and the period in updates.
    """
    period = max(1.0, age_share * planned_updates)
    return np.clip(td_steps - (age // period).astype(np.int64), 1, td_steps)


def value_targets(reward: np.ndarray, value: np.ndarray, *, horizon: np.ndarray, discount: float) -> np.ndarray:
    """n-step returns  z_k = sum_{i<m} gamma^i r_{k+i} + gamma^m v_{k+m},  k = 0..U.

    Args:
      reward: (B, U + M) float, reward of the step taken at k; 0 after the end of the episode.
      value: (B, U + M + 1) float, bootstrap value of the state at k; 0 after the end.
      horizon: (B,) int, m of each sample, 1 <= m <= M.
      discount: gamma in (0, 1].
    Returns: (B, U + 1) float64 in reward units.
    Raises: ValueError if `value` is not one step longer than `reward`.
    Source: MuZero (arXiv 1911.08265), section 3, n-step bootstrapped return.
    """
    batch, length = reward.shape
    if value.shape != (batch, length + 1):
        raise ValueError(f"value must have shape {(batch, length + 1)}, got {value.shape}: one step longer than reward")
    longest = int(horizon.max())
    steps = length - longest + 1  # U + 1 if the longest horizon is M
    k = np.arange(steps)
    total = np.zeros((batch, steps))
    for i in range(longest):
        total += np.where(i < horizon[:, None], discount**i * reward[:, i : i + steps], 0.0)
    last = k + horizon[:, None]  # (B, U + 1)
    return total + discount ** horizon[:, None] * np.take_along_axis(value, last, axis=1)


def standardised_advantages(q: np.ndarray, predicted_value: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A(c) = q(c) - v_pred, shifted and scaled to mean 0 and deviation 1 over all valid children of the batch.

    Args:
      q: (..., K) float.    predicted_value: (...,) float.    mask: (..., K) bool, True = a child that counts.
    Returns: (..., K) float64, 0 where masked out. The deviation has 1e-5 added, as in the release.
    """
    advantage = np.where(mask, q - predicted_value[..., None], 0.0)
    count = max(1, int(mask.sum()))
    mean = advantage.sum() / count
    deviation = np.sqrt((np.where(mask, advantage - mean, 0.0) ** 2).sum() / count)
    return np.where(mask, (advantage - mean) / (deviation + 1e-5), 0.0)


def policy_weights(
    share: np.ndarray, advantage: np.ndarray, *, awpo: bool, alpha: float, weight_cap: float
) -> np.ndarray:
    """Weight of each searched joint action in the policy loss: w(c) min(exp(A(c) / alpha), cap), or w(c) without AWPO.

    Args:
      share: (..., K) float, w(c); 0 for children that do not count.    advantage: (..., K), standardised.
    Returns: (..., K) float32.
    Source: paper equation 10; the cap is the release's (mazero.md section 3).
    """
    if not awpo:
        return share.astype(np.float32)
    return (share * np.exp(np.minimum(advantage / alpha, np.log(weight_cap)))).astype(np.float32)
