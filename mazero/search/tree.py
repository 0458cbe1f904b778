"""The search tree: flat arrays for B roots and the numba kernels that grow them, one node per root and simulation.

Source: MAZero (arXiv 2405.11778), sections on sampled search and OS(lambda); the selection rule is MuZero's
(arXiv 1911.08265), priors as in Sampled MuZero (arXiv 2104.06303). `reference.py` says the same slowly and readably.
All kernels stand in this file, because numba's on-disk cache does not notice changes in another one.

Every kernel loops over roots; they share scratch memory and nothing else. Root b draws from its own generator
`tree.rng[b]`, so results do not depend on the other roots or on their order.
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
_LOG2_E = 1.4426950408889634
_LN_2_HIGH, _LN_2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # ln 2 in two parts, the first of 33 bits
_ROUND = 6755399441055744.0  # 1.5 * 2 ** 52: adding it rounds to an integer, which then stands in the low bits
_EXPONENT = np.int64(1023 - np.float64(_ROUND).view(np.int64))  # of 2 ** 0, less the bits of _ROUND
_MANTISSA = np.int64(52)  # bits below the exponent
_WORD = 63  # bits of a word of a key: int64 without its sign
_ADVANTAGE, _SHARE = 0, 1  # rows of `Tree.edge`
_MANY_DRAWS = 64  # up to here draws are ranked by comparing all pairs, which needs no jumps
_LANES = 16  # loops that the compiler turns into vector instructions take this many elements at a time

# error_model: no check for divisions by zero, of which there are none; the check would forbid vector instructions.
kernel = njit(cache=True, nogil=True, error_model="numpy")
helper = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)  # a call would count references to arrays


NODE = np.dtype(
    [
        ("visits", np.int32),  # 1 for a new node, then one more for each later simulation through it
        ("parent", np.int32),
        ("slot", np.int32),  # which of its parent's children it is
        ("depth", np.int32),  # 0 at the root
        ("num_children", np.int32),
        ("height", np.int32),  # largest relative depth at which a value is filed
        ("reward", np.float64),  # predicted on entering the node
        ("predicted", np.float64),  # the network's value v
        ("value", np.float64),  # OS(lambda) value V
    ],
    align=True,
)

LEVEL = np.dtype(
    [
        ("kept_sum", np.float64),  # sum of the values kept
        ("kept", np.int32),  # number of values kept
        ("count", np.int32),  # number of values filed
    ],
    align=True,
)


class Tree(NamedTuple):
    """B trees. C = min(K, A ** n) children per node; node i files values in cells `_row(N + 1, i)`, ... of a triangle
    of size P = (N + 1)(N + 2) / 2, because only later nodes can lie below it. Contents are defined up to the node
    counts only; a node without visited children has neither edges nor filed values yet: most nodes stay that way, and
    what they do not have needs no room in the processor's cache. Scratch is shared by all roots, also by parts of one
    `Tree` made with `[:b]`: threads need a tree each.

    A joint action is a key of W = ceil(n / G) words of G = floor(63 / bits) agents, the first agent in the highest
    bits, so that the order of keys is the lexicographic order of joint actions; `joint_actions` reads them.
    """

    nodes: np.ndarray  # (B, N + 1) NODE: what belongs together lies in one cache line
    advantage: np.ndarray  # (B, N + 1) float64: reward + discount * V - predicted value of the parent
    key: np.ndarray  # (B, N + 1, C, W) int64: joint action of each child, in ascending order
    prior: np.ndarray  # (B, N + 1, C) float64
    child: np.ndarray  # (B, N + 1, C) int32: node of each child, or UNVISITED
    edge: np.ndarray  # (B, N + 1, 2, C) float64: advantage of each child (0: not visited), prior / (1 + its visits)
    filed: np.ndarray  # (B, P) float64: values filed at a node, by relative depth, largest first within a depth
    level: np.ndarray  # (B, P) LEVEL: by relative depth
    beta_hat: np.ndarray  # (B, C) float64: of the root's children
    log_beta: np.ndarray  # (B, C) float64: of the root's children
    rng: np.ndarray  # (B,) uint64: state of each root's generator
    policy: np.ndarray  # (1, n, A) float64: scratch, policy of a root
    noisy: np.ndarray  # (1, n, A) float64: scratch, root policy with noise
    weight: np.ndarray  # (1, n * A, rounded up to _LANES) float64: scratch, sampling weights, cumulated for each agent
    limit: np.ndarray  # (1, n, A - 1, rounded up to _LANES) float64: scratch, where the next action begins, or infinity
    score: np.ndarray  # (1, K) float64: scratch, scores of the children of one node, or counts of draws
    draw: np.ndarray  # (1, W + 1, K) int64: scratch, words of the keys drawn, then draws by rank

    @property
    def packing(self) -> tuple[int, int]:
        """Bits of one agent's action in a key, and agents per word of a key."""
        bits = _bits(self.policy.shape[2])
        return bits, _WORD // bits

    def joint_actions(self, node: int) -> np.ndarray:
        """(B, C, n) int16: joint actions of a node's children."""
        bits, group = self.packing
        agent = np.arange(self.policy.shape[1])
        shift = bits * (group - 1 - agent % group)
        return (
            (self.key[:, node, :, agent // group] >> shift[:, None, None] & ((1 << bits) - 1))
            .transpose(1, 2, 0)
            .astype(np.int16)
        )


class Rule(NamedTuple):
    """Numbers of the selection rule."""

    min_max_floor: float
    tie_tolerance: float
    explore: np.ndarray  # (N + 1,) float64: factor of a prior at a node below which there were m visits


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
    """Memory for trees of the given size; `begin` makes it valid. The first b of each field (`[:b]`) serve b roots."""
    b, n, a, nodes = num_roots, n_agents, n_actions, config.num_simulations + 1
    k = config.num_sampled_actions
    c = min(k, n_actions**n_agents)  # python integers: no overflow with many agents
    words = -(-n // (_WORD // _bits(a)))
    cells = nodes * (nodes + 1) // 2
    return Tree(
        nodes=np.empty((b, nodes), NODE),
        advantage=np.empty((b, nodes), np.float64),
        key=np.empty((b, nodes, c, words), np.int64),
        prior=np.empty((b, nodes, c), np.float64),
        child=np.empty((b, nodes, c), np.int32),
        edge=np.empty((b, nodes, 2, c), np.float64),
        filed=np.empty((b, cells), np.float64),
        level=np.empty((b, cells), LEVEL),
        beta_hat=np.empty((b, c), np.float64),
        log_beta=np.empty((b, c), np.float64),
        rng=np.empty(b, np.uint64),
        policy=np.empty((1, n, a), np.float64),
        noisy=np.empty((1, n, a), np.float64),
        weight=np.zeros((1, _round_up(n * a, _LANES)), np.float64),
        limit=np.full((1, n, _round_up(a - 1, _LANES)), np.inf),
        score=np.empty((1, k), np.float64),
        draw=np.empty((1, words + 1, k), np.int64),
    )


def constants(config: SearchConfig) -> Constants:
    """The kernels' view of `config`."""
    n = config.num_simulations
    return Constants(
        rule=Rule(
            min_max_floor=float(config.min_max_floor),
            tie_tolerance=float(config.tie_tolerance),
            explore=np.array([exploration(m, config.pb_c_init, config.pb_c_base) for m in range(n + 1)]),
        ),
        num_sampled_actions=int(config.num_sampled_actions),
        discount=float(config.discount),
        dirichlet_alpha=float(config.dirichlet_alpha),
        noise_fraction=float(config.noise_fraction),
        sample_from_noisy_policy=bool(config.sample_from_noisy_policy),
        kept=kept_counts(config.effective_rho, n + 1),
        weight=config.effective_lam ** np.arange(n + 1, dtype=np.float64),
    )


def exploration(m: int, pb_c_init: float, pb_c_base: float) -> float:
    """Factor of a prior in the selection rule after m visits below a node: sqrt(m) * (c1 + ln((m + c2 + 1) / c2))."""
    return math.sqrt(m) * (pb_c_init + math.log((m + pb_c_base + 1.0) / pb_c_base))


def kept_counts(rho: float, most: int) -> np.ndarray:
    """(most + 1,) int64: max(1, ceil((1 - rho) * m)) for m = 0..most, free of float64's rounding of (1 - rho) * m."""
    counts = np.ceil((1.0 - rho) * np.arange(most + 1, dtype=np.float64) - COUNT_SLACK)
    return np.maximum(1, counts).astype(np.int64)


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step


def _bits(n_actions: int) -> int:
    """Bits of one agent's action in a key."""
    return max(1, int(n_actions - 1).bit_length())


# Python unpacks the tuples, because numba needs longer for a tuple than for the arrays in it. Kernels index whole
# arrays, because a view of one root's part would cost numba a count of references each time, an atomic operation.

# ---------------------------------------------------------------------------------------------------------- the rounds


def begin(
    tree: Tree,
    const: Constants,
    seeds: np.ndarray,
    outputs: np.ndarray,
    legal: np.ndarray,
    noise: bool,
    status: np.ndarray,
) -> int:
    """Makes every root: its children, priors and predicted value.

    Args:
      tree: the trees, uninitialised.
      const: numbers of the search.
      seeds: (B,) uint64.
      outputs: (B, 2 + n * A) float64 or float32: reward (ignored), value, policy logits.
      legal: (B, n, A) bool, at least one per agent.
      noise: bool, mix Dirichlet noise into the root policy.
      status: (B,) int64, filled: FINE or the first column of `outputs` that is not finite.
    Returns: number of roots that are not fine.
    """
    return _begin(
        tree.nodes, tree.advantage, tree.key, tree.prior, tree.child, tree.edge, tree.filed, tree.level,
        tree.beta_hat, tree.log_beta, tree.rng, tree.policy, tree.noisy, tree.weight, tree.limit, tree.score, tree.draw,
        const.num_sampled_actions, const.dirichlet_alpha, const.noise_fraction, const.sample_from_noisy_policy,
        _bits(tree.policy.shape[2]), seeds, outputs, legal, noise, status,
    )  # fmt: skip


def descend(tree: Tree, const: Constants, simulation: int, rows: np.ndarray, actions: np.ndarray) -> None:
    """Walks from every root to a joint action not yet taken and makes node `simulation` (1..N) of it.

    Args:
      tree: the trees, with nodes 0..simulation - 1.
      const: numbers of the search.
      simulation: int, the same for all roots.
      rows: (B,) int64, filled: parent * B + b, the row of its hidden state in an (N + 1, B) stack.
      actions: (B, n) int64, filled: the joint action.
    """
    rule = const.rule
    _descend(
        tree.nodes, tree.advantage, tree.key, tree.child, tree.edge, tree.rng, tree.score,
        rule.explore, rule.min_max_floor, rule.tie_tolerance, _bits(tree.policy.shape[2]), simulation, rows, actions,
    )  # fmt: skip


def extend(tree: Tree, const: Constants, simulation: int, outputs: np.ndarray, status: np.ndarray) -> int:
    """Gives node `simulation` of every tree its network outputs and children, and backs its value up to the root.

    Args:
      tree: the trees, after `descend`.
      const: numbers of the search.
      simulation: int, as for `descend`.
      outputs: (B, 2 + n * A) float64 or float32: reward, value, policy logits.
      status: (B,) int64, filled as by `begin`.
    Returns: number of roots that are not fine.
    """
    return _extend(
        tree.nodes, tree.advantage, tree.key, tree.prior, tree.child, tree.edge, tree.filed, tree.level, tree.rng,
        tree.weight, tree.limit, tree.score, tree.draw, const.kept, const.weight, const.num_sampled_actions,
        const.discount, tree.policy.shape[2], _bits(tree.policy.shape[2]), simulation, outputs, status,
    )  # fmt: skip


@kernel
def _begin(
    nodes, advantage, key, prior, child, edge, filed, level, beta_hat, log_beta, rng, policy, noisy, weight, limit,
    score, draw, num_draws, alpha, fraction, sample_from_noisy_policy, bits, seeds, outputs, legal, noise, status,
):  # fmt: skip
    bad = 0
    n, num_actions = policy.shape[1], policy.shape[2]
    for b in range(outputs.shape[0]):
        rng[b] = _mix(seeds[b] + _GOLDEN)
        status[b] = _first_bad(outputs, b)
        if status[b] != FINE:
            bad += 1
        else:
            _softmax(outputs, b, policy[0])
            _mask(policy[0], legal[b])
            _add_noise(policy[0], noisy[0], legal[b], rng, b, noise, alpha, fraction)
            beta = noisy[0] if sample_from_noisy_policy else policy[0]
            for i in range(n):
                for a in range(num_actions):
                    weight[0, i * num_actions + a] = beta[i, a]
            count = _draw_children(
                b, ROOT, key, prior, child, weight, limit, score, draw, rng, num_draws, num_actions, bits
            )
            _root_priors(b, key, prior, beta_hat, log_beta, noisy[0], beta, bits, count)
            nodes[b, ROOT]["parent"] = UNVISITED
            nodes[b, ROOT]["slot"] = UNVISITED
            nodes[b, ROOT]["depth"] = 0
            advantage[b, ROOT] = 0.0
            _new_node(b, ROOT, nodes, count, 0.0, np.float64(outputs[b, 1]))
            _open(b, ROOT, nodes, prior, edge, filed, level)
    return bad


@kernel
def _descend(
    nodes, advantage, key, child, edge, rng, score, explore, min_max_floor, tie_tolerance, bits, simulation, rows,
    actions,
):  # fmt: skip
    num_roots, n = actions.shape
    group = _WORD // bits
    last = (1 << bits) - 1
    for b in range(num_roots):
        node = ROOT
        depth = 1
        visits = nodes[b, ROOT]["visits"]
        if visits <= nodes[b, ROOT]["num_children"]:
            c = visits - 1  # every child of the root once, in order
        else:
            low, high = _advantage_range(b, advantage, simulation)
            scale = max(min_max_floor, high - low)
            c = _best_child(b, node, nodes, edge, score, rng, explore, tie_tolerance, low, scale)
            while child[b, node, c] != UNVISITED:
                node = child[b, node, c]
                depth += 1
                c = _best_child(b, node, nodes, edge, score, rng, explore, tie_tolerance, low, scale)
        child[b, node, c] = simulation
        nodes[b, simulation]["parent"] = node
        nodes[b, simulation]["slot"] = c
        nodes[b, simulation]["depth"] = depth
        rows[b] = node * num_roots + b
        for i in range(n):
            actions[b, i] = key[b, node, c, i // group] >> (bits * (group - 1 - i % group)) & last


@kernel
def _extend(
    nodes, advantage, key, prior, child, edge, filed, level, rng, weight, limit, score, draw, kept, depth_weight,
    num_draws, discount, num_actions, bits, simulation, outputs, status,
):  # fmt: skip
    bad = 0
    for b in range(outputs.shape[0]):
        status[b] = _first_bad(outputs, b)
        if status[b] != FINE:
            bad += 1
        else:
            _weigh(outputs, b, weight, limit.shape[1], num_actions)
            # Drawn from the policy itself, so that pi * beta_hat / beta is beta_hat.
            count = _draw_children(
                b, simulation, key, prior, child, weight, limit, score, draw, rng, num_draws, num_actions, bits
            )
            _new_node(b, simulation, nodes, count, np.float64(outputs[b, 0]), np.float64(outputs[b, 1]))
            _back_up(b, simulation, nodes, advantage, prior, edge, filed, level, kept, depth_weight, discount)
    return bad


# ------------------------------------------------------------------------------------------------- kernels: selection


@helper
def _advantage_range(b, advantage, end):
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
def _best_child(b, node, nodes, edge, score, rng, explore, tie_tolerance, low, scale):
    """argmax_c  clip(norm(adv(c)), 0, 1) + P(c) * sqrt(m) / (1 + n_c) * (c1 + ln((m + c2 + 1) / c2)),  m = sum_b n_b.

    Before the first visit of a child m is 0 and all children tie, whatever their priors.
    """
    count = nodes[b, node]["num_children"]
    m = nodes[b, node]["visits"] - 1
    if count == 1:
        return 0
    if m == 0:
        return int(_uniform(rng, b) * count)
    factor = explore[m]
    for c in range(count):
        exploit = (edge[b, node, _ADVANTAGE, c] - low) / scale
        exploit = exploit if exploit > 0.0 else 0.0
        exploit = exploit if exploit < 1.0 else 1.0
        score[0, c] = exploit + factor * edge[b, node, _SHARE, c]
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
        skip = int(_uniform(rng, b) * ties)
        for c in range(count):
            if score[0, c] >= best - tie_tolerance:
                if skip == 0:
                    return c
                skip -= 1
    return last


# ------------------------------------------------------------------------------------------------- kernels: expansion


@helper
def _first_bad(outputs, b):
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
def _softmax(outputs, b, policy):
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
def _weigh(outputs, b, weight, n, num_actions):
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
        weight[0, j] = _exp(weight[0, j])


@helper
def _exp(x):
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
def _draw_children(b, node, key, prior, child, weight, limit, score, draw, rng, num_draws, num_actions, bits):
    """Draws joint actions, merges duplicates and stores the different ones in lexicographic order, prior = count / K.

    Number k * n + i of the stream decides agent i in draw k: splitmix64 can be entered anywhere, so that one number
    need not wait for the one before.

    Args:
      b, node: the node whose keys, priors and children are filled.
      key, prior, child, rng: of the trees.
      weight: (1, n * A or more) float64, weights of the actions; cumulated on return.
      limit, score, draw: scratch, as in `Tree`.
      num_draws, num_actions, bits: K, A, bits of an action in a key.
    Returns: number of different joint actions.
    """
    words = key.shape[3]
    group = _WORD // bits
    slot = words  # row of `draw`: who has this rank
    n, width = limit.shape[1], limit.shape[2]
    for i in range(n):
        total = 0.0
        for a in range(num_actions):
            total += weight[0, i * num_actions + a]
            weight[0, i * num_actions + a] = total
        for a in range(num_actions - 1):
            x = weight[0, i * num_actions + a]
            limit[0, i, a] = x if x < total else math.inf  # no action behind the last one that is possible
    start = rng[b]
    for k in range(num_draws):
        for w in range(words):
            word = 0
            for i in range(w * group, min(n, (w + 1) * group)):
                u = _share(start + _GOLDEN * np.uint64(k * n + i + 1)) * weight[0, (i + 1) * num_actions - 1]
                action = 0
                for a in range(width):  # without a break: random jumps cost more than the comparisons
                    action += u >= limit[0, i, a]
                word = word << bits | action
            draw[0, w, k] = word << (bits * max(0, (w + 1) * group - n))
    rng[b] = start + _GOLDEN * np.uint64(num_draws * n)

    count = 0
    if num_draws <= _MANY_DRAWS:
        for k in range(num_draws):
            score[0, k] = 0.0
        for k in range(num_draws):
            rank = _rank(draw, k, words, num_draws)
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
def _rank(draw, k, words, num_draws):
    """Number of draws whose key is smaller than that of draw k."""
    rank = 0
    if words == 1:
        word = draw[0, 0, k]
        for other in range(num_draws):
            rank += draw[0, 0, other] < word
    else:
        for other in range(num_draws):
            w = 0
            while w < words - 1 and draw[0, w, other] == draw[0, w, k]:
                w += 1
            rank += draw[0, w, other] < draw[0, w, k]
    return rank


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


@helper
def _add_noise(policy, noisy, legal, rng, b, noise, alpha, fraction):
    """Fills noisy (n, A) with the policy, mixed with one Dirichlet draw per agent over its legal actions."""
    for i in range(policy.shape[0]):
        if noise:
            _dirichlet(rng, b, alpha, legal[i], noisy[i])
        for a in range(policy.shape[1]):
            if noise:
                noisy[i, a] = (1.0 - fraction) * policy[i, a] + fraction * noisy[i, a]
            else:
                noisy[i, a] = policy[i, a]


@helper
def _root_priors(b, key, prior, beta_hat, log_beta, noisy, beta, bits, count):
    """prior (C,) of the root: beta_hat on entry, beta_hat * pi~ / beta on return, a product over agents of ratios."""
    group = _WORD // bits
    for c in range(count):
        beta_hat[b, c] = prior[b, ROOT, c]
        log_beta[b, c] = 0.0
        for i in range(beta.shape[0]):
            a = key[b, ROOT, c, i // group] >> (bits * (group - 1 - i % group)) & ((1 << bits) - 1)
            prior[b, ROOT, c] *= noisy[i, a] / beta[i, a]
            log_beta[b, c] += math.log(beta[i, a])


# ---------------------------------------------------------------------------------------------------- kernels: backup


@helper
def _new_node(b, node, nodes, num_children, reward, predicted):
    """Fills the record of a node whose only value is its own prediction; parent, slot and depth stand there already."""
    nodes[b, node]["visits"] = 1
    nodes[b, node]["num_children"] = num_children
    nodes[b, node]["height"] = 0
    nodes[b, node]["reward"] = reward
    nodes[b, node]["predicted"] = predicted
    nodes[b, node]["value"] = predicted


@helper
def _row(num_nodes, node):
    """A node's first cell in the triangle."""
    return node * num_nodes - node * (node - 1) // 2


@helper
def _open(b, node, nodes, prior, edge, filed, level):
    """Gives a node edges to its children and files its own predicted value."""
    for c in range(nodes[b, node]["num_children"]):
        edge[b, node, _ADVANTAGE, c] = 0.0
        edge[b, node, _SHARE, c] = prior[b, node, c]
    first = _row(nodes.shape[1], node)
    filed[b, first] = nodes[b, node]["predicted"]
    level[b, first]["kept_sum"] = nodes[b, node]["predicted"]
    level[b, first]["kept"] = 1
    level[b, first]["count"] = 1


@helper
def _back_up(b, leaf, nodes, advantage, prior, edge, filed, level, kept, depth_weight, discount):
    """Files the leaf's bootstrapped return on the way to the root; brings values and advantages there up to date.

    The node d levels above gets  sum_{k<d} gamma^k r_k + gamma^d v(leaf)  under relative depth d; d = 0 is the leaf.
    """
    node = leaf
    target = nodes[b, leaf]["predicted"]
    d = 0
    while node != ROOT:
        parent, slot = nodes[b, node]["parent"], nodes[b, node]["slot"]
        reward = nodes[b, node]["reward"]
        gain = reward + discount * nodes[b, node]["value"] - nodes[b, parent]["predicted"]
        advantage[b, node] = gain
        if nodes[b, parent]["visits"] == 1 and parent != ROOT:
            _open(b, parent, nodes, prior, edge, filed, level)
        edge[b, parent, _ADVANTAGE, slot] = gain
        edge[b, parent, _SHARE, slot] = prior[b, parent, slot] / (1 + nodes[b, node]["visits"])
        target = reward + discount * target
        d += 1
        _file(b, parent, nodes, filed, level, kept, depth_weight, d, target)
        node = parent


@helper
def _file(b, node, nodes, filed, level, kept, depth_weight, d, target):
    """Files one value under relative depth d of a node, counts the visit and recomputes the node's OS(lambda) value.

    V = sum_d lambda^d * (sum of the kept values at d) / sum_d lambda^d * (number kept at d); the largest
    ceil((1 - rho) * count) values of each depth are kept. Only depth d changes, and its sum is taken afresh.
    """
    first = _row(nodes.shape[1], node)
    height = nodes[b, node]["height"]
    if d > height:  # by one: a leaf hangs below a node that is already filed
        height = d
        nodes[b, node]["height"] = d
        level[b, first + d]["count"] = 0
    visits = nodes[b, node]["visits"]  # one value is filed per visit
    position = first + visits
    stop = position
    for e in range(d + 1, height + 1):  # most values come from far below: fewer depths lie there than above
        stop -= level[b, first + e]["count"]
    count = level[b, first + d]["count"]
    start = stop - count
    while position > stop:  # make room behind the values of depth d ...
        filed[b, position] = filed[b, position - 1]
        position -= 1
    while position > start and filed[b, position - 1] < target:  # ... and keep them sorted, largest first
        filed[b, position] = filed[b, position - 1]
        position -= 1
    filed[b, position] = target
    nodes[b, node]["visits"] = visits + 1
    level[b, first + d]["count"] = count + 1
    keep = kept[count + 1]
    level[b, first + d]["kept"] = keep
    total = 0.0
    for j in range(start, start + keep):
        total += filed[b, j]
    level[b, first + d]["kept_sum"] = total

    numerator = 0.0
    denominator = 0.0
    for e in range(height + 1):
        numerator += depth_weight[e] * level[b, first + e]["kept_sum"]
        denominator += depth_weight[e] * level[b, first + e]["kept"]
    nodes[b, node]["value"] = numerator / denominator


# ------------------------------------------------------------------------------------------------- kernels: randomness


@helper
def _mix(x):
    """Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64-bit integers."""
    x = (x ^ (x >> _U30)) * _MIX_1
    x = (x ^ (x >> _U27)) * _MIX_2
    return x ^ (x >> _U31)


@helper
def _share(state):
    """The number in [0, 1) of a generator in this state, a multiple of 2 ** -53."""
    return np.float64(np.int64(_mix(state) >> _U11)) * (1.0 / 9007199254740992.0)


@helper
def _uniform(rng, b):
    """The next number of generator b, rng (B,)."""
    rng[b] += _GOLDEN
    return _share(rng[b])


@helper
def _dirichlet(rng, b, alpha, legal, out):
    """Fills out (A,) with one symmetric Dirichlet draw over the legal actions, 0 elsewhere."""
    total = 0.0
    for a in range(out.size):
        out[a] = _gamma(rng, b, alpha) if legal[a] else 0.0
        total += out[a]
    for a in range(out.size):
        if total > 0.0:
            out[a] /= total
        else:  # every draw underflowed, which takes a minute alpha: no noise rather than a division by 0
            out[a] = 1.0 / legal.sum() if legal[a] else 0.0


@helper
def _gamma(rng, b, alpha):
    """A Gamma(alpha, 1) draw: Marsaglia and Tsang (ACM TOMS 26, 2000), for alpha < 1 through alpha + 1."""
    boost = 1.0
    if alpha < 1.0:
        boost = (1.0 - _uniform(rng, b)) ** (1.0 / alpha)
        alpha += 1.0
    d = alpha - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(rng, b)))
        x = radius * math.cos(2.0 * math.pi * _uniform(rng, b))  # Box and Muller
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(1.0 - _uniform(rng, b)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v
