"""The seam for rivals: names, rules from other files, and the shipped rival proposal against its readable form."""

import itertools
import math
import re

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mazero.search import Root, SearchConfig, Workspace, reference_search, rounds, rules, search
from mazero.search import tree as trees
from mazero.search.gumbel import capped
from tests.mazero.search.models import hash_model
from tests.mazero.search.test_reference import assert_same

WORKSPACE = Workspace()

BY_PATH = "mazero.search.select:best_child"  # puct, under a name that nobody knows


def distinct(policy, k, rng):
    """Stochastic beam search (Kool et al. 2019, algorithm 1) with whole joint actions and probabilities in lists."""
    beam = [(0.0, 0.0, ())]  # perturbed log-probability, log-probability, actions of the first agents
    for p in policy:
        longer = []
        for cap, log_p, action in beam:
            below = []
            for a in range(len(p)):
                if p[a] > 0.0:
                    gumbel = -math.log(-math.log(max(rng.uniform(), 2.0**-54)))
                    below.append((log_p + math.log(p[a]) + gumbel, log_p + math.log(p[a]), (*action, a)))
            largest = max(noisy for noisy, _, _ in below)
            for noisy, log_q, joint in below:
                # exp(-G) = exp(-cap) - exp(-largest) + exp(-noisy), from the larger to the smaller term
                moved = cap if noisy == largest else capped_slowly(noisy, largest, cap)
                longer.append((moved, log_q, joint))
        beam = sorted(longer, reverse=True)[:k]
    total = sum(math.exp(log_p) for _, log_p, _ in beam)
    return {action: math.exp(log_p) / total for _, log_p, action in beam}


def capped_slowly(value, largest, cap):
    v = cap - value + math.log1p(-math.exp(value - largest))
    return cap - max(0.0, v) - math.log1p(math.exp(-abs(v)))


def test_moved_values_obey_their_definition():
    draw = np.random.default_rng(0)
    for _ in range(200):
        cap, largest = draw.normal(size=2)
        value = largest - draw.exponential()
        expected = -math.log(math.exp(-cap) - math.exp(-largest) + math.exp(-value))
        assert capped(value, largest, cap) == pytest.approx(expected, abs=1e-9)
        assert capped(value, largest, cap) <= cap


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 12), st.integers(1, 20), st.integers(0, 999), st.booleans())
def test_gumbel_is_its_readable_form(n, a, k, num, seed, noise):
    recurrent_fn, make_root = hash_model(n, a)
    config = SearchConfig(num_simulations=num, num_sampled_actions=k, proposal="gumbel")
    root, seeds = make_root(2, seed=seed, masked=True), np.array([seed, seed + 1], np.uint64)
    found = search(recurrent_fn, root, config, seeds, noise=noise, workspace=WORKSPACE)
    assert_same(found, reference_search(recurrent_fn, root, config, seeds, noise=noise, propose=distinct))


def drawn(policy, k, num, legal=None):
    """The results of `num` roots with the same policy (n, A), whose legal bonus is 1e-4 as always."""
    n, a = policy.shape
    logits = torch.log(torch.from_numpy(policy)).clamp(min=-800.0).expand(num, -1, -1)
    available = np.broadcast_to(np.ones((n, a), bool) if legal is None else legal, (num, n, a))
    root = Root(torch.zeros(num, n, 2, dtype=torch.float64), torch.zeros(num), logits, available)
    config = SearchConfig(num_simulations=1, num_sampled_actions=k, proposal="gumbel")
    found = search(hash_model(n, a)[0], root, config, np.arange(num, dtype=np.uint64), noise=False)
    each = (policy + 1e-4) * available[0]
    return found, each / each.sum(axis=1, keepdims=True)


POLICY = np.array([[0.6, 0.25, 0.15], [0.15, 0.35, 0.5]])


def test_a_single_draw_is_distributed_as_the_policy():
    num = 20_000
    found, policy = drawn(POLICY, 1, num)
    first, second = found.joint_actions[:, 0].T.astype(int)
    counts = np.bincount(3 * first + second, minlength=9)
    expected = num * np.outer(*policy).ravel()
    assert ((counts - expected) ** 2 / expected).sum() < 32  # chi-squared, 8 degrees of freedom: chance 1e-4
    assert (found.prior == 1.0).all()


def test_sets_are_as_probable_as_when_drawn_one_by_one_without_replacement():
    """P({x, y}) = p_x p_y / (1 - p_x) + p_y p_x / (1 - p_y)."""
    num = 20_000
    found, policy = drawn(POLICY, 2, num)
    p = np.outer(*policy).ravel()
    assert (found.num_children == 2).all()
    j = 3 * found.joint_actions[:, :, 0].astype(int) + found.joint_actions[:, :, 1]
    counts = np.bincount(9 * j[:, 0] + j[:, 1], minlength=81)
    pairs = list(itertools.combinations(range(9), 2))
    assert counts.sum() == sum(counts[9 * x + y] for x, y in pairs)
    expected = np.array([num * p[x] * p[y] * (1 / (1 - p[x]) + 1 / (1 - p[y])) for x, y in pairs])
    seen = np.array([counts[9 * x + y] for x, y in pairs])
    assert expected.sum() == pytest.approx(num) and expected.min() > 5
    assert ((seen - expected) ** 2 / expected).sum() < 75  # 35 degrees of freedom: chance 1e-4
    np.testing.assert_allclose(found.prior[:, 0] / found.prior[:, 1], p[j[:, 0]] / p[j[:, 1]])
    np.testing.assert_allclose(found.prior.sum(axis=1), 1.0)


