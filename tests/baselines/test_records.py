"""What the rollouts record has one place a step, in the smallest types that hold it."""

from __future__ import annotations

import numpy as np
import pytest

from baselines import registry
from baselines.mappo.config import CriticConfig, LearningConfig, NetworkConfig, PpoConfig, RolloutConfig


def test_value_based_rollouts_have_room_for_the_longest_episode(small_config, make_learner):
    learner = make_learner(small_config())
    rows = learner._rollout._rows
    assert {name: (array.shape, array.dtype.type) for name, array in rows.items()} == {
        "obs": ((3, 7, 2, 3), np.float32),
        "state": ((3, 7, 5), np.float32),
        "avail": ((3, 7, 2, 4), np.bool_),
        "actions": ((3, 6, 2), np.int64),
        "reward": ((3, 6), np.float32),
    }
    assert not any(array.any() for array in rows.values())
    learner.advance()
    state = learner._rollout.state_dict()["rows"]  # what was recorded so far, with what is to come
    assert {name: array.shape[1] for name, array in state.items()} == dict.fromkeys(rows, int(max(_steps(learner))) + 1)


def _steps(learner):
    return learner._rollout.state_dict()["t"]


@pytest.mark.parametrize(("algorithm", "central"), [("mappo", 14), ("ippo", 6)])
def test_policy_gradient_rollouts_have_room_for_a_round_and_the_state_behind_it(ragged_env, algorithm, central):
    config = PpoConfig(
        RolloutConfig(num_envs=3, steps=8),
        NetworkConfig(hidden_size=5, frames=2),
        CriticConfig(),
        LearningConfig(chunk_length=4),
    )
    learner = registry.find(algorithm).make_learner(
        config, make_env=lambda num, _, seed: ragged_env(num, seed), seed=0, device="cpu", eval_episodes=1
    )
    expected = {
        "obs": ((9, 3, 2, 6), np.float32),
        "central": ((9, 3, 2, central), np.float32),
        "avail": ((9, 3, 2, 4), np.bool_),
        "hidden": ((9, 3, 2, 5), np.float32),
        "mask": ((9, 3), np.float32),
        "bad": ((9, 3), np.float32),
        "action": ((8, 3, 2), np.int64),
        "log_prob": ((8, 3, 2), np.float32),
        "reward": ((8, 3), np.float32),
        "lost": ((8, 3), np.bool_),
    }
    rollout = learner._rollout
    assert {name: (array.shape, array.dtype.type) for name, array in rollout.rows.items()} == expected
    assert (rollout.rows["central"] is rollout.rows["obs"]) == (algorithm == "ippo")
    assert rollout.rows["mask"].all() and rollout.rows["bad"].all()
    for name in ("action", "log_prob", "reward", "hidden"):
        assert not rollout.rows[name].any()
    for steps in range(1, 8):
        learner.advance()
        state = rollout.state_dict()
        kept = {name: len(array) for name, array in state["rows"].items()}
        assert kept == {
            name: min(steps + 1, shape[0])
            for name, (shape, _) in expected.items()
            if algorithm == "mappo" or name != "central"
        }
        assert not rollout.full
    learner.advance()  # the last step of the round, whose state becomes the first of the next one
    assert rollout.t == 0 and not rollout.full
    for name in ("obs", "central", "avail", "hidden", "mask", "bad"):
        np.testing.assert_array_equal(rollout.rows[name][0], rollout.rows[name][8])
