"""The search tree: flat arrays for B roots and the numba kernels that grow them, one node per root and simulation.

Source: MAZero (arXiv 2405.11778), sections on sampled search and OS(lambda); the selection rule is MuZero's
(arXiv 1911.08265), priors as in Sampled MuZero (arXiv 2104.06303). `reference.py` says the same slowly and readably.
All kernels stand in this file, because numba's on-disk cache does not notice changes in another one.

Every kernel loops over roots and touches nothing shared between them (`range` may become `prange`). Root b draws from
its own generator `tree.rng[b]`, so results do not depend on the other roots or on their order.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from mazero.search.base import SearchConfig

ROOT = 0  # index of the root among a tree's nodes; simulation t creates node t
UNVISITED = -1  # child index of a joint action that was never taken
FINE = -1  # status of a root whose network outputs are all finite; otherwise the offending column of `outputs`
LEGAL_BONUS = 1e-4  # added to the probability of every legal root action, as the authors do
COUNT_SLACK = 1e-9  # in float64 (1 - 0.7) * 10 lies just above 3; a bare ceil would keep 4 of 10 values

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U11, _U27, _U30, _U31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)


NODE = np.dtype(
    [
        ("visits", np.int32),  # 1 for a new node, then one more for each later simulation through it
        ("parent", np.int32),
        ("depth", np.int32),  # 0 at the root
        ("num_children", np.int32),
        ("height", np.int32),  # largest relative depth at which a value is filed
        ("reward", np.float64),  # predicted on entering the node
        ("predicted", np.float64),  # the network's value v
        ("value", np.float64),  # OS(lambda) value V
    ],
    align=True,
)


class Tree(NamedTuple):
    """B trees. C = min(K, A ** n) children per node; node i files values in cells `_row(i)`, ... of a triangle of size
    P = (N + 1)(N + 2) / 2, because only later nodes can lie below it. Contents are defined up to the node counts only.
    """

    nodes: np.ndarray  # (B, N + 1) NODE: what belongs together lies in one cache line
    advantage: np.ndarray  # (B, N + 1) float64: reward + discount * V - predicted value of the parent
    joint_action: np.ndarray  # (B, N + 1, C, n) int16: of each child, in lexicographic order
    prior: np.ndarray  # (B, N + 1, C) float64
    child: np.ndarray  # (B, N + 1, C) int32: node of each child, or UNVISITED
    filed: np.ndarray  # (B, P) float64: values filed at a node, by relative depth, largest first within a depth
    filed_count: np.ndarray  # (B, P) int32: number of values filed, by relative depth
    kept_sum: np.ndarray  # (B, P) float64: sum of the values kept, by relative depth
    beta_hat: np.ndarray  # (B, C) float64: of the root's children
    log_beta: np.ndarray  # (B, C) float64: of the root's children
    policy: np.ndarray  # (B, n, A) float64: scratch, policy of the node being expanded
    noisy: np.ndarray  # (B, n, A) float64: scratch, root policy with noise
    sampling: np.ndarray  # (B, n, A) float64: scratch, cumulative sampling distribution
    draw: np.ndarray  # (B, n) int16: scratch, the joint action just drawn
    score: np.ndarray  # (B, C) float64: scratch, scores of the children of one node
    rng: np.ndarray  # (B, 1) uint64: state of each root's generator


class Rule(NamedTuple):
    """Numbers of the selection rule."""

    pb_c_init: float
    pb_c_base: float
    min_max_floor: float
    tie_tolerance: float


class Constants(NamedTuple):
    """Numbers the kernels need, in the form they need them."""

    rule: Rule
    num_sampled_actions: int
    discount: float
    dirichlet_alpha: float
    noise_fraction: float
    sample_from_noisy_policy: bool
    kept: np.ndarray  # (N + 2,) int64: how many of m values of one depth are kept, m = 0..N + 1
    weight: np.ndarray  # (N + 1,) float64: lambda ** d


def allocate(num_roots: int, n_agents: int, n_actions: int, config: SearchConfig) -> Tree:
    """Memory for trees of the given size; `begin` makes it valid."""
    b, n, a, nodes = num_roots, n_agents, n_actions, config.num_simulations + 1
    c = min(config.num_sampled_actions, n_actions**n_agents)  # python integers: no overflow with many agents
    cells = nodes * (nodes + 1) // 2
    return Tree(
        nodes=np.empty((b, nodes), NODE),
        advantage=np.empty((b, nodes), np.float64),
        joint_action=np.empty((b, nodes, c, n), np.int16),
        prior=np.empty((b, nodes, c), np.float64),
        child=np.empty((b, nodes, c), np.int32),
        filed=np.empty((b, cells), np.float64),
        filed_count=np.empty((b, cells), np.int32),
        kept_sum=np.empty((b, cells), np.float64),
        beta_hat=np.empty((b, c), np.float64),
        log_beta=np.empty((b, c), np.float64),
        policy=np.empty((b, n, a), np.float64),
        noisy=np.empty((b, n, a), np.float64),
        sampling=np.empty((b, n, a), np.float64),
        draw=np.empty((b, n), np.int16),
        score=np.empty((b, c), np.float64),
        rng=np.empty((b, 1), np.uint64),
    )


def constants(config: SearchConfig) -> Constants:
    """The kernels' view of `config`."""
    n = config.num_simulations
    return Constants(
        rule=Rule(
            pb_c_init=float(config.pb_c_init),
            pb_c_base=float(config.pb_c_base),
            min_max_floor=float(config.min_max_floor),
            tie_tolerance=float(config.tie_tolerance),
        ),
        num_sampled_actions=int(config.num_sampled_actions),
        discount=float(config.discount),
        dirichlet_alpha=float(config.dirichlet_alpha),
        noise_fraction=float(config.noise_fraction),
        sample_from_noisy_policy=bool(config.sample_from_noisy_policy),
        kept=kept_counts(config.effective_rho, n + 1),
        weight=config.effective_lam ** np.arange(n + 1, dtype=np.float64),
    )


