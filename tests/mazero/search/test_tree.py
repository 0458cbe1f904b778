"""The kernels one by one: OS(lambda) by hand, expansion, noise, and the finished tree against its definition."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mazero.search import SearchConfig, Workspace, backup, draws, expand, rounds, search, select
from mazero.search import tree as trees
from mazero.search.reference import os_lambda as os_lambda_reference
from tests.mazero.search.models import hash_model


def os_lambda(filed_by_depth, rho, lam, *, order_seed=0):
    """V of one node after the kernel has filed the given values, in some order in which a tree could file them."""
    values = [(d, x) for d, xs in filed_by_depth.items() for x in xs]
    config = SearchConfig(num_simulations=len(values), num_sampled_actions=1, rho=rho, lam=lam)
    tree, const = trees.allocate(1, 1, 1, config), trees.constants(config)
    first = [(d, filed_by_depth[d][0]) for d in sorted(filed_by_depth)]
    rest = [(d, x) for d, xs in filed_by_depth.items() for x in xs[1:]]
    np.random.default_rng(order_seed).shuffle(rest)
    node = trees.ROOT
    backup.new_node(0, node, tree.nodes, 1, 0.0, float(first[0][1]))
    backup.open_node(0, node, tree.nodes, tree.prior, tree.edge, tree.filed, tree.level)
    for d, x in [*first[1:], *rest]:
        backup.file_value(0, node, tree.nodes, tree.filed, tree.level, const.kept, const.weight, int(d), float(x))
    assert tree.nodes["visits"][0, 0] == len(values)
    return tree.nodes["value"][0, 0]


def test_os_lambda_by_hand():
    #   depth 0: 1 2 3 4, half kept: 3 + 4 = 7      depth 1: 10 0, half kept: 10
    #   (7 + 0.8 * 10) / (2 + 0.8 * 1) = 15 / 2.8
    filed = {0: [1, 2, 3, 4], 1: [10, 0]}
    assert os_lambda(filed, 0.5, 0.8) == pytest.approx(15 / 2.8, abs=1e-12)
    assert os_lambda_reference(filed, 0.5, 0.8) == pytest.approx(5.357142857142857, abs=1e-12)


def test_throwing_more_away_may_lower_the_value():
    filed = {0: [0], 1: [10, 10, 10, 11]}
    assert os_lambda(filed, 0.0, 1.0) == pytest.approx(8.2)  # (0 + 41) / 5
    assert os_lambda(filed, 0.75, 1.0) == pytest.approx(5.5)  # (0 + 11) / 2


def test_kept_counts_are_exact():
    assert (1.0 - 0.7) * 10 > 3.0  # what float64 makes of it
    assert trees.kept_counts(0.7, 10)[10] == 3
    assert trees.kept_counts(0.75, 8).tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2]
    assert trees.kept_counts(0.0, 4).tolist() == [1, 1, 2, 3, 4]
    for rho in (x / 100 for x in range(100)):
        exact = [max(1, -(-(100 - round(100 * rho)) * m // 100)) for m in range(201)]
        assert trees.kept_counts(rho, 200).tolist() == exact


values_by_depth = st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=12), min_size=1, max_size=6)


@settings(deadline=None, max_examples=150)
@given(values_by_depth, st.integers(0, 99), st.integers(1, 100), st.integers(0, 1000))
def test_os_lambda_equals_reference_and_lies_between_filed_values(values, rho, lam, order_seed):
    filed, rho, lam = dict(enumerate(values)), rho / 100, lam / 100
    found = os_lambda(filed, rho, lam, order_seed=order_seed)
    assert found == pytest.approx(
        os_lambda_reference(filed, rho, lam), abs=1e-10
    )  # sums of at most 72 values below 100
    everything = [x for xs in values for x in xs]
    assert min(everything) - 1e-10 <= found <= max(everything) + 1e-10
    if rho == 0.0 and lam == 1.0:
        assert found == pytest.approx(np.mean(everything), abs=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_dirichlet_moments(alpha):
    """Mean 1/4 and variance (1/4)(3/4) / (4 alpha + 1) over four actions."""
    rng = np.array([np.uint64(7)])
    found = np.empty((20_000, 4))
    for row in found:
        draws.dirichlet(rng, 0, alpha, row)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    variance = 3 / 16 / (4 * alpha + 1)
    assert np.abs(found.mean(axis=0) - 0.25).max() < 4.5 * np.sqrt(variance / 20_000)
    np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.06)


def test_minute_alpha_gives_no_division_by_zero():
    row = np.empty(3)
    draws.dirichlet(np.array([np.uint64(7)]), 0, 1e-6, row)
    assert row.tolist() == [1 / 3] * 3


def test_noise_is_drawn_over_all_actions_then_masked():
    """By hand from the same draws: masked, 1e-4 on legal actions, normalised, mixed with a quarter."""
    legal = np.array([[True, False, True, True], [False, False, True, False]])
    policy = np.array([[0.5, 0.0, 0.2, 0.3], [0.0, 0.0, 1.0, 0.0]])
    rng, again = np.array([[7], [7]], np.uint64)
    beta = np.empty((2, 4))
    expand.add_noise(policy, beta, legal, rng, 0, 0.3, 0.25)
    for i in range(2):
        row = np.empty(4)
        draws.dirichlet(again, 0, 0.3, row)
        row = np.where(legal[i], row + 1e-4, 0.0)
        np.testing.assert_allclose(beta[i], 0.75 * policy[i] + 0.25 * row / row.sum(), rtol=1e-14)
    assert rng[0] == again[0]


def test_uniform_numbers_are_uniform():
    rng = np.array([np.uint64(3)])
    found = np.array([draws.uniform(rng, 0) for _ in range(50_000)])
    assert found.min() >= 0.0 and found.max() < 1.0
    counts = np.bincount((found * 50).astype(int), minlength=50)
    assert ((counts - 1000) ** 2 / 1000).sum() < 95  # chi-squared, 49 degrees of freedom: chance 1e-4


@pytest.mark.parametrize("n_agents", [1, 3, 40])
def test_a_finished_tree_obeys_the_definition(n_agents):
    recurrent_fn, make_root = hash_model(n_agents, 4)
    config = SearchConfig(num_simulations=60, num_sampled_actions=6, rho=0.6, lam=0.7)
    workspace = Workspace()
    search(recurrent_fn, make_root(3), config, np.arange(3, dtype=np.uint64), noise=True, workspace=workspace)
    tree = workspace.tree
    for b, node in itertools.product(range(3), range(61)):
        nodes = tree.nodes[b]
        count = nodes["num_children"][node]
        actions = [tuple(x) for x in tree.joint_actions(node)[b, :count].tolist()]
        assert actions == sorted(set(actions))
        assert 1 <= count <= min(6, 4**n_agents)
        below = tree.child[b, node, :count]
        below = below[below != trees.UNVISITED]
        assert (nodes["parent"][below] == node).all() and (below > node).all()
        assert nodes["visits"][node] == 1 + nodes["visits"][below].sum()
        assert nodes["height"][node] == (1 + nodes["height"][below].max() if below.size else 0)
        for child in below:
            q = nodes["reward"][child] + config.discount * nodes["value"][child]
            assert tree.advantage[b, child] == pytest.approx(q - nodes["predicted"][node], abs=1e-12)

        filed = {0: [nodes["predicted"][node]]}
        for leaf in range(node + 1, 61):
            target, d, at = nodes["predicted"][leaf], 0, leaf
            while at > node:
                target = nodes["reward"][at] + config.discount * target
                at, d = nodes["parent"][at], d + 1
            if at == node:
                filed.setdefault(d, []).append(target)
        assert nodes["value"][node] == pytest.approx(os_lambda_reference(filed, 0.6, 0.7), abs=1e-12)


def drive(dtype, *, n, a, config, logit_scale=1.0):
    """A tree of 4 roots grown from float32 numbers given as `dtype`, and what the kernels said on the way."""
    draw = np.random.default_rng(5)
    outputs = draw.standard_normal((config.num_simulations + 1, 4, 2 + n * a)).astype(np.float32)
    outputs[:, :, 2:] *= logit_scale
    tree, const, status = trees.allocate(4, n, a, config), trees.constants(config), np.empty(4, np.int64)
    legal = draw.random((4, n, a)) < 0.7
    legal[:, :, 0] = True
    rows, actions = np.empty(4, np.int64), np.empty((4, n), np.int64)
    assert rounds.begin(tree, const, np.arange(4, dtype=np.uint64), outputs[0].astype(dtype), legal, True, status) == 0
    told, given = [], np.empty_like(outputs[0], dtype)
    descend, extend = rounds.make_descend(tree, const, rows, actions), rounds.make_extend(tree, const, given, status)
    for simulation in range(1, config.num_simulations + 1):
        descend(simulation)
        told.append((rows.tolist(), actions.tolist()))
        given[:] = outputs[simulation]
        assert extend(simulation) == 0
    return tree, told


@pytest.mark.parametrize(("n", "a", "k"), [(3, 9, 10), (12, 36, 7), (2, 3, 80)])
def test_float32_outputs_give_the_tree_of_the_same_numbers_in_float64(n, a, k):
    config = SearchConfig(num_simulations=40, num_sampled_actions=k)
    (single, told), (double, expected) = (drive(t, n=n, a=a, config=config) for t in (np.float32, np.float64))
    assert told == expected
    for field in ("visits", "parent", "slot", "depth", "num_children", "height", "reward", "predicted", "value"):
        np.testing.assert_array_equal(single.nodes[field], double.nodes[field], field)
    for b, node in itertools.product(range(4), range(41)):
        count = single.nodes["num_children"][b, node]
        for field in (single.prior, double.prior), (single.key, double.key), (single.child, double.child):
            np.testing.assert_array_equal(*(x[b, node, :count] for x in field))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1, 2, 28])
def test_outputs_that_are_not_finite_are_found(dtype, bad, column):
    config = SearchConfig(num_simulations=1)
    tree, const, status = trees.allocate(3, 3, 9, config), trees.constants(config), np.empty(3, np.int64)
    outputs = np.full((3, 29), np.finfo(dtype).max, dtype)  # large is not infinite
    legal, seeds = np.ones((3, 3, 9), bool), np.arange(3, dtype=np.uint64)
    assert rounds.begin(tree, const, seeds, outputs, legal, False, status) == 0
    rounds.make_descend(tree, const, np.empty(3, np.int64), np.empty((3, 3), np.int64))(1)
    outputs[1, column:] = bad
    assert rounds.make_extend(tree, const, outputs, status)(1) == 1
    assert status.tolist() == [trees.FINE, column, trees.FINE]


def test_the_exponential_is_exact_to_the_last_places():
    x = -np.concatenate([np.linspace(0, 707.9, 3001), np.geomspace(1e-300, 700, 1000)])
    found = np.array([expand.exp(np.float64(v)) for v in x])
    np.testing.assert_allclose(found, [math.exp(v) for v in x], rtol=5e-16, atol=0)
    assert expand.exp(np.float64(0.0)) == 1.0
    assert expand.exp(np.float64(-709.0)) == expand.exp(np.float64(-1e308)) == 0.0


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_the_advantage_range_is_the_least_and_the_greatest(values):
    row = np.array([[np.inf, *values, -np.inf, np.nan]])  # neither the root nor what lies behind the end counts
    assert select.advantage_range(0, row, 1 + len(values)) == (min(values), max(values))


@pytest.mark.parametrize(
    ("n", "a"), [(1, 1), (1, 2), (3, 9), (9, 128), (10, 70), (27, 36), (63, 2), (64, 2), (5, 30_000)]
)
@pytest.mark.parametrize("k", [1, 10, 64, 65, 200])
def test_children_are_the_draws_merged_and_sorted(n, a, k):
    """Against tuples, searched by numpy; a = 128 with 9 agents fills a word to its last bit."""
    config = SearchConfig(num_simulations=1, num_sampled_actions=k)
    tree = trees.allocate(1, n, a, config)
    weight = np.random.default_rng(n * a).exponential(size=(n, a)) ** 4  # peaked: some draws coincide
    weight[:, a // 2 + 1 :] *= weight[:, : (a - 1) // 2] > 1e-3  # some actions are impossible, perhaps the last one
    tree.weight[0, : n * a] = weight.ravel()
    tree.rng[0] = np.uint64(77)
    arrays = tree.key, tree.prior, tree.child, tree.weight, tree.score, tree.draw, tree.rng
    count = expand.draw_children(0, 1, *arrays, n, k, a, trees.bits_of(a))

    state, drawn = np.array([77], np.uint64), []
    cumulated = np.cumsum(weight, axis=1)
    for _ in range(k):
        uniform = [draws.uniform(state, 0) for _ in range(n)]
        drawn.append(tuple(int(np.searchsorted(c, u * c[-1], "right")) for c, u in zip(cumulated, uniform)))
    expected = sorted(set(drawn))
    assert [tuple(x) for x in tree.joint_actions(1)[0, :count].tolist()] == expected
    assert tree.prior[0, 1, :count].tolist() == [drawn.count(x) / k for x in expected]
    assert (tree.child[0, 1, :count] == trees.UNVISITED).all()
    assert tree.rng[0] == state[0]


def test_a_number_rounded_up_to_the_total_takes_the_last_possible_action():
    tree = trees.allocate(1, 1, 4, SearchConfig(num_simulations=1, num_sampled_actions=1))
    for weights, action in (([1e-320, 5e-324, 0.0, 0.0], 1), ([0.0, 0.0, 5e-324, 0.0], 2)):
        drawn = set()
        for seed in range(50):  # subnormal totals: every u above a half is rounded up to the total
            tree.weight[0, :4] = weights
            tree.rng[0] = np.uint64(seed)
            arrays = tree.key, tree.prior, tree.child, tree.weight, tree.score, tree.draw, tree.rng
            expand.draw_children(0, 1, *arrays, 1, 1, 4, 2)
            drawn.add(int(tree.joint_actions(1)[0, 0, 0]))
        assert max(drawn) <= action and drawn <= set(np.flatnonzero(weights).tolist())


@pytest.mark.parametrize("logit_scale", [1.0, 30.0])
def test_edges_repeat_what_nodes_say(logit_scale):
    """Edges of nodes with visited children: the child's advantage, prior / (1 + visits). 30: few children, deep."""
    config = SearchConfig(num_simulations=80, num_sampled_actions=6)
    tree, _ = drive(np.float64, n=2, a=4, config=config, logit_scale=logit_scale)
    assert (tree.nodes["depth"].max() > 20) == (logit_scale > 1)
    for b, node in itertools.product(range(4), range(81)):
        for c in range(tree.nodes["num_children"][b, node] if tree.nodes["visits"][b, node] > 1 else 0):
            below = tree.child[b, node, c]
            visits = 0 if below == trees.UNVISITED else tree.nodes["visits"][b, below]
            advantage = 0.0 if below == trees.UNVISITED else tree.advantage[b, below]
            assert tree.edge[b, node, :, c].tolist() == [advantage, tree.prior[b, node, c] / (1 + visits)]
            if visits:
                assert (tree.nodes["parent"][b, below], tree.nodes["slot"][b, below]) == (node, c)
