"""What a new node gets: a policy, K joint actions drawn from it and their priors (Sampled MuZero, arXiv 2104.06303)."""

import math

import numpy as np

from mazero.search.draws import GOLDEN, dirichlet, share
from mazero.search.jit import helper
from mazero.search.tree import FINE, ROOT, UNVISITED, WORD

LEGAL_BONUS = 1e-4  # added to the probability of every legal root action, as the authors do
_LOG2_E = 1.4426950408889634
_LN_2_HIGH, _LN_2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # ln 2 in two parts, the first of 33 bits
_ROUND = 6755399441055744.0  # 1.5 * 2 ** 52: adding it rounds to an integer, which then stands in the low bits
_EXPONENT = np.int64(1023 - np.float64(_ROUND).view(np.int64))  # of 2 ** 0, less the bits of _ROUND
_MANTISSA = np.int64(52)  # bits below the exponent
_MANY_DRAWS = 64  # up to here draws are ranked by comparing all pairs, which needs no jumps


@helper
def first_bad(outputs, b):
    """Index of the first value of row b that is not finite, or FINE."""
    bad = 0
    for j in range(outputs.shape[1]):  # without a break: several at a time
        bad += outputs[b, j] - outputs[b, j] != 0.0
    if bad > 0:
        for j in range(outputs.shape[1]):
            if not math.isfinite(outputs[b, j]):
                return j
    return FINE


@helper
def softmax(outputs, b, policy):
    """Fills policy (n, A) with the softmax of each agent's logits, which start in column 2 of row b of outputs."""
    n, num_actions = policy.shape
    for i in range(n):
        start = 2 + i * num_actions
        top = np.float64(outputs[b, start])
        for a in range(1, num_actions):
            top = max(top, np.float64(outputs[b, start + a]))
        total = 0.0
        for a in range(num_actions):
            policy[i, a] = math.exp(outputs[b, start + a] - top)
            total += policy[i, a]
        for a in range(num_actions):
            policy[i, a] /= total


@helper
def weigh(outputs, b, weight, n, num_actions):
    """Fills weight (1, n * A) with exp(logit - largest logit of the agent): the softmax but for a factor."""
    size = weight.shape[1]
    for i in range(n):
        start = i * num_actions
        top = np.float64(outputs[b, 2 + start])
        for a in range(1, num_actions):
            x = np.float64(outputs[b, 2 + start + a])
            top = x if x > top else top
        for a in range(num_actions):
            weight[0, start + a] = np.float64(outputs[b, 2 + start + a]) - top
    for j in range(n * num_actions, size):
        weight[0, j] = 0.0
    for j in range(size):
        weight[0, j] = exp(weight[0, j])


@helper
def exp(x):
    """exp(x) for x <= 0 to 2 units in the last place, 0 below -708; no jumps, so that several are taken at a time.

    x = k ln 2 + r with |r| <= ln(2) / 2, exp(x) = 2 ** k * Taylor(r). k stands in the low bits of x / ln 2 + _ROUND.
    """
    inside = x if x > -708.0 else -708.0
    shifted = np.float64(inside * _LOG2_E + _ROUND)
    k = shifted - _ROUND
    r = (inside - k * _LN_2_HIGH) - k * _LN_2_LOW
    y = 1.0 / 6227020800.0
    y = y * r + 1.0 / 479001600.0
    y = y * r + 1.0 / 39916800.0
    y = y * r + 1.0 / 3628800.0
    y = y * r + 1.0 / 362880.0
    y = y * r + 1.0 / 40320.0
    y = y * r + 1.0 / 5040.0
    y = y * r + 1.0 / 720.0
    y = y * r + 1.0 / 120.0
    y = y * r + 1.0 / 24.0
    y = y * r + 1.0 / 6.0
    y = y * r + 0.5
    y = y * r * r + r + 1.0
    power = np.int64((shifted.view(np.int64) + _EXPONENT) << _MANTISSA)
    return y * power.view(np.float64) if x > -708.0 else 0.0