def kept_counts(rho: float, most: int) -> np.ndarray:
    """(most + 1,) int64: max(1, ceil((1 - rho) * m)) for m = 0..most, free of float64's rounding of (1 - rho) * m."""
    counts = np.ceil((1.0 - rho) * np.arange(most + 1, dtype=np.float64) - COUNT_SLACK)
    return np.maximum(1, counts).astype(np.int64)


# Helpers get the arrays of one root, not the whole tree: numba would count references to each field on every call.

# ---------------------------------------------------------------------------------------------------- kernels: rounds


@njit(cache=True, nogil=True)
def begin(tree, const, seeds, outputs, legal, noise, status):
    """Makes every root: its children, priors and predicted value.

    Args:
      tree: the trees, uninitialised.
      const: numbers of the search.
      seeds: (B,) uint64.
      outputs: (B, 2 + n * A) float64: reward (ignored), value, policy logits.
      legal: (B, n, A) bool, at least one per agent.
      noise: bool, mix Dirichlet noise into the root policy.
      status: (B,) int64, filled: FINE or the first column of `outputs` that is not finite.
    Returns: number of roots that are not fine.
    """
    bad = 0
    for b in range(outputs.shape[0]):
        rng = tree.rng[b]
        rng[0] = _mix(seeds[b] + _GOLDEN)
        status[b] = _first_bad(outputs[b])
        if status[b] != FINE:
            bad += 1
        else:
            policy, noisy, sampling = tree.policy[b], tree.noisy[b], tree.sampling[b]
            joint_action, prior, child = tree.joint_action[b, ROOT], tree.prior[b, ROOT], tree.child[b, ROOT]
            nodes = tree.nodes[b]
            _softmax(outputs[b], policy)
            _mask(policy, legal[b])
            _add_noise(policy, noisy, legal[b], rng, noise, const.dirichlet_alpha, const.noise_fraction)
            beta = noisy if const.sample_from_noisy_policy else policy
            _cumulate(beta, sampling)
            count = _draw_children(joint_action, prior, child, sampling, tree.draw[b], rng, const.num_sampled_actions)
            _root_priors(joint_action, prior, tree.beta_hat[b], tree.log_beta[b], noisy, beta, count)
            _new_node(nodes, ROOT, UNVISITED, 0, count, 0.0, outputs[b, 1])
            tree.advantage[b, ROOT] = 0.0
            _file(
                nodes,
                tree.filed[b],
                tree.filed_count[b],
                tree.kept_sum[b],
                const.kept,
                const.weight,
                ROOT,
                0,
                outputs[b, 1],
            )
    return bad


