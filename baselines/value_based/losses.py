"""Targets and loss of the episode TD learner: pure functions.

    y_t = r_t + gamma (1 - terminated_t) mix(Q^-(o_{t+1}, a*), s_{t+1}),   a* = argmax over legal a of Q(o_{t+1}, a)
    loss = mean of (Q_tot,t - y_t)^2 over all steps of all episodes in the batch, for IQL over all agents too

with Q^- the target network (QMIX, arXiv 1803.11485, equation 6; double Q as in PyMARL). Rows are steps that happened:
batches hold no padding, so nothing needs a mask.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bootstrap_actions(q_live: Tensor, q_target: Tensor, avail: Tensor, *, double_q: bool) -> Tensor:
    """Each agent's action of the target: its best legal one.

    Args:
      q_live, q_target: (..., n, A) Q values of the live and the target network at the next observations.
      avail: (..., n, A) bool, True = legal there; at least one action of each agent is.
      double_q: choose with the live network (True) or with the target network itself (False).
    Returns: (..., n) int64.
    """
    chooser = q_live if double_q else q_target
    return chooser.masked_fill(~avail, -torch.inf).argmax(-1)  # -inf is safe: it enters an argmax only


def chosen_values(q: Tensor, actions: Tensor) -> Tensor:
    """Q values (..., n) of actions (..., n); q: (..., n, A)."""
    return q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def legal_maximum(q: Tensor, avail: Tensor) -> Tensor:
    """Largest Q value (..., n) among the legal actions, at least one of which each agent has. q, avail: (..., n, A)."""
    return q.masked_fill(~avail, -torch.inf).amax(-1)


def td_targets(reward: Tensor, terminated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """y = r + gamma (1 - terminated) next_value; reward, terminated (bool): (..., 1), next_value: (..., G)."""
    return reward + gamma * next_value.masked_fill(terminated, 0.0)


def td_loss(value: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over real steps and, if G = n, agents (no factor 1/2). value, target: (M, G)."""
    return ((value - target.detach()) ** 2).mean()
