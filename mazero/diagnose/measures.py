"""Measures of a diagnosis as pure functions over arrays, and their intervals: a seeded bootstrap over episodes.

Axes: E episodes, M steps of all episodes (episode after episode), n agents, A actions, K sampled joint actions. Steps
of one episode depend on each other, episodes do not: a measure is a function of sums over steps, made one row an
episode, and its interval comes from episodes drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]  # sums (..., m) -> (...); NaN where it is not defined

REPETITIONS = 2_000
TAILS = (2.5, 97.5)  # percentiles
SEED = 2024  # of the resampling: the same episodes have the same intervals
VARIES = 1e-12  # a variance up to here is rounding: nothing varies, and shares of the variance are not defined


class Estimate(NamedTuple):
    """A measure over all episodes, its 95 % interval, and over how many steps (or episodes) it was taken."""

    value: float
    low: float
    high: float
    steps: int


def sums_by_episode(columns: np.ndarray, episode: np.ndarray, num_episodes: int) -> np.ndarray:
    """Sums of columns (M, m) over the steps of each episode (M,). Returns: (E, m) float64; 0 for one without steps."""
    out = np.zeros((num_episodes, columns.shape[1]))
    np.add.at(out, episode, columns)
    return out


def estimate(sums: np.ndarray, statistic: Statistic) -> Estimate | None:
    """`statistic` of the sums of all episodes with its bootstrap percentile interval; None if it is not defined.

    Args:
      sums: (E, m) float64, a row an episode; the first column counts.
      statistic: of the sums over episodes.
    The interval has width 0 for a single episode. Draws in which the statistic is not defined are left out.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0)))
        if not np.isfinite(value):
            return None
        episodes = len(sums)
        counts = np.random.default_rng(SEED).multinomial(episodes, np.full(episodes, 1 / episodes), REPETITIONS)
        drawn = statistic(counts @ sums)  # (REPETITIONS,)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, TAILS) if drawn.size else (value, value)
    return Estimate(value, float(low), float(high), int(sums[:, 0].sum()))


def mean_columns(x: np.ndarray) -> np.ndarray:
    """Columns for `mean` of x (M,): (M, 2)."""
    return np.stack([np.ones(len(x)), x], axis=1)


def mean(sums: np.ndarray) -> np.ndarray:
    """Mean of x."""
    return sums[..., 1] / sums[..., 0]