@njit(cache=True, nogil=True)
def descend(tree, const, simulation, rows, actions):
    """Walks from every root to a joint action not yet taken and makes node `simulation` (1..N) of it.

    Args:
      tree: the trees, with nodes 0..simulation - 1.
      const: numbers of the search.
      simulation: int, the same for all roots.
      rows: (B,) int64, filled: parent * B + b, the row of its hidden state in an (N + 1, B) stack.
      actions: (B, n) int64, filled: the joint action.
    """
    num_roots, n = actions.shape
    for b in range(num_roots):
        nodes, advantage, child = tree.nodes[b], tree.advantage[b], tree.child[b]
        prior, score, rng = tree.prior[b], tree.score[b], tree.rng[b]
        low, high = _advantage_range(advantage, simulation)
        node = ROOT
        depth = 1
        if nodes[ROOT]["visits"] <= nodes[ROOT]["num_children"]:
            c = nodes[ROOT]["visits"] - 1  # every child of the root once, in order
        else:
            c = _best_child(nodes, advantage, child, prior, score, rng, const.rule, node, low, high)
        while child[node, c] != UNVISITED:
            node = child[node, c]
            depth += 1
            c = _best_child(nodes, advantage, child, prior, score, rng, const.rule, node, low, high)
        child[node, c] = simulation
        nodes[simulation]["parent"] = node
        nodes[simulation]["depth"] = depth
        rows[b] = node * num_roots + b
        for i in range(n):
            actions[b, i] = tree.joint_action[b, node, c, i]


@njit(cache=True, nogil=True)
def extend(tree, const, simulation, outputs, status):
    """Gives node `simulation` of every tree its network outputs and children, and backs its value up to the root.

    Args:
      tree: the trees, after `descend`.
      const: numbers of the search.
      simulation: int, as for `descend`.
      outputs: (B, 2 + n * A) float64: reward, value, policy logits.
      status: (B,) int64, filled as by `begin`.
    Returns: number of roots that are not fine.
    """
    bad = 0
    for b in range(outputs.shape[0]):
        status[b] = _first_bad(outputs[b])
        if status[b] != FINE:
            bad += 1
        else:
            policy, sampling, nodes = tree.policy[b], tree.sampling[b], tree.nodes[b]
            _softmax(outputs[b], policy)
            _cumulate(policy, sampling)
            count = _draw_children(
                tree.joint_action[b, simulation],
                tree.prior[b, simulation],
                tree.child[b, simulation],
                sampling,
                tree.draw[b],
                tree.rng[b],
                const.num_sampled_actions,
            )
            # Drawn from the policy itself, so that pi * beta_hat / beta is beta_hat.
            parent, depth = nodes[simulation]["parent"], nodes[simulation]["depth"]
            _new_node(nodes, simulation, parent, depth, count, outputs[b, 0], outputs[b, 1])
            _back_up(
                nodes,
                tree.advantage[b],
                tree.filed[b],
                tree.filed_count[b],
                tree.kept_sum[b],
                const.kept,
                const.weight,
                const.discount,
                simulation,
            )
    return bad


