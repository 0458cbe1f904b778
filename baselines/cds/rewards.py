"""What an agent gets for being different: pure functions (arXiv 2106.02195, in the form its code computes).

    r_i = beta1 log q(o' | tau, a, i) - log p(o' | tau, a) + beta2 KL(softmax(beta1 Q_i) || mean_j softmax(Q_j))

with log-densities of unit Gaussians around what the predictors say, without the constant and the factor 1/2, and
softmaxes over all actions, the illegal ones included. Only with beta1 = 1 do identical agents get nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ANNEALED_PER = 1_000_000  # environment steps in which the reward falls by `rate`


def log_density(prediction: Tensor, observation: Tensor) -> Tensor:
    """Minus the squared distance. prediction, observation: (..., O). Returns: (...)."""
    return -(prediction - observation).square().sum(-1)


def policy_divergence(q: Tensor, beta1: float) -> Tensor:
    """KL of each agent's policy at temperature 1 / beta1 from the mean of all agents' at temperature 1.

    Logarithms are taken before anything can vanish, so that the result is finite for any Q values.

    Args: q: (..., n, A).
    Returns: (..., n), not negative.
    """
    own = torch.log_softmax(beta1 * q, -1)
    mean = torch.logsumexp(torch.log_softmax(q, -1), -2, keepdim=True) - math.log(q.shape[-2])
    return (own.exp() * (own - mean)).sum(-1)


def annealed(env_steps: int, *, rate: float, after: int) -> float:
    """Share of the intrinsic reward that is left: 1 up to `after`, from there on less by `rate` per million steps."""
    return min(1.0, max(0.0, 1.0 - rate * (env_steps - after) / ANNEALED_PER))
