"""What the critic may see, by algorithm and environment, and the messages about what it may not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from baselines.mappo.config import CriticConfig, PpoConfig
from baselines.mappo.learner import resolve
from baselines.mappo.rollout import critic_input, critic_input_size, living


@pytest.fixture
def with_state(ragged_env):
    class WithState(ragged_env):
        @property
        def agent_state_size(self):
            return 4

        @property
        def agent_state(self):
            return np.concatenate([self.obs, self.state[:, None, :1].repeat(2, 1)], -1)

    return WithState(3, 0)


def asking(kind):
    return PpoConfig(critic=CriticConfig(input=kind, huber_delta=3.0))


@pytest.mark.parametrize(
    ("centralized", "asked", "with_it", "without"),
    [
        (True, "central", "agent_state", "team_state"),
        (True, "team_state", "team_state", "team_state"),
        (True, "agent_state", "agent_state", "critic.input is 'agent_state', but ragged has none"),
        (True, "obs", *["critic.input 'obs' makes mappo another algorithm: use --algorithm ippo for it"] * 2),
        (False, "central", "obs", "obs"),
        (False, "obs", "obs", "obs"),
        (False, "team_state", *["critic.input 'team_state' makes ippo another algorithm: use --algorithm mappo"] * 2),
        (False, "agent_state", *["critic.input 'agent_state' makes ippo another algorithm: use --algorithm mappo"] * 2),
    ],
)
def test_the_inputs_by_algorithm_and_environment(ragged_env, with_state, centralized, asked, with_it, without):
    for env, expected in ((with_state, with_it), (ragged_env(3, 0), without)):
        if " " in expected:
            with pytest.raises(ValueError, match=f"^{re.escape(expected)}"):
                resolve(asking(asked), env, centralized=centralized)
        else:
            assert resolve(asking(asked), env, centralized=centralized) == asking(expected)


def test_inputs_hold_what_they_are_named_after(with_state):
    env = with_state
    env.reset(0)
    assert [critic_input_size(env, kind) for kind in ("agent_state", "team_state", "obs")] == [4, 7, 3]
    np.testing.assert_array_equal(critic_input(env, "agent_state"), env.agent_state)
    np.testing.assert_array_equal(critic_input(env, "obs"), env.obs)
    team = critic_input(env, "team_state")
    assert team.dtype == np.float32 and team.shape == (3, 2, 7)
    for b in range(3):
        for i in range(2):
            np.testing.assert_array_equal(team[b, i], [*env.state[b], *(float(i == j) for j in range(2))])


def test_an_agent_lives_if_it_can_do_more_than_nothing():
    avail = np.array([[[1, 0, 0], [0, 1, 0]], [[1, 0, 1], [0, 0, 0]], [[1, 1, 1], [0, 0, 1]]], bool)
    assert living(avail).tolist() == [[False, True], [True, False], [True, True]]