# ------------------------------------------------------------------------------------------------- kernels: selection


@njit(cache=True, nogil=True)
def _advantage_range(advantage, end):
    """Least and greatest current advantage of nodes 1..end - 1; nodes are numbered by first visit."""
    low = math.inf
    high = -math.inf
    for node in range(1, end):
        low = min(low, advantage[node])
        high = max(high, advantage[node])
    return low, high


@njit(cache=True, nogil=True)
def _best_child(nodes, advantage, child, prior, score, rng, rule, node, low, high):
    """argmax_c  clip(norm(adv(c)), 0, 1) + P(c) * sqrt(m) / (1 + n_c) * (c1 + ln((m + c2 + 1) / c2)),  m = sum_b n_b.

    Before the first visit of a child m is 0 and all children tie, whatever their priors.
    """
    count = nodes[node]["num_children"]
    m = nodes[node]["visits"] - 1
    explore = math.sqrt(m) * (rule.pb_c_init + math.log((m + rule.pb_c_base + 1.0) / rule.pb_c_base))
    scale = max(rule.min_max_floor, high - low)
    unvisited = min(1.0, max(0.0, (0.0 - low) / scale))
    best = -math.inf
    for c in range(count):
        below = child[node, c]
        if below == UNVISITED:
            score[c] = unvisited + explore * prior[node, c]
        else:
            exploit = min(1.0, max(0.0, (advantage[below] - low) / scale))
            score[c] = exploit + explore * prior[node, c] / (1 + nodes[below]["visits"])
        best = max(best, score[c])
    ties = 0
    last = 0
    for c in range(count):
        if score[c] >= best - rule.tie_tolerance:
            ties += 1
            last = c
    if ties > 1:
        skip = int(_uniform(rng) * ties)
        for c in range(count):
            if score[c] >= best - rule.tie_tolerance:
                if skip == 0:
                    return c
                skip -= 1
    return last


# ------------------------------------------------------------------------------------------------- kernels: expansion


@njit(cache=True, nogil=True)
def _first_bad(outputs):
    """Index of the first value that is not finite, or FINE."""
    for j in range(outputs.size):
        if not math.isfinite(outputs[j]):
            return j
    return FINE


@njit(cache=True, nogil=True)
def _softmax(outputs, policy):
    """Fills policy (n, A) with the softmax of each agent's logits, which start in column 2 of outputs (2 + n * A,)."""
    n, num_actions = policy.shape
    for i in range(n):
        start = 2 + i * num_actions
        top = outputs[start]
        for a in range(1, num_actions):
            top = max(top, outputs[start + a])
        total = 0.0
        for a in range(num_actions):
            policy[i, a] = math.exp(outputs[start + a] - top)
            total += policy[i, a]
        for a in range(num_actions):
            policy[i, a] /= total


@njit(cache=True, nogil=True)
def _cumulate(policy, sampling):
    for i in range(policy.shape[0]):
        total = 0.0
        for a in range(policy.shape[1]):
            total += policy[i, a]
            sampling[i, a] = total


