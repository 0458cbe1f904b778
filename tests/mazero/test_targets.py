"""Targets by hand and against the plainest loop."""

import numpy as np
import pytest

from mazero.targets import policy_weights, standardised_advantages, td_horizon, value_targets


def test_value_targets_by_hand():
    reward = np.array([[1.0, 2.0, 4.0, 8.0]])
    value = np.array([[10.0, 20.0, 30.0, 40.0, 50.0]])
    # m = 2, gamma 0.5: z_0 = 1 + 0.5 * 2 + 0.25 * 30; z_1 = 2 + 0.5 * 4 + 0.25 * 40; z_2 = 4 + 4 + 12.5
    out = value_targets(reward, value, horizon=np.array([2]), discount=0.5)
    np.testing.assert_allclose(out, [[9.5, 14.0, 20.5]])


def test_value_targets_match_a_plain_loop_with_mixed_horizons():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(6, 9)), rng.normal(size=(6, 10))
    horizon = np.array([5, 1, 3, 5, 2, 4])
    out = value_targets(reward, value, horizon=horizon, discount=0.9)
    assert out.shape == (6, 5)
    for b in range(6):
        for k in range(5):
            m = horizon[b]
            naive = sum(0.9**i * reward[b, k + i] for i in range(m)) + 0.9**m * value[b, k + m]
            assert out[b, k] == pytest.approx(naive)


def test_an_endless_unit_reward_is_worth_one_over_one_minus_gamma():
    gamma = 0.99
    value = np.full((1, 11), 1 / (1 - gamma))
    out = value_targets(np.ones((1, 10)), value, horizon=np.array([5]), discount=gamma)
    np.testing.assert_allclose(out, 1 / (1 - gamma))


def test_value_targets_refuse_a_wrong_length():
    with pytest.raises(ValueError, match="one step longer"):
        value_targets(np.zeros((1, 4)), np.zeros((1, 4)), horizon=np.array([1]), discount=0.9)


def test_the_horizon_shrinks_with_age():
    age = np.array([0, 299, 300, 899, 1200, 10_000])
    out = td_horizon(age, td_steps=5, planned_updates=1000, age_share=0.3)
    assert out.tolist() == [5, 5, 4, 3, 1, 1] and out.dtype == np.int64


def test_the_horizon_of_a_short_run_shrinks_by_one_an_update_at_most():
    out = td_horizon(np.array([0, 1, 2, 9]), td_steps=4, planned_updates=2, age_share=0.3)
    assert out.tolist() == [4, 3, 2, 1]


def test_advantages_are_standardised_over_valid_children_only():
    q = np.array([[1.0, 3.0, 99.0], [5.0, 99.0, 99.0]])
    mask = np.array([[True, True, False], [True, False, False]])
    out = standardised_advantages(q, np.array([1.0, 1.0]), mask)
    # advantages 0, 2, 4: mean 2, deviation sqrt(8 / 3)
    deviation = np.sqrt(8 / 3) + 1e-5
    np.testing.assert_allclose(out, [[-2 / deviation, 0, 0], [2 / deviation, 0, 0]], atol=1e-12)
    assert (standardised_advantages(q, np.zeros(2), np.zeros_like(mask)) == 0).all()


def test_awpo_weights_by_hand_with_the_cap():
    share = np.array([0.5, 0.3, 0.2, 0.0])
    advantage = np.array([0.0, 2.0, 50.0, 3.0])
    out = policy_weights(share, advantage, awpo=True, alpha=2.0, weight_cap=3.0)
    np.testing.assert_allclose(out, [0.5, 0.3 * np.e, 0.6, 0.0], rtol=1e-6)
    cloned = policy_weights(share, advantage, awpo=False, alpha=2.0, weight_cap=3.0)
    np.testing.assert_allclose(cloned, share, rtol=1e-6)
    assert out.dtype == cloned.dtype == np.float32
