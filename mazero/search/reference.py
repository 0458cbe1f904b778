"""The search once more: one root at a time, objects and lists, straight from the definitions. For tests and readers.

It draws the same random numbers in the same order as the kernels, so that both build the same trees from
the same seeds; nothing else is shared. Some hundred times slower. Source: MAZero (arXiv 2405.11778).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from mazero.search.base import RecurrentFn, Root, SearchConfig, SearchResult

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class SplitMix:
    """The splitmix64 generator (Steele, Lea, Flood, OOPSLA 2014), started at the hash of a seed."""

    def __init__(self, seed: int) -> None:
        self.state = self._mix((seed + _GOLDEN) & _MASK)

    @staticmethod
    def _mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return x ^ (x >> 31)

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        self.state = (self.state + _GOLDEN) & _MASK
        return (self._mix(self.state) >> 11) / 2**53

    def gamma(self, alpha: float) -> float:
        """Gamma(alpha, 1): Marsaglia and Tsang (2000), for alpha < 1 through Gamma(alpha + 1)."""
        boost = 1.0
        if alpha < 1.0:
            boost = (1.0 - self.uniform()) ** (1.0 / alpha)
            alpha += 1.0
        d = alpha - 1.0 / 3.0
        while True:
            radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
            x = radius * math.cos(2.0 * math.pi * self.uniform())
            v = (1.0 + x / math.sqrt(9.0 * d)) ** 3
            if v > 0.0 and math.log(1.0 - self.uniform()) < 0.5 * x * x + d - d * v + d * math.log(v):
                return boost * d * v

    def dirichlet(self, alpha: float, size: int) -> list[float]:
        """One symmetric draw; uniform if all draws underflow."""
        draws = [self.gamma(alpha) for _ in range(size)]
        if sum(draws) == 0.0:
            draws = [1.0] * size
        return [x / sum(draws) for x in draws]

    def categorical(self, probabilities: list[float]) -> int:
        """The first index whose cumulated probability exceeds a uniform share of the total."""
        cumulated = [sum(probabilities[: a + 1]) for a in range(len(probabilities))]
        u = self.uniform() * cumulated[-1]
        for a, limit in enumerate(cumulated):
            if u < limit:
                return a
        return max(a for a, p in enumerate(probabilities) if p > 0.0)  # u was rounded up to the total


JointAction = tuple[int, ...]
Proposal = Callable[[list[list[float]], int, SplitMix], dict[JointAction, float]]


@dataclass(eq=False)
class Node:
    """A state of the tree, with its children by joint action in lexicographic order (None: not visited yet)."""

    reward: float
    predicted: float
    hidden: torch.Tensor  # (1, n, H)
    index: int  # number of the simulation that made it, 0 at the root
    visits: int = 1
    prior: dict[JointAction, float] = field(default_factory=dict)
    importance: dict[JointAction, float] = field(default_factory=dict)
    log_beta: dict[JointAction, float] = field(default_factory=dict)
    children: dict[JointAction, "Node | None"] = field(default_factory=dict)
    filed: dict[int, list[float]] = field(default_factory=dict)  # relative depth -> backed-up values

    def value(self, config: SearchConfig) -> float:
        """V under OS(lambda)."""
        return os_lambda(self.filed, config.effective_rho, config.effective_lam)


def os_lambda(filed_by_depth: dict[int, list[float]], rho: float, lam: float) -> float:
    """V = sum_d lambda^d sum(kept at d) / sum_d lambda^d |kept at d|, the largest ceil((1 - rho) count) kept, exactly.

    Args:
      filed_by_depth: relative depth -> values, none of them empty.
      rho: share thrown away, in [0, 1), read as the decimal number it was written as.
      lam: weight of one more depth.
    """
    numerator = denominator = 0.0
    for d, values in filed_by_depth.items():
        keep = max(1, math.ceil((1 - Fraction(str(rho))) * len(values)))
        numerator += lam**d * sum(sorted(values, reverse=True)[:keep])
        denominator += lam**d * keep
    return numerator / denominator


def reference_search(
    recurrent_fn: RecurrentFn,
    root: Root,
    config: SearchConfig,
    seeds: np.ndarray,
    *,
    noise: bool,
    propose: Proposal | None = None,
) -> SearchResult:
    """As `search.search`, slowly: the same arguments and the same result.

    `propose` says readably what a rival `config.proposal` does: from the policies of a node's agents (n, A), each with
    sum 1, K and a generator to its joint actions with their priors.
    """
    trees = reference_trees(recurrent_fn, root, config, seeds, noise=noise, propose=propose)
    k, n = config.num_sampled_actions, root.policy_logits.shape[1]

    def table(of_child: Callable[[Node, JointAction, Node | None], float], dtype: type = np.float64) -> np.ndarray:
        out: np.ndarray = np.zeros((len(trees), k), dtype)
        for b, tree in enumerate(trees):
            for c, (action, child) in enumerate(tree.children.items()):
                out[b, c] = of_child(tree, action, child)
        return out

    joint_actions = np.zeros((len(trees), k, n), np.int16)
    for b, tree in enumerate(trees):
        joint_actions[b, : len(tree.children)] = list(tree.children)
    return SearchResult(
        value=np.array([tree.value(config) for tree in trees]),
        predicted_value=np.array([tree.predicted for tree in trees]),
        num_children=np.array([len(tree.children) for tree in trees], np.int32),
        joint_actions=joint_actions,
        visit_counts=table(lambda tree, action, child: child.visits if child else 0, np.int32),
        q=table(lambda tree, action, child: _q(child, config) if child else tree.predicted),
        prior=table(lambda tree, action, child: tree.prior[action]),
        importance=table(lambda tree, action, child: tree.importance[action]),
        log_beta=table(lambda tree, action, child: tree.log_beta[action]),
        reward=table(lambda tree, action, child: child.reward if child else 0.0),
        child_value=table(lambda tree, action, child: child.predicted if child else 0.0),
    )


def reference_trees(
    recurrent_fn: RecurrentFn,
    root: Root,
    config: SearchConfig,
    seeds: np.ndarray,
    *,
    noise: bool,
    propose: Proposal | None = None,
) -> list[Node]:
    """The finished trees of `reference_search`, one root node each."""
    if (config.proposal != "policy" and propose is None) or config.score != "puct":
        raise ValueError(
            f"the reference knows proposal policy and score puct, got {config.proposal} and {config.score}: "
            "a readable form of another proposal can be given as `propose`"
        )
    b, n, a = root.check()
    config = config.for_team(n)
    available = np.ones((b, n, a), bool) if root.available_actions is None else root.available_actions
    with torch.inference_mode():
        return [
            _grow(
                recurrent_fn,
                root,
                i,
                config,
                SplitMix(int(seeds[i])),
                available[i].tolist(),
                noise,
                propose or with_replacement,
            )
            for i in range(b)
        ]


def _grow(
    recurrent_fn: RecurrentFn,
    roots: Root,
    b: int,
    config: SearchConfig,
    rng: SplitMix,
    legal: list[list[bool]],
    noise: bool,
    propose: Proposal,
) -> Node:
    """One tree: N times selection, expansion and backup."""
    root = Node(0.0, float(roots.value[b]), roots.hidden[b : b + 1], index=0)
    root.filed[0] = [root.predicted]
    policy = [_masked(p, ok) for p, ok in zip(_softmax(roots.policy_logits[b]), legal, strict=True)]
    beta = policy
    if noise:
        fraction = config.noise_fraction
        beta = []
        for p, ok in zip(policy, legal, strict=True):
            draw = _masked(rng.dirichlet(config.dirichlet_alpha, len(p)), ok)
            beta.append([(1.0 - fraction) * x + fraction * y for x, y in zip(p, draw, strict=True)])
    _expand(root, policy, beta, propose(beta, config.num_sampled_actions, rng))

    for simulation in range(1, config.num_simulations + 1):
        path, action = _select(root, config, rng)
        parent = path[-1]
        hidden, reward, value, logits = recurrent_fn(parent.hidden, torch.tensor([action], device=parent.hidden.device))
        leaf = Node(float(reward[0]), float(value[0]), hidden.clone(), index=simulation)
        leaf.filed[0] = [leaf.predicted]
        policy = _softmax(logits[0])
        _expand(leaf, policy, policy, propose(policy, config.num_sampled_actions, rng))
        parent.children[action] = leaf
        _back_up([*path, leaf], config.discount)
    return root


def with_replacement(beta: list[list[float]], k: int, rng: SplitMix) -> dict[JointAction, float]:
    """K joint actions from beta; duplicates merge; prior = beta_hat = count / K."""
    draws = [tuple(rng.categorical(p) for p in beta) for _ in range(k)]
    return {action: draws.count(action) / k for action in draws}


def _expand(node: Node, policy: list[list[float]], beta: list[list[float]], proposed: dict[JointAction, float]) -> None:
    """Children in lexicographic order; importance = prior * pi / beta."""
    for action, prior in sorted(proposed.items()):
        node.children[action] = None
        node.prior[action] = prior
        node.log_beta[action] = sum(math.log(beta[i][a]) for i, a in enumerate(action))
        node.importance[action] = prior * math.prod(policy[i][a] / beta[i][a] for i, a in enumerate(action))


def _select(root: Node, config: SearchConfig, rng: SplitMix) -> tuple[list[Node], JointAction]:
    """The path from the root to a node, and the joint action to take there, which is new."""
    if root.visits <= len(root.children):
        return [root], list(root.children)[root.visits - 1]
    path = [root]
    advantages = list(_advantages(root, config))
    while True:
        action = _best(path[-1], advantages, config, rng)
        child = path[-1].children[action]
        if child is None:
            return path, action
        path.append(child)


def _best(node: Node, advantages: list[float], config: SearchConfig, rng: SplitMix) -> JointAction:
    """Upper confidence bound with min-max normalised advantages; ties at random."""
    low, high = min(advantages), max(advantages)
    m = node.visits - 1
    c = config.pb_c_init + math.log((m + config.pb_c_base + 1.0) / config.pb_c_base)
    score = {}
    for action, child in node.children.items():
        advantage = _q(child, config) - node.predicted if child else 0.0
        exploit = min(1.0, max(0.0, (advantage - low) / max(config.min_max_floor, high - low)))
        score[action] = exploit + node.prior[action] * math.sqrt(m) / (1 + (child.visits if child else 0)) * c
    best = [action for action in score if score[action] >= max(score.values()) - config.tie_tolerance]
    return best[int(rng.uniform() * len(best))] if len(best) > 1 else best[0]


def _back_up(path: list[Node], discount: float) -> None:
    """Files the leaf's bootstrapped return at every node above it, by the distance between the two."""
    target = path[-1].predicted
    for d in range(1, len(path)):
        target = path[-d].reward + discount * target
        node = path[-d - 1]
        node.visits += 1
        node.filed.setdefault(d, []).append(target)


def _q(child: Node, config: SearchConfig) -> float:
    return child.reward + config.discount * child.value(config)


def _advantages(node: Node, config: SearchConfig) -> Iterator[float]:
    """Current advantages of all visited nodes below `node`."""
    for child in node.children.values():
        if child is not None:
            yield _q(child, config) - node.predicted
            yield from _advantages(child, config)


def _softmax(logits: torch.Tensor) -> list[list[float]]:
    rows = logits.double().tolist()
    weights = [[math.exp(x - max(row)) for x in row] for row in rows]
    return [[w / sum(row) for w in row] for row in weights]


def _masked(p: list[float], legal: list[bool]) -> list[float]:
    """Legal actions only, 1e-4 added to each, then normalised."""
    p = [x + 1e-4 if ok else 0.0 for x, ok in zip(p, legal, strict=True)]
    return [x / sum(p) for x in p]
