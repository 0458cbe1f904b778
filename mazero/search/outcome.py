"""From trees to a `SearchResult`: one pass over the roots' children."""

import numpy as np

from mazero.search.base import SearchConfig, SearchResult
from mazero.search.jit import kernel
from mazero.search.tree import ROOT, UNVISITED, Tree


def empty_result(num_roots: int, n_agents: int, config: SearchConfig) -> SearchResult:
    """A result for B roots without children; `read` fills parts of it."""
    b, k = num_roots, config.num_sampled_actions
    of_children = {
        name: np.zeros((b, k)) for name in ("q", "prior", "importance", "log_beta", "reward", "child_value")
    }  # fmt: skip
    return SearchResult(
        value=np.zeros(b),
        predicted_value=np.zeros(b),
        num_children=np.zeros(b, np.int32),
        joint_actions=np.zeros((b, k, n_agents), np.int16),
        visit_counts=np.zeros((b, k), np.int32),
        **of_children,
    )


def read(tree: Tree, discount: float, result: SearchResult, first: int) -> None:
    """Writes the statistics of b searched trees into rows first .. first + b of an empty result."""
    bits, group = tree.packing
    part = slice(first, first + len(tree.nodes))
    _read(
        tree.nodes, tree.key, tree.prior, tree.child, tree.importance, tree.log_beta, discount, bits, group,
        result.value[part], result.predicted_value[part], result.num_children[part], result.joint_actions[part],
        result.visit_counts[part], result.q[part], result.prior[part], result.importance[part], result.log_beta[part],
        result.reward[part], result.child_value[part],
    )  # fmt: skip


@kernel
def _read(
    nodes, key, prior, child, importance, log_beta, discount, bits, group, value, predicted_value, num_children,
    joint_actions, visit_counts, q, prior_out, importance_out, log_beta_out, reward, child_value,
):  # fmt: skip
    last = (1 << bits) - 1
    for b in range(nodes.shape[0]):
        root = nodes[b, ROOT]
        value[b], predicted_value[b] = root["value"], root["predicted"]
        num_children[b] = root["num_children"]
        for c in range(root["num_children"]):
            for i in range(joint_actions.shape[2]):
                joint_actions[b, c, i] = key[b, ROOT, c, i // group] >> (bits * (group - 1 - i % group)) & last
            prior_out[b, c] = prior[b, ROOT, c]
            importance_out[b, c], log_beta_out[b, c] = importance[b, c], log_beta[b, c]
            q[b, c] = root["predicted"]
            if child[b, ROOT, c] != UNVISITED:
                node = nodes[b, child[b, ROOT, c]]
                visit_counts[b, c] = node["visits"]
                reward[b, c], child_value[b, c] = node["reward"], node["predicted"]
                q[b, c] = node["reward"] + discount * node["value"]
