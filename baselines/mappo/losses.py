"""Returns, advantages and the two losses: pure functions. Sources: MAPPO (arXiv 2103.01955) and its public code."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ADVANTAGE_EPSILON = 1e-5  # added to the deviation, as in the reference


def gae_returns(
    reward: np.ndarray, value: np.ndarray, mask: np.ndarray, *, gamma: float, lam: float, bad: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimates and the returns that belong to them.

        delta_t = r_t + gamma mask_{t+1} V_{t+1} - V_t      G_t = delta_t + gamma lambda mask_{t+1} G_{t+1}

    Args:
      reward: (T, ...).    value: (T + 1, ...) in reward units; the last row bootstraps.
      mask: (T + 1, ...) 0 where the step before ended an episode, else 1.
      bad: (T + 1, ...) or None: 0 where that end was the step limit, else 1; then G_t is multiplied by bad_{t+1}.
    Returns: returns G_t + V_t and advantages G_t, (T, ...) in the wider of the dtypes.
    """
    if len(value) != len(reward) + 1 or len(mask) != len(value):
        raise ValueError(
            f"value and mask must be one step longer than reward ({len(reward)}), got {len(value)} and {len(mask)}: "
            "append those of the state after the last step"
        )
    advantage = np.zeros(np.broadcast_shapes(reward.shape, value[1:].shape), np.result_type(reward, value))
    running = np.zeros_like(advantage[0])
    for t in range(len(reward) - 1, -1, -1):
        delta = reward[t] + gamma * mask[t + 1] * value[t + 1] - value[t]
        running = delta + gamma * lam * mask[t + 1] * running
        if bad is not None:
            running = bad[t + 1] * running
        advantage[t] = running
    return advantage + value[:-1], advantage


def standardized(advantage: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Advantages with mean 0 and deviation 1 over the active entries. active: bool, same shape; at least one True."""
    chosen = advantage[active]
    return (advantage - chosen.mean()) / (chosen.std() + ADVANTAGE_EPSILON)


def policy_loss(
    log_probs: Tensor, action: Tensor, old_log_prob: Tensor, advantage: Tensor, active: Tensor, *, clip: float
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Clipped surrogate and entropy over the rows of living agents.

    Args:
      log_probs: (..., A) of all actions.    action: (...) int64.    old_log_prob, advantage: (...).
      active: (...) float, 0 for dead agents: their rows have no weight.    clip: c.
    Returns: loss, mean entropy, and for the log the share of clipped rows and an estimate of the divergence.
    """
    log_prob = log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.exp()
    total = active.sum()
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    with torch.no_grad():
        clipped = (((ratio - 1).abs() > clip) * active).sum() / total
        divergence = ((ratio - 1 - log_ratio) * active).sum() / total
    log = {"clip_fraction": clipped, "kl_estimate": divergence}
    return -(active * surrogate).sum() / total, (active * entropy).sum() / total, log


def huber(error: Tensor, delta: float) -> Tensor:
    """e^2 / 2 up to delta, delta (|e| - delta / 2) beyond."""
    size = error.abs()
    return torch.where(size <= delta, 0.5 * error * error, delta * (size - 0.5 * delta))


def value_loss(
    value: Tensor,
    old_value: Tensor,
    target: Tensor,
    *,
    clip: float | None,
    delta: float,
    known: Tensor | None = None,
) -> Tensor:
    """Mean Huber loss over all rows, those of dead agents included. Everything in normalised units.

    Args: clip: largest change of the value that counts, or None.    delta: see `huber`.    known: bool, rows that
      count; None for all of them.
    """
    loss = huber(target - value, delta)
    if clip is not None:
        moved = old_value + (value - old_value).clamp(-clip, clip)
        loss = torch.maximum(loss, huber(target - moved, delta))
    return loss.mean() if known is None else loss[known].mean()
