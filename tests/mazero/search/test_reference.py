"""The fast search builds the same trees as the readable one from the same seeds."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mazero.search import Root, SearchConfig, Workspace, reference_search, search
from mazero.search.draws import gamma, mix, uniform
from mazero.search.reference import SplitMix, reference_trees
from tests.mazero.search.models import hash_model

WORKSPACE = Workspace()  # shared on purpose: what an earlier search left in memory must not matter


def assert_same(found, expected):
    for field in dataclasses.fields(found):
        x, y = getattr(found, field.name), getattr(expected, field.name)
        assert x.dtype == y.dtype and x.shape == y.shape, field.name
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=field.name)  # the order of sums differs


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(1, 30),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 0.7, 0.75, 0.99]),
    st.sampled_from([0.1, 0.8, 1.0]),
    st.sampled_from([0.5, 0.99, 1.0]),
)
def test_same_results(n, a, k, num, seed, masked, noise, os_lambda, rho, lam, discount):
    recurrent_fn, make_root = hash_model(n, a)
    config = SearchConfig(
        num_simulations=num,
        num_sampled_actions=k,
        rho=rho,
        lam=lam,
        discount=discount,
        os_lambda=os_lambda,
    )
    root = make_root(2, seed=seed % 1000, masked=masked)
    seeds = np.array([seed, seed ^ 1], np.uint64)
    found = search(recurrent_fn, root, config, seeds, noise=noise, workspace=WORKSPACE)
    assert_same(found, reference_search(recurrent_fn, root, config, seeds, noise=noise))


@pytest.mark.parametrize("case", range(4))
def test_same_trees_when_everything_ties(case):
    """All rewards, values and logits equal: every choice is a draw."""

    def recurrent_fn(hidden, joint_action):
        b = hidden.shape[0]
        return hidden, torch.zeros(b), torch.zeros(b), torch.zeros(b, 2, 3)

    root = Root(torch.zeros(3, 2, 1), torch.zeros(3), torch.zeros(3, 2, 3))
    config = SearchConfig(num_simulations=40, num_sampled_actions=5)
    seeds = np.arange(3, dtype=np.uint64) + np.uint64(10 * case)
    assert_same(
        search(recurrent_fn, root, config, seeds, noise=False),
        reference_search(recurrent_fn, root, config, seeds, noise=False),
    )


def test_same_tree_node_by_node():
    recurrent_fn, make_root = hash_model(3, 5)
    config = SearchConfig(num_simulations=50, num_sampled_actions=8, rho=0.4)
    root, seeds, workspace = make_root(2, masked=True), np.array([5, 2**63], np.uint64), Workspace()
    search(recurrent_fn, root, config, seeds, noise=True, workspace=workspace)

    def compare(b, node):
        fast = workspace.tree.nodes[b, node.index]
        assert fast["visits"] == node.visits
        assert fast["value"] == pytest.approx(node.value(config), abs=1e-12)
        assert fast["num_children"] == len(node.children)
        for c, (action, child) in enumerate(node.children.items()):
            assert tuple(workspace.tree.joint_actions(node.index)[b, c]) == action
            assert workspace.tree.prior[b, node.index, c] == pytest.approx(node.prior[action], rel=1e-12)
            assert workspace.tree.child[b, node.index, c] == (-1 if child is None else child.index)
            if child is not None:
                compare(b, child)

    for b, tree in enumerate(reference_trees(recurrent_fn, root, config, seeds, noise=True)):
        compare(b, tree)


def test_same_random_numbers():
    slow = SplitMix(12345)
    fast = np.array([mix(np.uint64(12345 + 0x9E3779B97F4A7C15))], np.uint64)
    assert [uniform(fast, 0) for _ in range(100)] == [slow.uniform() for _ in range(100)]
    for alpha in (0.05, 0.3, 1.0, 7.0):
        assert [gamma(fast, 0, alpha) for _ in range(50)] == pytest.approx([slow.gamma(alpha) for _ in range(50)])
