"""A rival proposal: K different joint actions, as if drawn from the policy one by one without replacement.

Perturb the log-probability of every joint action with Gumbel noise of its own and take the K largest (Gumbel-top-k;
Kool, van Hoof, Welling, ICML 2019, arXiv 1903.06059). There are A ** n of them, so the largest are found agent by agent
(their stochastic beam search): of an unfinished joint action only the largest perturbed value below it is drawn, and
those of its continuations are drawn on condition that their maximum is this value.
"""

import math

import numpy as np

from mazero.search.draws import GOLDEN, uniform
from mazero.search.jit import helper
from mazero.search.tree import UNVISITED, WORD

_LEAST = 2.0**-54  # stands for the uniform number 0, whose logarithm is infinite


@helper
def draw_distinct(b, node, key, prior, child, weight, score, draw, rng, num_agents, num_draws, num_actions, bits):
    """Gives a node min(K, number of possible) different joint actions; a rule for `SearchConfig.proposal`.

    prior = probability of the joint action, divided by that of all that were drawn: the policy on the set drawn.
    """
    n, words = num_agents, key.shape[3]
    group = WORD // bits
    # The beam, twice: from one agent to the next. By falling perturbed log-probability.
    perturbed = np.empty((2, num_draws))
    log_p = np.empty((2, num_draws))
    packed = np.empty((2, words, num_draws), np.int64)
    action_log_p, noisy = np.empty(num_actions), np.empty(num_actions)
    perturbed[0, 0] = 0.0  # the largest of all, given: it shifts all of them and changes no order
    log_p[0, 0] = 0.0
    for w in range(words):
        packed[0, w, 0] = 0
    size = 1
    for i in range(n):
        old, new = i % 2, 1 - i % 2
        total = 0.0
        possible = 0
        for a in range(num_actions):
            total += weight[0, i * num_actions + a]
        for a in range(num_actions):
            p = weight[0, i * num_actions + a] / total
            action_log_p[a] = math.log(p) if p > 0.0 else -math.inf
            possible += p > 0.0
        kept = 0
        following = rng[b] + GOLDEN * np.uint64(size * possible)  # one number for each continuation
        for k in range(size):
            if kept == num_draws and perturbed[old, k] <= perturbed[new, kept - 1]:
                break  # no continuation of this one or of those behind it exceeds what it has itself
            best = 0
            for a in range(num_actions):
                noisy[a] = -math.inf
                if action_log_p[a] > -math.inf:
                    gumbel = -math.log(-math.log(max(uniform(rng, b), _LEAST)))
                    noisy[a] = log_p[old, k] + action_log_p[a] + gumbel
                best = a if noisy[a] > noisy[best] else best
            for a in range(num_actions):
                if noisy[a] > -math.inf:
                    value = perturbed[old, k] if a == best else capped(noisy[a], noisy[best], perturbed[old, k])
                    if kept < num_draws or value > perturbed[new, kept - 1]:
                        kept = min(kept + 1, num_draws)
                        place = kept - 1
                        while place > 0 and perturbed[new, place - 1] < value:
                            perturbed[new, place] = perturbed[new, place - 1]
                            log_p[new, place] = log_p[new, place - 1]
                            for w in range(words):
                                packed[new, w, place] = packed[new, w, place - 1]
                            place -= 1
                        perturbed[new, place] = value
                        log_p[new, place] = log_p[old, k] + action_log_p[a]
                        for w in range(words):
                            packed[new, w, place] = packed[old, w, k]
                        packed[new, i // group, place] = packed[old, i // group, k] << bits | a
        size = kept
        rng[b] = following

    last = n % 2
    top = -math.inf
    for k in range(size):
        packed[last, words - 1, k] <<= bits * (words * group - n)
        top = max(top, log_p[last, k])
    total = 0.0
    for k in range(size):
        rank = 0
        for other in range(size):
            w = 0
            while w < words - 1 and packed[last, w, other] == packed[last, w, k]:
                w += 1
            rank += packed[last, w, other] < packed[last, w, k]
        for w in range(words):
            key[b, node, rank, w] = packed[last, w, k]
        prior[b, node, rank] = math.exp(log_p[last, k] - top)
        child[b, node, rank] = UNVISITED
        total += prior[b, node, rank]
    for c in range(size):
        prior[b, node, c] /= total
    return size


@helper
def capped(value, largest, cap):
    """-log(exp(-cap) - exp(-largest) + exp(-value)): a Gumbel value < largest, moved as if the largest had been cap."""
    v = cap - value + math.log(-math.expm1(value - largest))
    return cap - max(0.0, v) - math.log1p(math.exp(-abs(v)))