@njit(cache=True, nogil=True)
def _draw_children(joint_action, prior, child, sampling, draw, rng, num_draws):
    """Draws joint actions, merges duplicates and stores the different ones in lexicographic order, prior = count / K.

    Whole tuples are compared: their code as one integer would overflow 64 bits with many agents.

    Args:
      joint_action: (C, n) int16, filled.
      prior: (C,) float64, filled.
      child: (C,) int32, filled with UNVISITED.
      sampling: (n, A) float64, cumulative probabilities.
      draw: (n,) int16, scratch.
      rng: (1,) uint64, state of the generator.
      num_draws: K.
    Returns: number of different joint actions.
    """
    n, num_actions = sampling.shape
    count = 0
    for _ in range(num_draws):
        for i in range(n):
            u = _uniform(rng) * sampling[i, num_actions - 1]
            a = 0
            for other in range(num_actions - 1):  # without a break: random jumps cost more than the additions
                a += u >= sampling[i, other]
            while a > 0 and sampling[i, a] == sampling[i, a - 1]:
                a -= 1  # u was rounded up to the total: the last action that is possible
            draw[i] = a
        low = 0
        high = count
        found = False
        while low < high and not found:
            middle = (low + high) // 2
            order = 0
            for i in range(n):
                if draw[i] != joint_action[middle, i]:
                    order = -1 if draw[i] < joint_action[middle, i] else 1
                    break
            if order == 0:
                prior[middle] += 1.0
                found = True
            elif order < 0:
                high = middle
            else:
                low = middle + 1
        if not found:
            for c in range(count, low, -1):
                prior[c] = prior[c - 1]
                for i in range(n):
                    joint_action[c, i] = joint_action[c - 1, i]
            prior[low] = 1.0
            for i in range(n):
                joint_action[low, i] = draw[i]
            count += 1
    for c in range(count):
        prior[c] /= num_draws
        child[c] = UNVISITED
    return count


@njit(cache=True, nogil=True)
def _mask(policy, legal):
    """Puts 0 on illegal actions and LEGAL_BONUS more on legal ones, and makes each sum 1 again; (n, A) both."""
    n, num_actions = policy.shape
    for i in range(n):
        total = 0.0
        for a in range(num_actions):
            if not legal[i, a]:
                policy[i, a] = 0.0
            total += policy[i, a]
        rest = 0.0
        for a in range(num_actions):
            if legal[i, a]:  # if no legal action has any probability left, they all get the same
                policy[i, a] = (policy[i, a] / total if total > 0.0 else 0.0) + LEGAL_BONUS
            rest += policy[i, a]
        for a in range(num_actions):
            policy[i, a] /= rest


@njit(cache=True, nogil=True)
def _add_noise(policy, noisy, legal, rng, noise, alpha, fraction):
    """Fills noisy (n, A) with the policy, mixed with one Dirichlet draw per agent over its legal actions."""
    for i in range(policy.shape[0]):
        if noise:
            _dirichlet(rng, alpha, legal[i], noisy[i])
        for a in range(policy.shape[1]):
            if noise:
                noisy[i, a] = (1.0 - fraction) * policy[i, a] + fraction * noisy[i, a]
            else:
                noisy[i, a] = policy[i, a]


@njit(cache=True, nogil=True)
def _root_priors(joint_action, prior, beta_hat, log_beta, noisy, beta, count):
    """prior (C,): beta_hat on entry, beta_hat * pi~ / beta on return, as a product over agents of ratios."""
    for c in range(count):
        beta_hat[c] = prior[c]
        log_beta[c] = 0.0
        for i in range(beta.shape[0]):
            a = joint_action[c, i]
            prior[c] *= noisy[i, a] / beta[i, a]
            log_beta[c] += math.log(beta[i, a])


# ---------------------------------------------------------------------------------------------------- kernels: backup


@njit(cache=True, nogil=True)
def _new_node(nodes, node, parent, depth, num_children, reward, predicted):
    """Fills the record of a node at which nothing is filed yet."""
    nodes[node]["visits"] = 0
    nodes[node]["parent"] = parent
    nodes[node]["depth"] = depth
    nodes[node]["num_children"] = num_children
    nodes[node]["height"] = -1
    nodes[node]["reward"] = reward
    nodes[node]["predicted"] = predicted


