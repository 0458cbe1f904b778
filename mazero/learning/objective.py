"""The parts of the loss with their gradients: kernels over positions (step k, sample b), k = 0..U.

Logits come step by step, as the unrolled states do, and become the gradient of the loss; everything of the batch comes
sample by sample. `share` (B,) is what one unit of a sample's part adds to the loss; `part` (B,) is added to.
"""

from __future__ import annotations

import math

import numpy as np

from mazero.inference.attention import exp
from mazero.learning.jit import njit
from mazero.transforms import EPSILON

SQUASH = np.float32(EPSILON)
SHORTEST = 1e-8  # norm below which a vector has no direction, that of torch's cosine similarity
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@njit(cache=True, nogil=True)
def scalar_loss(logits, target, bound, share, weight, part, root):
    """Cross-entropy with two-hot targets; see `mazero.transforms.two_hot`.

    Args:
      logits: (S, B, 2 bound + 1).    target: (B, S) in reward units.    weight: of this part in the loss.
      root: (B,), filled with the mean atom of the first step, not yet in reward units.
    Returns: how many targets lie beyond the support.
    """
    steps, batch, atoms = logits.shape
    power = np.empty(atoms, np.float32)
    limit = np.float32(bound)
    beyond = 0
    for k in range(steps):
        for b in range(batch):
            row = logits[k, b]
            total, log_total = _softmax(row, power)
            if k == 0:
                mean = 0.0
                for c in range(atoms):
                    mean += power[c] * np.float32(c - bound)
                root[b] = mean / total
            x = target[b, k]
            size = abs(x)
            y = np.float32(math.copysign(np.sqrt(size + ONE) - ONE, x)) + SQUASH * x
            beyond_limit = abs(y) > limit
            beyond += beyond_limit
            if beyond_limit:
                y = math.copysign(limit, y)
            low = min(np.floor(y), limit - ONE)
            upper, index = y - low, min(max(int(low) + bound, 0), atoms - 2)  # in range even for NaN
            part[b] += log_total - (ONE - upper) * row[index] - upper * row[index + 1]
            slope = share[b] * weight
            scale = np.float32(slope / total)
            for c in range(atoms):
                row[c] = power[c] * scale
            row[index] -= np.float32(slope * (ONE - upper))
            row[index + 1] -= np.float32(slope * upper)
    return beyond


@njit(cache=True, nogil=True, inline="always")
def _softmax(row, power):
    """exp(row - its maximum) in `power`; their sum, and the logarithm of the sum of exp(row)."""
    top = row[0]
    for c in range(1, row.size):
        top = max(top, row[c])
    for c in range(row.size):
        power[c] = exp(row[c] - top)
    total = ZERO
    for c in range(row.size):
        total += power[c]
    return total, top + np.float32(math.log(total))


@njit(cache=True, nogil=True)
def policy_loss(logits, joint_actions, weight, real, share, part):
    """- sum_c weight(c) sum_i log p^i(c^i), where `real`.

    Args:
      logits: (U + 1, B, n, A).    joint_actions: (B, U + 1, K, n) int64.    weight: (B, U + 1, K).    real: (B, U + 1).
    Returns: sum of the entropies of all agents at the first step.
    """
    steps, batch, n, actions = logits.shape
    power = np.empty(actions, np.float32)
    entropy = 0.0
    for k in range(steps):
        for b in range(batch):
            chosen, joint = weight[b, k], joint_actions[b, k]
            whole = ZERO
            for c in range(chosen.size):
                whole += chosen[c]
            slope = share[b] * real[b, k]
            for i in range(n):
                row = logits[k, b, i]
                total, log_total = _softmax(row, power)
                if k == 0:
                    for a in range(actions):
                        entropy -= power[a] / total * (row[a] - log_total)
                loss = ZERO
                for c in range(chosen.size):
                    loss -= chosen[c] * (row[joint[c, i]] - log_total)
                part[b] += loss * real[b, k]
                scale = slope * whole / total
                for a in range(actions):
                    row[a] = power[a] * scale
                for c in range(chosen.size):
                    row[joint[c, i]] -= slope * chosen[c]
    return entropy


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def consistency_loss(online, target, counts, share, weight, part):
    """Negative cosine between online and target (SimSiam), where it `counts`.

    Args:
      online, target: (U, B, P); online becomes the gradient.    counts: (B, U).    weight: of this part in the loss.
    """
    steps, batch, _ = online.shape
    for k in range(steps):
        for b in range(batch):
            x, y = online[k, b], target[k, b]
            xx, yy, xy = ZERO, ZERO, ZERO
            for c in range(x.size):
                xx += x[c] * x[c]
                yy += y[c] * y[c]
                xy += x[c] * y[c]
            length, other = math.sqrt(xx), max(math.sqrt(yy), SHORTEST)
            along = 0.0 if length < SHORTEST else xy / (length * length)
            across = max(length, SHORTEST) * other
            part[b] -= np.float32(xy / across) * counts[b, k]
            slope = -share[b] * weight * counts[b, k]
            of_y, of_x = np.float32(slope / across), np.float32(slope / across * along)
            for c in range(x.size):
                x[c] = of_y * y[c] - of_x * x[c]
