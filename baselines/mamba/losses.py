"""The balanced divergence, lambda-returns, advantages, PPO's loss: pure functions. Source: MAMBA's public code."""

from __future__ import annotations

import torch
from torch import Tensor

LOG_FLOOR = 1e-7  # added inside logarithms of probabilities, as in the reference
ADVANTAGE_EPSILON = 1e-4  # added to the deviation, as in the reference


def balanced_divergence(posterior: Tensor, prior: Tensor, *, balance: float) -> Tensor:
    """balance KL(post || stop(prior)) + (1 - balance) KL(stop(post) || prior), as in DreamerV2 (arXiv 2010.02193).

    Args: posterior, prior: (..., K, C) probabilities.    balance: weight of the posterior's part.
    Returns: scalar, summed over classes, mean over variables and rows.
    """

    log_p, log_q = (posterior + LOG_FLOOR).log(), (prior + LOG_FLOOR).log()
    to_posterior = (posterior * (log_p - log_q.detach())).sum(-1).mean()
    to_prior = (posterior.detach() * (log_p.detach() - log_q)).sum(-1).mean()
    return balance * to_posterior + (1 - balance) * to_prior


def lambda_returns(reward: Tensor, value: Tensor, discount: Tensor, *, gamma: float, lam: float) -> Tensor:
    """R_k = r_k + gamma d_k ((1 - lambda) V_{k+1} + lambda R_{k+1}),  R of the last state is its value.

    Args:
      reward: (S, ...) of S transitions.    value: (S + 1, ...) of the states.
      discount: (S, ...) d_k, probability that transition k does not end the episode.
    Returns: (S, ...).    Raises: ValueError if value is not one longer than reward and discount.
    """
    if len(value) != len(reward) + 1 or len(discount) != len(reward):
        raise ValueError(
            f"value must be one longer than reward and discount, got {len(value)}, {len(reward)}, {len(discount)}: "
            "append that of the state after the last transition"
        )
    running, returns = value[-1], []
    for k in range(len(reward) - 1, -1, -1):
        running = reward[k] + gamma * discount[k] * ((1 - lam) * value[k + 1] + lam * running)
        returns.append(running)
    return torch.stack(returns[::-1])


def standardized(advantage: Tensor) -> Tensor:
    """Mean 0 and (unbiased) deviation 1 over all entries; zeros where there is only one."""
    if advantage.numel() < 2:
        return torch.zeros_like(advantage)
    return (advantage - advantage.mean()) / (advantage.std() + ADVANTAGE_EPSILON)


def policy_loss(
    log_probs: Tensor, action: Tensor, old_log_prob: Tensor, advantage: Tensor, *, clip: float, entropy_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """-mean of min(rho A, clip(rho, 1 +- c) A) minus the entropy bonus.

    Args: log_probs: (R, A) of all actions.    action: (R,) int64.    old_log_prob, advantage: (R,).
    Returns: loss; entropy, share of clipped rows and mean ratio for the log.
    """
    ratio = (log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1) - old_log_prob).exp()
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    clipped = ((ratio.detach() - 1).abs() > clip).float().mean()
    log = {"entropy": entropy.detach(), "clip_fraction": clipped, "ratio_mean": ratio.detach().mean()}
    return -surrogate.mean() - entropy_weight * entropy, log
