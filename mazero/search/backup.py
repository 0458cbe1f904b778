"""From a leaf up to the root: filed values, OS(lambda) values and advantages (MAZero, arXiv 2405.11778)."""

from mazero.search.jit import helper
from mazero.search.tree import ADVANTAGE, ROOT, SHARE


@helper
def new_node(b, node, nodes, num_children, reward, predicted):
    """Fills the record of a node whose only value is its own prediction; parent, slot and depth stand there already."""
    nodes[b, node]["visits"] = 1
    nodes[b, node]["num_children"] = num_children
    nodes[b, node]["height"] = 0
    nodes[b, node]["reward"] = reward
    nodes[b, node]["predicted"] = predicted
    nodes[b, node]["value"] = predicted


@helper
def first_cell(num_nodes, node):
    """A node's first cell in the triangle."""
    return node * num_nodes - node * (node - 1) // 2


@helper
def open_node(b, node, nodes, prior, edge, filed, level):
    """Gives a node edges to its children and files its own predicted value."""
    for c in range(nodes[b, node]["num_children"]):
        edge[b, node, ADVANTAGE, c] = 0.0
        edge[b, node, SHARE, c] = prior[b, node, c]
    first = first_cell(nodes.shape[1], node)
    filed[b, first] = nodes[b, node]["predicted"]
    level[b, first]["kept_sum"] = nodes[b, node]["predicted"]
    level[b, first]["kept"] = 1
    level[b, first]["count"] = 1


@helper
def back_up(b, leaf, nodes, advantage, prior, edge, filed, level, kept, depth_weight, discount):
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
            open_node(b, parent, nodes, prior, edge, filed, level)
        edge[b, parent, ADVANTAGE, slot] = gain
        edge[b, parent, SHARE, slot] = prior[b, parent, slot] / (1 + nodes[b, node]["visits"])
        target = reward + discount * target
        d += 1
        file_value(b, parent, nodes, filed, level, kept, depth_weight, d, target)
        node = parent


@helper
def file_value(b, node, nodes, filed, level, kept, depth_weight, d, target):
    """Files one value under relative depth d of a node, counts the visit and recomputes the node's OS(lambda) value.

    V = sum_d lambda^d * (sum of the kept values at d) / sum_d lambda^d * (number kept at d); the largest
    ceil((1 - rho) * count) values of each depth are kept. Only depth d changes, and its sum is taken afresh.
    """
    first = first_cell(nodes.shape[1], node)
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