@njit(cache=True, nogil=True)
def _back_up(nodes, advantage, filed, filed_count, kept_sum, kept, weight, discount, leaf):
    """Files the leaf's bootstrapped return on the way to the root; brings values and advantages there up to date.

    The node d levels above gets  sum_{k<d} gamma^k r_k + gamma^d v(leaf)  under relative depth d; d = 0 is the leaf.
    """
    node = leaf
    target = nodes[leaf]["predicted"]
    d = 0
    _file(nodes, filed, filed_count, kept_sum, kept, weight, node, d, target)
    while node != ROOT:
        parent = nodes[node]["parent"]
        reward = nodes[node]["reward"]
        advantage[node] = reward + discount * nodes[node]["value"] - nodes[parent]["predicted"]
        target = reward + discount * target
        d += 1
        _file(nodes, filed, filed_count, kept_sum, kept, weight, parent, d, target)
        node = parent


@njit(cache=True, nogil=True)
def _file(nodes, filed, filed_count, kept_sum, kept, weight, node, d, target):
    """Files one value under relative depth d of a node, counts the visit and recomputes the node's OS(lambda) value.

    V = sum_d lambda^d * (sum of the kept values at d) / sum_d lambda^d * (number kept at d); the largest
    ceil((1 - rho) * count) values of each depth are kept. Only depth d changes, and its sum is taken afresh.
    """
    first = node * nodes.size - node * (node - 1) // 2  # the node's row in the triangle of cells
    height = nodes[node]["height"]
    if d > height:  # by one: a leaf hangs below a node that is already filed
        height = d
        nodes[node]["height"] = d
        filed_count[first + d] = 0
    start = first
    for e in range(d):
        start += filed_count[first + e]
    position = first + nodes[node]["visits"]  # one value is filed per visit
    stop = start + filed_count[first + d]
    while position > stop:  # make room behind the values of depth d ...
        filed[position] = filed[position - 1]
        position -= 1
    while position > start and filed[position - 1] < target:  # ... and keep them sorted, largest first
        filed[position] = filed[position - 1]
        position -= 1
    filed[position] = target
    filed_count[first + d] += 1
    nodes[node]["visits"] += 1

    total = 0.0
    for j in range(start, start + kept[filed_count[first + d]]):
        total += filed[j]
    kept_sum[first + d] = total

    numerator = 0.0
    denominator = 0.0
    for e in range(height + 1):
        numerator += weight[e] * kept_sum[first + e]
        denominator += weight[e] * kept[filed_count[first + e]]
    nodes[node]["value"] = numerator / denominator


# ------------------------------------------------------------------------------------------------- kernels: randomness


@njit(cache=True, nogil=True)
def _mix(x):
    """Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64-bit integers."""
    x = (x ^ (x >> _U30)) * _MIX_1
    x = (x ^ (x >> _U27)) * _MIX_2
    return x ^ (x >> _U31)


@njit(cache=True, nogil=True)
def _uniform(rng):
    """The next number in [0, 1) of a generator, a multiple of 2 ** -53."""
    rng[0] += _GOLDEN
    return float(_mix(rng[0]) >> _U11) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def _dirichlet(rng, alpha, legal, out):
    """Fills out (A,) with one symmetric Dirichlet draw over the legal actions, 0 elsewhere."""
    total = 0.0
    for a in range(out.size):
        out[a] = _gamma(rng, alpha) if legal[a] else 0.0
        total += out[a]
    for a in range(out.size):
        if total > 0.0:
            out[a] /= total
        else:  # every draw underflowed, which takes a minute alpha: no noise rather than a division by 0
            out[a] = 1.0 / legal.sum() if legal[a] else 0.0


@njit(cache=True, nogil=True)
def _gamma(rng, alpha):
    """A Gamma(alpha, 1) draw: Marsaglia and Tsang (ACM TOMS 26, 2000), for alpha < 1 through alpha + 1."""
    boost = 1.0
    if alpha < 1.0:
        boost = (1.0 - _uniform(rng)) ** (1.0 / alpha)
        alpha += 1.0
    d = alpha - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(rng)))
        x = radius * math.cos(2.0 * math.pi * _uniform(rng))  # Box and Muller
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(1.0 - _uniform(rng)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v