@helper
def draw_children(b, node, key, prior, child, weight, score, draw, rng, num_agents, num_draws, num_actions, bits):
    """Draws joint actions, merges duplicates and stores the different ones in lexicographic order, prior = count / K.

    Number k * n + i of the stream decides agent i in draw k: splitmix64 can be entered anywhere, so that one number
    need not wait for the one before. Loops go over all draws, several at a time, a few of them in vain (`Tree.score`).

    Args:
      b, node: the node whose keys, priors and children are filled.
      key, prior, child, rng: of the trees.
      weight: (1, n * A or more) float64, weights of the actions; cumulated on return.
      score, draw: scratch, as in `Tree`.
      num_agents, num_draws, num_actions, bits: n, K, A, bits of an action in a key.
    Returns: number of different joint actions.
    """
    words, width = key.shape[3], score.shape[1]
    group = WORD // bits
    row, slot = words, words + 1  # rows of `draw`: actions of one agent, then ranks of the draws; who has a rank
    start = rng[b]
    for i in range(num_agents):
        first = i * num_actions
        total = 0.0
        for a in range(num_actions):
            total += weight[0, first + a]
            weight[0, first + a] = total
        for k in range(width):
            score[0, k] = share(start + GOLDEN * np.uint64(k * num_agents + i + 1)) * total
            draw[0, row, k] = 0
        for a in range(num_actions - 1):
            limit = weight[0, first + a]
            if limit < total:  # no action behind the last one that is possible
                for k in range(width):
                    draw[0, row, k] += score[0, k] >= limit
        w = i // group
        if i % group == 0:
            for k in range(width):
                draw[0, w, k] = draw[0, row, k]
        else:
            for k in range(width):
                draw[0, w, k] = draw[0, w, k] << bits | draw[0, row, k]
    for k in range(width):
        draw[0, words - 1, k] <<= bits * (words * group - num_agents)
    rng[b] = start + GOLDEN * np.uint64(num_draws * num_agents)

    count = 0
    if num_draws <= _MANY_DRAWS:
        for k in range(width):
            draw[0, row, k] = 0
            score[0, k] = 0.0
        for other in range(num_draws):
            _count_behind(draw, other, row, words, width)
        for k in range(num_draws):
            rank = draw[0, row, k]
            draw[0, slot, rank] = k
            score[0, rank] += 1.0
        rank = 0
        while rank < num_draws:  # draws of the same joint action have the same rank; the next one stands behind them
            times = score[0, rank]
            for w in range(words):
                key[b, node, count, w] = draw[0, w, draw[0, slot, rank]]
            prior[b, node, count] = times
            count += 1
            rank += int(times)
    else:
        for k in range(num_draws):
            count = _insert(b, node, key, prior, draw, k, count)
    for c in range(count):
        prior[b, node, c] /= num_draws
        child[b, node, c] = UNVISITED
    return count


@helper
def _count_behind(draw, other, row, words, width):
    """Adds 1 to the rank, in a row of `draw`, of each draw whose key is larger than that of draw `other`."""
    if words == 1:
        word = draw[0, 0, other]
        for k in range(width):
            draw[0, row, k] += word < draw[0, 0, k]
    else:
        for k in range(width):
            w = 0
            while w < words - 1 and draw[0, w, other] == draw[0, w, k]:
                w += 1
            draw[0, row, k] += draw[0, w, other] < draw[0, w, k]


@helper
def _insert(b, node, key, prior, draw, k, count):
    """Counts draw k with its equals, or puts its key among the `count` keys of a node; returns how many there are."""
    words = key.shape[3]
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        w = 0
        while w < words - 1 and draw[0, w, k] == key[b, node, middle, w]:
            w += 1
        if draw[0, w, k] == key[b, node, middle, w]:
            prior[b, node, middle] += 1.0
            return count
        if draw[0, w, k] < key[b, node, middle, w]:
            high = middle
        else:
            low = middle + 1
    for c in range(count, low, -1):
        prior[b, node, c] = prior[b, node, c - 1]
        for w in range(words):
            key[b, node, c, w] = key[b, node, c - 1, w]
    prior[b, node, low] = 1.0
    for w in range(words):
        key[b, node, low, w] = draw[0, w, k]
    return count + 1


@helper
def mask(policy, legal):
    """Puts 0 on illegal actions and LEGAL_BONUS more on legal ones, and makes each sum 1; (n, A) both.

    What the legal actions have is not made 1 before: if it is little, the bonus counts for much.
    """
    n, num_actions = policy.shape
    for i in range(n):
        total = 0.0
        for a in range(num_actions):
            policy[i, a] = policy[i, a] + LEGAL_BONUS if legal[i, a] else 0.0
            total += policy[i, a]
        for a in range(num_actions):
            policy[i, a] /= total


@helper
def add_noise(policy, beta, legal, rng, b, alpha, fraction):
    """Fills beta (n, A) with the policy, mixed with one Dirichlet draw per agent over all actions, masked like it."""
    for i in range(policy.shape[0]):
        dirichlet(rng, b, alpha, beta[i])
    mask(beta, legal)
    for i in range(policy.shape[0]):
        for a in range(policy.shape[1]):
            beta[i, a] = (1.0 - fraction) * policy[i, a] + fraction * beta[i, a]


@helper
def root_ratios(b, key, prior, importance, log_beta, policy, beta, bits, count):
    """Of the root's children: importance = prior * pi / beta, log_beta; a product and a sum over agents."""
    group = WORD // bits
    for c in range(count):
        importance[b, c] = prior[b, ROOT, c]
        log_beta[b, c] = 0.0
        for i in range(beta.shape[0]):
            a = key[b, ROOT, c, i // group] >> (bits * (group - 1 - i % group)) & ((1 << bits) - 1)
            importance[b, c] *= policy[i, a] / beta[i, a]
            log_beta[b, c] += math.log(beta[i, a])
