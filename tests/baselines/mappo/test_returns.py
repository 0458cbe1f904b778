from __future__ import annotations

import numpy as np
import pytest

from baselines.mappo.losses import gae_returns, standardized


def test_one_reward_serves_all_agents_of_a_slot():
    """Rewards (T, E, 1) and masks beside values (T + 1, E, n): every agent by itself gives the same."""
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(5, 3, 1)), rng.normal(size=(6, 3, 2))
    mask, bad = ((rng.random((6, 3, 1)) > share).astype(float) for share in (0.4, 0.2))
    settings = {"gamma": 0.9, "lam": 0.7}
    returns, advantage = gae_returns(reward, value, mask, bad=bad, **settings)
    assert returns.shape == advantage.shape == (5, 3, 2)
    for slot in range(3):
        for agent in range(2):
            alone = gae_returns(
                reward[:, slot, 0], value[:, slot, agent], mask[:, slot, 0], bad=bad[:, slot, 0], **settings
            )
            np.testing.assert_allclose(returns[:, slot, agent], alone[0], rtol=1e-12)
            np.testing.assert_allclose(advantage[:, slot, agent], alone[1], rtol=1e-12)


@pytest.mark.parametrize(("reward", "value"), [("f4", "f8"), ("f8", "f4"), ("f4", "f4")])
def test_results_have_the_wider_of_the_dtypes(reward, value):
    wider = "f8" if "f8" in (reward, value) else "f4"
    for result in gae_returns(np.ones(3, reward), np.ones(4, value), np.ones(4, "f4"), gamma=0.9, lam=0.7):
        assert result.dtype == wider


def test_values_and_masks_are_one_longer_than_rewards():
    for lengths in ((3, 3, 4), (3, 4, 3), (3, 5, 5)):
        with pytest.raises(ValueError, match="one step longer than reward"):
            gae_returns(*(np.ones(length) for length in lengths), gamma=0.9, lam=0.7)


def test_equal_advantages_are_not_divided_by_zero():
    result = standardized(np.array([2.0, 2.0, 2.5]), np.array([True, True, False]))
    np.testing.assert_allclose(result, [0.0, 0.0, 0.5 / 1e-5])


def test_a_round_may_be_one_step():
    returns, advantage = gae_returns(np.ones((1, 1)), np.array([[2.0], [4.0]]), np.ones((2, 1)), gamma=0.5, lam=0.7)
    assert (returns.tolist(), advantage.tolist()) == ([[3.0]], [[1.0]])
