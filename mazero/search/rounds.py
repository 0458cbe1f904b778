"""The three rounds of a search, each for all roots: begin, then descend and extend once per simulation.

Every kernel loops over roots; root b draws from its own generator `tree.rng[b]`, so results do not depend on the other
roots or on their order. `reference.py` says the same slowly and readably.
"""

from collections.abc import Callable
from functools import cache, partial
from types import FunctionType
from typing import Any

import numpy as np

from mazero.search import rules
from mazero.search.backup import back_up, new_node, open_node
from mazero.search.draws import GOLDEN, mix
from mazero.search.expand import add_noise, draw_children, first_bad, mask, root_ratios, softmax, weigh
from mazero.search.jit import kernel, kernel_of_others
from mazero.search.select import advantage_range, best_child
from mazero.search.tree import FINE, ROOT, UNVISITED, WORD, Constants, Tree, bits_of

# Python unpacks the tuples, because numba needs longer for a tuple than for the arrays in it.


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
      noise: bool, draw the root's joint actions from a mixture of its policy and Dirichlet noise.
      status: (B,) int64, filled: FINE or the first column of `outputs` that is not finite.
    Returns: number of roots that are not fine.
    """
    bad: int = _with_proposal(_begin, const.proposal)(
        tree.nodes, tree.advantage, tree.key, tree.prior, tree.child, tree.edge, tree.filed, tree.level,
        tree.importance, tree.log_beta, tree.rng, tree.policy, tree.beta, tree.weight, tree.score,
        tree.draw, const.num_sampled_actions, const.dirichlet_alpha, const.noise_fraction,
        bits_of(tree.policy.shape[2]), seeds, outputs, legal, noise, status,
    )  # fmt: skip
    return bad


def make_descend(tree: Tree, const: Constants, rows: np.ndarray, actions: np.ndarray) -> Callable[[int], None]:
    """A function of the simulation t = 1..N: from every root to a joint action not yet taken, of which it makes node t.

    What does not change from one simulation to the next is bound once: few roots are searched in less time than it
    takes to look up two dozen arrays.

    Args:
      tree: the trees; when it is called with nodes 0..t - 1.
      const: numbers of the search.
      rows: (B,) int64, filled by each call: parent * B + b, the row of its hidden state in an (N + 1, B) stack.
      actions: (B, n) int64, filled by each call: the joint action.
    """
    rule = const.rule
    return partial(
        _with_score(_descend, const.score),
        tree.nodes, tree.advantage, tree.key, tree.prior, tree.child, tree.edge, tree.rng, tree.score,
        rule.explore, rule.min_max_floor, rule.tie_tolerance, bits_of(tree.policy.shape[2]), rows, actions,
    )  # fmt: skip


def make_extend(tree: Tree, const: Constants, outputs: np.ndarray, status: np.ndarray) -> Callable[[int], int]:
    """A function of the simulation t = 1..N: gives node t of every tree its network outputs and children, and backs
    its value up to the root. It returns the number of roots that are not fine.

    Args:
      tree: the trees; when it is called after `make_descend`'s function.
      const: numbers of the search.
      outputs: (B, 2 + n * A) float64 or float32: reward, value, policy logits, anew for each call.
      status: (B,) int64, filled by each call as by `begin`.
    """
    n, num_actions = tree.policy.shape[1:]
    return partial(
        _with_proposal(_extend, const.proposal),
        tree.nodes, tree.advantage, tree.key, tree.prior, tree.child, tree.edge, tree.filed, tree.level, tree.rng,
        tree.weight, tree.score, tree.draw, const.kept, const.weight, n, const.num_sampled_actions, const.discount,
        num_actions, bits_of(num_actions), outputs, status,
    )  # fmt: skip


@cache
def _with_proposal(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return _bound(function, name, propose=rules.find(name, rules.PROPOSALS))


@cache
def _with_score(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    return _bound(function, name, choose=rules.find(name, rules.SCORES))


def _bound(function: Callable[..., Any], name: str, **rule: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel: the function with a rule of the given name for a global of it.

    It is a copy with globals and a name of its own. So numba inlines the rule, which it does not do with functions that
    are arguments, and finds the copy on disk next time, which it does not with a closure.
    """
    copy = FunctionType(function.__code__, globals() | rule, function.__name__)
    copy.__qualname__ = f"{function.__name__}_{name}"
    compiled: Callable[..., Any] = kernel if all(map(rules.is_ours, rule.values())) else kernel_of_others
    result: Callable[..., Any] = compiled(copy)
    return result


