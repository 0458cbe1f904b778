"""Every measure of a diagnosis by hand numbers."""

import math

import numpy as np
import pytest

from mazero.diagnose import measures
from mazero.diagnose.measures import estimate, mean, mean_columns, pair_columns, sums_by_episode
from mazero.diagnose.summary import Lookup, shortfalls

P, R = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0.0, 2.0, 4.0, 2.0])


def of_pairs(statistic, p=P, r=R):
    return float(statistic(pair_columns(p, r).sum(axis=0)))


def test_statistics_of_pairs_by_hand():
    """Errors 1, 0, -1, 4; r has mean 2 and variance 2, p has mean 3 and variance 3.5; their covariance is 1."""
    assert of_pairs(measures.bias) == 1.0
    assert of_pairs(measures.rmse) == pytest.approx(math.sqrt(18 / 4))
    assert of_pairs(measures.residual) == pytest.approx(math.sqrt(18 / 4 - 1))
    assert of_pairs(measures.explained) == pytest.approx(1 - 4.5 / 2)
    assert of_pairs(measures.correlation) == pytest.approx(1 / math.sqrt(3.5 * 2))
    assert of_pairs(measures.spread) == pytest.approx(math.sqrt(2))


def test_a_constant_shift_of_the_prediction_is_bias_and_nothing_else():
    shifted = P + 3
    assert of_pairs(measures.bias, shifted) == of_pairs(measures.bias) + 3
    for statistic in (measures.residual, measures.correlation, measures.spread):
        assert of_pairs(statistic, shifted) == pytest.approx(of_pairs(statistic))


def test_statistics_of_large_numbers_keep_their_digits():
    assert of_pairs(measures.explained, P + 1e8, R + 1e8) == pytest.approx(1 - 4.5 / 2)


def test_what_does_not_vary_has_no_share_of_the_variance():
    flat = np.full(4, 0.1)
    for statistic in (measures.explained, measures.correlation):
        assert estimate(sums_by_episode(pair_columns(P, flat), np.arange(4), 4), statistic) is None
    assert estimate(sums_by_episode(pair_columns(P, flat), np.arange(4), 4), measures.bias).value == pytest.approx(2.9)


def test_an_estimate_weighs_steps_and_draws_episodes():
    episode = np.array([0, 0, 0, 1])
    x = np.array([1.0, 1.0, 1.0, 5.0])
    found = estimate(sums_by_episode(mean_columns(x), episode, 2), mean)
    assert (found.value, found.steps) == (2.0, 4)
    assert (found.low, found.high) == (1.0, 5.0)  # a quarter of the draws each takes one of the two episodes twice
    assert found == estimate(sums_by_episode(mean_columns(x), episode, 2), mean)
    one = estimate(sums_by_episode(mean_columns(x), np.zeros(4, int), 1), mean)
    assert (one.value, one.low, one.high) == (2.0, 2.0, 2.0)


def test_the_interval_has_the_width_of_the_standard_error():
    x = np.random.default_rng(0).normal(size=400)
    found = estimate(sums_by_episode(mean_columns(x), np.arange(400), 400), mean)
    assert found.high - found.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.1)


def test_an_episode_without_such_steps_does_not_count():
    sums = sums_by_episode(mean_columns(np.array([2.0, 4.0])), np.array([0, 2]), 3)
    assert sums.tolist() == [[1, 2], [0, 0], [1, 4]]
    found = estimate(sums, mean)
    assert (found.value, found.low, found.high) == (3.0, 2.0, 4.0)
    assert estimate(np.zeros((3, 2)), mean) is None


def test_signal_to_noise_by_hand():
    """Signals of mean 0.7 over a residual of sqrt(3.5)."""
    columns = measures.signal_columns(np.array([0.2, 0.6, 1.0, 1.0]), P, R)
    assert float(measures.signal_to_noise(columns.sum(axis=0))) == pytest.approx(0.7 / math.sqrt(3.5))
    assert np.isnan(measures.signal_to_noise(measures.signal_columns(np.ones(4), R + 1, R).sum(axis=0)))


def test_policy_entropy_and_divergence_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]], np.float32))
    available = np.array([[True, True, False], [False, True, False]])
    p = measures.legal_policy(logits, available)
    np.testing.assert_allclose(p, [[2 / 3, 1 / 3, 0], [0, 1, 0]], atol=1e-7)
    np.testing.assert_allclose(measures.entropy(p), [math.log(3) - 2 / 3 * math.log(2), 0], atol=1e-7)
    q = np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    expected = [2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3), math.log(4)]
    np.testing.assert_allclose(measures.divergence(p, q), expected, atol=1e-6)
    assert measures.choosing(available).tolist() == [True, False]
    x, mask = np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([[True, False], [True, True]])
    assert measures.mean_where(x, mask).tolist() == [1.0, 6.0]
    assert np.isnan(measures.mean_where(np.ones((1, 2)), np.zeros((1, 2), bool))).all()