@pytest.mark.parametrize("k", [9, 15])
def test_all_joint_actions_appear_when_there_are_no_more(k):
    found, policy = drawn(POLICY, k, 20)
    assert (found.num_children == 9).all()
    np.testing.assert_array_equal(found.joint_actions[:, :9], [list(itertools.product(range(3), repeat=2))] * 20)
    np.testing.assert_allclose(found.prior[:, :9], [np.outer(*policy).ravel()] * 20)
    np.testing.assert_allclose(found.importance, found.prior)


def test_impossible_actions_are_not_drawn():
    legal = np.array([[True, False, True], [False, False, True]])
    found, policy = drawn(POLICY, 5, 20, legal)
    assert found.num_children.tolist() == [2] * 20
    assert found.joint_actions[:, :2].tolist() == [[[0, 2], [2, 2]]] * 20
    np.testing.assert_allclose(found.prior[:, :2], [policy[0, [0, 2]]] * 20)


def test_many_agents_give_different_joint_actions_in_order():
    recurrent_fn, make_root = hash_model(40, 30)
    config = SearchConfig(num_simulations=5, num_sampled_actions=8, proposal="gumbel")
    space = Workspace()
    search(recurrent_fn, make_root(3), config, np.arange(3, dtype=np.uint64), noise=True, workspace=space)
    for b, node in itertools.product(range(3), range(6)):
        actions = [tuple(x) for x in space.tree.joint_actions(node)[b].tolist()]
        assert space.tree.nodes["num_children"][b, node] == 8 and actions == sorted(set(actions))


@numba.njit
def last_child(b, node, nodes, key, prior, child, edge, score, rng, explore, tie_tolerance, low, scale):
    """A rule of another file: after each child of the root was seen once, always the last one."""
    return nodes[b, node]["num_children"] - 1


@pytest.mark.parametrize("proposal", ["policy", "gumbel"])
def test_a_score_of_another_file(proposal):
    recurrent_fn, make_root = hash_model(2, 4)
    config = SearchConfig(num_simulations=20, num_sampled_actions=6, proposal=proposal, score=f"{__name__}:last_child")
    found = search(recurrent_fn, make_root(4), config, np.arange(4, dtype=np.uint64), noise=True)
    for b in range(4):
        last = found.num_children[b] - 1
        assert found.visit_counts[b, : last + 1].tolist() == [1] * last + [20 - last]


def test_kernels_are_kept_for_our_rules_only_and_apart_from_each_other():
    kept = {name: rounds._with_proposal(rounds._extend, name) for name in rules.PROPOSALS}
    paths = {name: (kernel._cache.cache_path, kernel._cache._name) for name, kernel in kept.items()}
    assert len(paths) == len({kernel._cache._impl.filename_base for kernel in kept.values()}) == len(rules.PROPOSALS)
    assert rounds._with_proposal(rounds._extend, "policy") is kept["policy"]
    foreign = rounds._with_score(rounds._descend, f"{__name__}:last_child")
    assert type(foreign._cache).__name__ == "NullCache"


def test_names_of_rules():
    for name in rules.PROPOSALS:
        assert SearchConfig(proposal=name).proposal == name and callable(rules.find(name, rules.PROPOSALS))
    for name in ("gumble", "", ":", "module:", ":function", None):
        with pytest.raises(ValueError) as error:
            SearchConfig(proposal=name)
        message = f"proposal must be one of policy, gumbel, or module:function, got {name!r}"
        assert str(error.value) == message
    with pytest.raises(ValueError, match=r"^score must be one of puct, or module:function, got 'policy'$"):
        SearchConfig(score="policy")
    for name, fault in (
        ("nowhere.at_all:rule", "that can be imported, got 'nowhere.at_all:rule': No module named 'nowhere'"),
        ("mazero.search.select:worst_child", "that can be imported, got 'mazero.search.select:worst_child': module "),
        ("mazero.search.tree:ROOT", "got 'mazero.search.tree:ROOT', a int"),
    ):
        with pytest.raises(ValueError, match=rf"^score must name a function,? {re.escape(fault)}"):
            SearchConfig(score=name)
    assert trees.constants(SearchConfig(proposal="gumbel", score=BY_PATH))[-2:] == ("gumbel", BY_PATH)


def test_the_reference_says_what_it_does_not_know():
    recurrent_fn, make_root = hash_model(1, 2)
    seeds = np.arange(1, dtype=np.uint64)
    for config in (SearchConfig(proposal="gumbel"), SearchConfig(score=BY_PATH)):
        with pytest.raises(ValueError, match="the reference knows proposal policy and score puct, got"):
            reference_search(recurrent_fn, make_root(1), config, seeds, noise=False)
