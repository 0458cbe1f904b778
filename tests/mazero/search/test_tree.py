"""The kernels one by one: OS(lambda) by hand, expansion, noise, and the finished tree against its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mazero.search import SearchConfig, Workspace, search
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
    trees._new_node(0, node, tree.nodes, 1, 0.0, float(first[0][1]))
    trees._open(0, node, tree.nodes, tree.prior, tree.edge, tree.filed, tree.level)
    for d, x in [*first[1:], *rest]:
        trees._file(0, node, tree.nodes, tree.filed, tree.level, const.kept, const.weight, int(d), float(x))
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
    """Mean 1/4 and variance (1/4)(3/4) / (4 alpha + 1) over four legal actions; nothing on the illegal one."""
    legal = np.array([True, True, False, True, True])
    rng = np.array([np.uint64(7)])
    draws = np.empty((20_000, 5))
    for row in draws:
        trees._dirichlet(rng, 0, alpha, legal, row)
    assert (draws[:, 2] == 0).all()
    np.testing.assert_allclose(draws.sum(axis=1), 1.0)
    variance = 3 / 16 / (4 * alpha + 1)
    assert np.abs(draws[:, legal].mean(axis=0) - 0.25).max() < 4.5 * np.sqrt(variance / 20_000)
    np.testing.assert_allclose(draws[:, legal].var(axis=0), variance, rtol=0.06)


def test_minute_alpha_gives_no_division_by_zero():
    row = np.empty(3)
    trees._dirichlet(np.array([np.uint64(7)]), 0, 1e-6, np.array([True, False, True]), row)
    assert np.isfinite(row).all() and row.sum() == pytest.approx(1.0) and row[1] == 0.0


def test_uniform_numbers_are_uniform():
    rng = np.array([np.uint64(3)])
    draws = np.array([trees._uniform(rng, 0) for _ in range(50_000)])
    assert draws.min() >= 0.0 and draws.max() < 1.0
    counts = np.bincount((draws * 50).astype(int), minlength=50)
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