def test_draws_and_children_by_hand():
    available = np.ones((2, 3, 4), bool)
    available[1, :2, 1:] = False  # two of three agents have nothing to choose
    np.testing.assert_allclose(measures.clean_draws(available, noise_fraction=0.25), [0.75**3, 0.75])
    joint = np.array([[[0, 1], [2, 1], [0, 0]], [[3, 3], [0, 1], [3, 3]]])
    mask = np.array([[True, True, False], [True, True, False]])
    wanted = np.array([[2, 1], [3, 3]])
    assert measures.same_children(joint, mask, wanted).tolist() == [[False, True, False], [True, False, False]]
    assert measures.shares(np.array([[3, 1, 9], [1, 1, 9]]), mask).tolist() == [[0.75, 0.25, 0], [0.5, 0.5, 0]]


def test_differences_among_children_by_hand():
    q = np.array([[1.0, 3.0, 100.0], [2.0, 5.0, 8.0]])
    visited = np.array([[True, True, False], [True, False, False]])
    spread = measures.child_spread(q, visited)
    assert spread[0] == 1.0 and np.isnan(spread[1])
    share = np.array([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]])
    assert measures.relative_advantage(q, share, np.array([1, 0])).tolist() == [0.5, 2 - 4.25]


def test_fulfilment_by_hand():
    """Variances 1 and 4 with median 2.5: weights 1 / 3.5 and 1 / 6.5; x is 1 and -2, of which 0.5 and -2 came."""
    q, share = np.array([[1.0, 3.0], [0.0, 4.0]]), np.full((2, 2), 0.5)
    columns = measures.fulfilment_columns(q, share, np.array([1, 0]), np.array([0.5, -2.0]))
    np.testing.assert_allclose(columns, [[1, 0.5 / 3.5, 1 / 3.5], [1, 4 / 6.5, 4 / 6.5]])
    expected = (0.5 / 3.5 + 4 / 6.5) / (1 / 3.5 + 4 / 6.5)
    assert float(measures.fulfilment(columns.sum(axis=0))) == pytest.approx(expected)
    alike = measures.fulfilment_columns(np.ones((2, 2)), share, np.array([1, 0]), np.ones(2))
    assert estimate(sums_by_episode(alike, np.arange(2), 2), measures.fulfilment) is None


def test_returns_to_go_by_hand():
    reward = np.array([[1.0, 2.0, 4.0], [8.0, 0.0, 0.0]])
    assert measures.returns_to_go(reward, discount=0.5).tolist() == [[3.0, 4.0, 4.0], [8.0, 0.0, 0.0]]


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_fulfilment_says_how_much_of_a_difference_comes_true(truth):
    """Roots whose value is wrong by far more than their children differ; children are drawn by their shares."""
    rng = np.random.default_rng(5)
    size, k = 20_000, 4
    q = rng.normal(size=(size, k)) * np.where(rng.random(size) < 0.01, 50.0, 1.0)[:, None]  # a few are far apart
    share = rng.dirichlet(np.ones(k), size)
    child = (share.cumsum(axis=1) <= rng.random(size)[:, None]).sum(axis=1).clip(max=k - 1)
    level = rng.normal(scale=5, size=size)  # of the outcome, and what the root's value missed of it
    came = truth * q[np.arange(size), child] + level + rng.normal(size=size)
    columns = measures.fulfilment_columns(q, share, child, came)
    found = estimate(sums_by_episode(columns, np.arange(size) // 20, size // 20), measures.fulfilment)
    assert found.low < truth < found.high and found.high - found.low < 0.3


def test_shortfalls_are_scaled_and_sorted():
    rows = [
        {"set": "self_play", "measure": measure, "at": at, "value": value, "low": 0.0, "high": 1.0}
        for measure, at, value in [
            ("reward_explained", 1, 0.9), ("reward_explained", 2, 0.5), ("consistency", 2, 0.9),
            ("consistency_still", 2, 0.6), ("predicted_explained", None, -0.5), ("advantage_true", 1, 1.3),
            ("entropy", None, 0.6), ("entropy_uniform", None, 2.0), ("illegal_share", 2, 0.05),
            ("end_value_error", 2, 3.0), ("late_value_size", None, 4.0),
        ]
    ]  # fmt: skip
    found = {entry["part"]: pytest.approx(entry["shortfall"]) for entry in shortfalls(rows, unroll_steps=2)}
    assert list(found.items()) == [
        ("value at the root, predicted", 1.5), ("end of episode, depth 2", 0.75), ("reward, depth 2", 0.5),
        ("advantage of children, 1 step", 0.3), ("policy's decision", 0.3), ("state, depth 2", 0.25),
        ("reward, depth 1", 0.1), ("legality, depth 2", 0.05),
    ]  # fmt: skip
    look = Lookup(rows)
    assert look.text("reward_explained", 1) == "0.90 [0.00, 1.00]" and look.text("return") == "not defined"