propose, choose = draw_children, best_child  # for readers; `_bound` gives each kernel its rule


def _begin(
    nodes, advantage, key, prior, child, edge, filed, level, importance, log_beta, rng, policy, beta, weight, score,
    draw, num_draws, alpha, fraction, bits, seeds, outputs, legal, noise, status,
):  # fmt: skip
    bad = 0
    n, num_actions = policy.shape[1], policy.shape[2]
    for b in range(outputs.shape[0]):
        rng[b] = mix(seeds[b] + GOLDEN)
        status[b] = first_bad(outputs, b)
        if status[b] != FINE:
            bad += 1
        else:
            softmax(outputs, b, policy[0])
            mask(policy[0], legal[b])
            if noise:
                add_noise(policy[0], beta[0], legal[b], rng, b, alpha, fraction)
            else:
                beta[0] = policy[0]
            for i in range(n):
                for a in range(num_actions):
                    weight[0, i * num_actions + a] = beta[0, i, a]
            count = propose(b, ROOT, key, prior, child, weight, score, draw, rng, n, num_draws, num_actions, bits)
            root_ratios(b, key, prior, importance, log_beta, policy[0], beta[0], bits, count)
            nodes[b, ROOT]["parent"] = UNVISITED
            nodes[b, ROOT]["slot"] = UNVISITED
            nodes[b, ROOT]["depth"] = 0
            advantage[b, ROOT] = 0.0
            new_node(b, ROOT, nodes, count, 0.0, np.float64(outputs[b, 1]))
            open_node(b, ROOT, nodes, prior, edge, filed, level)
    return bad


def _descend(
    nodes, advantage, key, prior, child, edge, rng, score, explore, min_max_floor, tie_tolerance, bits, rows,
    actions, simulation,
):  # fmt: skip
    num_roots, n = actions.shape
    group = WORD // bits
    last = (1 << bits) - 1
    for b in range(num_roots):
        node = ROOT
        depth = 1
        visits = nodes[b, ROOT]["visits"]
        if visits <= nodes[b, ROOT]["num_children"]:
            c = visits - 1  # every child of the root once, in order
        else:
            low, high = advantage_range(b, advantage, simulation)
            scale = max(min_max_floor, high - low)
            c = choose(b, node, nodes, key, prior, child, edge, score, rng, explore, tie_tolerance, low, scale)
            while child[b, node, c] != UNVISITED:
                node = child[b, node, c]
                depth += 1
                c = choose(b, node, nodes, key, prior, child, edge, score, rng, explore, tie_tolerance, low, scale)
        child[b, node, c] = simulation
        nodes[b, simulation]["parent"] = node
        nodes[b, simulation]["slot"] = c
        nodes[b, simulation]["depth"] = depth
        rows[b] = node * num_roots + b
        for i in range(n):
            actions[b, i] = key[b, node, c, i // group] >> (bits * (group - 1 - i % group)) & last


def _extend(
    nodes, advantage, key, prior, child, edge, filed, level, rng, weight, score, draw, kept, depth_weight, n,
    num_draws, discount, num_actions, bits, outputs, status, simulation,
):  # fmt: skip
    bad = 0
    for b in range(outputs.shape[0]):
        status[b] = first_bad(outputs, b)
        if status[b] != FINE:
            bad += 1
        else:
            weigh(outputs, b, weight, n, num_actions)
            count = propose(b, simulation, key, prior, child, weight, score, draw, rng, n, num_draws, num_actions, bits)
            new_node(b, simulation, nodes, count, np.float64(outputs[b, 0]), np.float64(outputs[b, 1]))
            back_up(b, simulation, nodes, advantage, prior, edge, filed, level, kept, depth_weight, discount)
    return bad
