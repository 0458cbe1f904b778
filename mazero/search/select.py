"""Which child a simulation goes to next: MAZero's rule (MuZero's, arXiv 1911.08265, with advantages for values)."""

from mazero.search.draws import uniform
from mazero.search.jit import helper
from mazero.search.tree import ADVANTAGE, SHARE


@helper
def advantage_range(b, advantage, end):
    """Least and greatest current advantage of nodes 1..end - 1, end >= 2; nodes are numbered by first visit.

    Four at a time, because one comparison after another would wait for its predecessor.
    """
    low_0 = low_1 = low_2 = low_3 = high_0 = high_1 = high_2 = high_3 = advantage[b, 1]
    for quad in range((end - 2) // 4):
        node = 2 + 4 * quad
        x, y, z, w = advantage[b, node], advantage[b, node + 1], advantage[b, node + 2], advantage[b, node + 3]
        low_0 = x if x < low_0 else low_0
        low_1 = y if y < low_1 else low_1
        low_2 = z if z < low_2 else low_2
        low_3 = w if w < low_3 else low_3
        high_0 = x if x > high_0 else high_0
        high_1 = y if y > high_1 else high_1
        high_2 = z if z > high_2 else high_2
        high_3 = w if w > high_3 else high_3
    for node in range(2 + (end - 2) // 4 * 4, end):
        x = advantage[b, node]
        low_0 = x if x < low_0 else low_0
        high_0 = x if x > high_0 else high_0
    return min(min(low_0, low_1), min(low_2, low_3)), max(max(high_0, high_1), max(high_2, high_3))


@helper
def best_child(b, node, nodes, key, prior, child, edge, score, rng, explore, tie_tolerance, low, scale):
    """argmax_c  clip(norm(adv(c)), 0, 1) + P(c) * sqrt(m) / (1 + n_c) * (c1 + ln((m + c2 + 1) / c2)),  m = sum_b n_b.

    Before the first visit of a child m is 0 and all children tie, whatever their priors. `rules` says what is what.
    """
    count = nodes[b, node]["num_children"]
    m = nodes[b, node]["visits"] - 1
    if count == 1:
        return 0
    if m == 0:
        return int(uniform(rng, b) * count)
    factor = explore[m]
    for c in range(count):
        exploit = (edge[b, node, ADVANTAGE, c] - low) / scale
        exploit = exploit if exploit > 0.0 else 0.0
        exploit = exploit if exploit < 1.0 else 1.0
        score[0, c] = exploit + factor * edge[b, node, SHARE, c]
    best = score[0, 0]
    for c in range(1, count):
        best = score[0, c] if score[0, c] > best else best
    ties = 0
    last = 0
    for c in range(count):
        tied = score[0, c] >= best - tie_tolerance
        ties += tied
        last = c if tied else last
    if ties > 1:
        skip = int(uniform(rng, b) * ties)
        for c in range(count):
            if score[0, c] >= best - tie_tolerance:
                if skip == 0:
                    return c
                skip -= 1
    return last
