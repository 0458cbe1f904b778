"""The best of legal choices, without a preference among equals: the one rule of every greedy policy."""

from __future__ import annotations

import numpy as np

from training.errors import Diverged


def best_of(scores: np.ndarray, legal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Index of the best legal score along the last axis, drawn uniformly among equals.

    Taking the first of equals would make a policy that knows nothing play action 0, which some games reward.

    Args: scores: (..., A) float; legal: (..., A) bool, at least one True a row; rng: asked only if there are equals.
    Returns: (...) int64. Raises: Diverged if a legal score is not finite: no choice follows from it.
    """
    candidates = np.where(legal, scores, -np.inf)
    if not (np.isfinite(candidates) | ~legal).all():
        raise Diverged("a score of the policy is not finite")
    best = candidates.argmax(-1)
    equals = candidates == np.take_along_axis(candidates, best[..., None], -1)
    count = equals.sum(-1)
    tied = count > 1
    if tied.any():
        rank = np.floor(rng.random(tied.sum()) * count[tied])  # which of them
        best[tied] = (equals[tied].cumsum(1) > rank[:, None]).argmax(1)
    return best