def pair_columns(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Columns for the statistics below, of predictions p (M,) of what really came r (M,): 1, p, r, pp, rr, pr.

    Both are shifted by the mean of r, which changes none of the statistics and keeps digits.
    """
    centre = r.mean() if r.size else 0.0
    p, r = p.astype(np.float64) - centre, r.astype(np.float64) - centre
    return np.stack([np.ones(len(p)), p, r, p * p, r * r, p * r], axis=1)


def bias(sums: np.ndarray) -> np.ndarray:
    """Mean of p - r."""
    return (sums[..., 1] - sums[..., 2]) / sums[..., 0]


def rmse(sums: np.ndarray) -> np.ndarray:
    """Root of the mean squared p - r."""
    return np.sqrt(_squared_error(sums))


def residual(sums: np.ndarray) -> np.ndarray:
    """Standard deviation of p - r: what is left of the error without its bias."""
    return np.sqrt(np.maximum(_squared_error(sums) - bias(sums) ** 2, 0.0))


def explained(sums: np.ndarray) -> np.ndarray:
    """1 - mean squared (p - r) / variance of r: 1 is perfect, 0 as good as the mean of r, below 0 worse than it."""
    return 1.0 - _squared_error(sums) / _variance(sums, 2, 4)


def correlation(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation of p and r."""
    n = sums[..., 0]
    covariance = sums[..., 5] / n - sums[..., 1] / n * sums[..., 2] / n
    return covariance / np.sqrt(_variance(sums, 1, 3) * _variance(sums, 2, 4))


def spread(sums: np.ndarray) -> np.ndarray:
    """Standard deviation of r (population)."""
    n = sums[..., 0]
    return np.sqrt(np.maximum(sums[..., 4] / n - (sums[..., 2] / n) ** 2, 0.0))


def _squared_error(sums: np.ndarray) -> np.ndarray:
    return np.maximum(sums[..., 3] - 2 * sums[..., 5] + sums[..., 4], 0.0) / sums[..., 0]


def _variance(sums: np.ndarray, first: int, second: int) -> np.ndarray:
    """Of the column `first` with its square in `second`; NaN where it does not vary."""
    n = sums[..., 0]
    variance = sums[..., second] / n - (sums[..., first] / n) ** 2
    return np.where(variance > VARIES, variance, np.nan)


def signal_columns(signal: np.ndarray, p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Columns for `signal_to_noise`: those of the pair, and the signal (M,)."""
    return np.concatenate([pair_columns(p, r), signal[:, None]], axis=1)


def signal_to_noise(sums: np.ndarray) -> np.ndarray:
    """Mean signal / residual of p against r; not defined without a residual."""
    noise = residual(sums)
    return sums[..., 6] / sums[..., 0] / np.where(noise**2 > VARIES, noise, np.nan)


def legal_policy(logits: np.ndarray, available: np.ndarray) -> np.ndarray:
    """Softmax over the available actions. logits, available: (..., n, A). Returns: (..., n, A) float64, 0 elsewhere."""
    masked = np.where(available, logits.astype(np.float64), -np.inf)
    p = np.exp(masked - masked.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """- sum_a p ln p in nats, 0 ln 0 = 0. p: (..., A). Returns: (...)."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) = sum p ln(p / q) in nats over the entries with p > 0. Returns: (...)."""
    inside = p > 0
    q = np.maximum(q, np.finfo(np.float64).tiny)  # a softmax may underflow
    return (p * (np.log(np.where(inside, p, 1.0)) - np.log(np.where(inside, q, 1.0)))).sum(axis=-1)


def choosing(available: np.ndarray) -> np.ndarray:
    """Which agents have a choice: more than one available action. available: (..., n, A). Returns: (..., n) bool."""
    return available.sum(axis=-1) > 1


def mean_where(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean of x (..., n) over the agents of mask (..., n). Returns: (...); NaN where there is none."""
    count = mask.sum(axis=-1)
    return np.where(count > 0, (x * mask).sum(axis=-1) / np.maximum(count, 1), np.nan)


def same_children(joint_actions: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which children take a joint action. joint_actions: (M, K, n); mask: (M, K); wanted: (M, n). Returns: (M, K)."""
    return (joint_actions == wanted[:, None]).all(axis=-1) & mask


def clean_draws(available: np.ndarray, *, noise_fraction: float) -> np.ndarray:
    """Chance that noise touches no agent of a joint draw: (1 - f) ** (agents with a choice). Returns: (...)."""
    return (1.0 - noise_fraction) ** choosing(available).sum(axis=-1)


def shares(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """counts (M, K) of the children of mask (M, K) as shares of their sum."""
    counts = np.where(mask, counts, 0.0)
    return counts / counts.sum(axis=-1, keepdims=True)


def apart(x: np.ndarray) -> np.ndarray:
    """x (M, K) minus its mean over the K: what tells them apart."""
    return x - x.mean(axis=1, keepdims=True)


def child_spread(q: np.ndarray, visited: np.ndarray) -> np.ndarray:
    """Population deviation of q among visited children, which is that of their advantages.

    q, visited: (M, K). Returns: (M,); NaN where fewer than two were visited.
    """
    count = visited.sum(axis=-1)
    many = np.maximum(count, 1)
    centre = np.where(visited, q, 0.0).sum(axis=-1) / many
    variance = (np.where(visited, q - centre[:, None], 0.0) ** 2).sum(axis=-1) / many
    return np.where(count > 1, np.sqrt(variance), np.nan)


def fulfilment_columns(q: np.ndarray, share: np.ndarray, taken: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Columns for `fulfilment`: 1, w x y, w x x with x as `relative_advantage` and y what came of the child taken.

    As x is 0 in the mean at every root, x y / x x estimates how much of x comes true at any weight w that depends on
    the root alone. w = 1 / (s + median of s), s the variance of x at the root: a few roots with q far apart, close to
    the end of a battle, would otherwise decide alone.

    Args: q, share, taken: as for `relative_advantage`.    came: (M,) return minus anything that the root decides.
    Returns: (M, 3).
    """
    x = relative_advantage(q, share, taken)
    centred = q - (share * q).sum(axis=-1, keepdims=True)
    variance = (share * centred**2).sum(axis=-1)
    scale = variance + np.median(variance)
    weight = np.where(scale > VARIES, 1.0 / np.maximum(scale, VARIES), 0.0)
    return np.stack([np.ones(len(x)), weight * x * came, weight * x * x], axis=1)


def fulfilment(sums: np.ndarray) -> np.ndarray:
    """Share of the differences among children that comes true: 1 all of it, 0 nothing; not defined without any."""
    return sums[..., 1] / np.where(sums[..., 2] > 0, sums[..., 2], np.nan)


def relative_advantage(q: np.ndarray, share: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """q of the child that was taken minus the mean of q under the shares by which it was drawn.

    Whatever is common to all children of a root drops out, so that over draws this is uncorrelated with any error of
    the root's value: what it explains of the outcome, it explains by telling children apart.

    Args: q, share: (M, K), shares sum to 1.    taken: (M,) int.    Returns: (M,).
    """
    return np.take_along_axis(q, taken[:, None], axis=1)[:, 0] - (share * q).sum(axis=-1)


def returns_to_go(reward: np.ndarray, *, discount: float) -> np.ndarray:
    """G_t = sum_i gamma^i r_{t+i}. reward: (E, T), 0 after the end. Returns: (E, T) float64."""
    out = np.zeros(reward.shape)
    following = np.zeros(len(reward))
    for t in range(reward.shape[1] - 1, -1, -1):
        following = out[:, t] = reward[:, t] + discount * following
    return out
