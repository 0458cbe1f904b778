"""Illegal actions: SMAC's exceptions, before any time passes, and what `last_action` holds then."""

import numpy as np
import pytest

from skirmish import StarCraft2Env
from tests.skirmish.scenes import put


@pytest.fixture
def env():
    battle = StarCraft2Env("3m", seed=0)
    battle.reset()
    return battle


@pytest.mark.parametrize(
    ("actions", "error", "attempt"),
    [
        ([1, 6, 1], AssertionError, [1, 6, 1]),  # out of range
        ([1, 1, 0], AssertionError, [1, 1, 0]),  # the living may not do nothing
        ([6, 1, 0], AssertionError, [6, 1, 0]),
        ([1, -1, 1], AssertionError, [1, 8, 1]),  # counts from the end, to an enemy out of range
        ([1, 1, -8], KeyError, [1, 1, 1]),  # to "stop", which is available, but names no unit
        ([1, -8, 6], KeyError, [1, 1, 6]),  # the first illegal action decides
        ([1, 6, -8], AssertionError, [1, 6, 1]),
        ([1, 9, 1], IndexError, None),
        ([6, 1, 9], IndexError, None),  # before any availability is looked at
        ([1, 1, -10], IndexError, None),
        ([1, 1, 1, 1], KeyError, None),
        ([1, 1, 1, 9], IndexError, None),
        ([1, 1], ValueError, None),
    ],
)
def test_what_is_raised_and_what_stays(env, actions, error, attempt):
    units, before = env.simulator.units.copy(), env.last_action.copy()
    with pytest.raises(error):
        env.step(actions)
    assert (env.simulator.units == units).all() and env._episode_steps == env._total_steps == 0
    if attempt is None:
        assert (env.last_action == before).all()
    else:
        assert env.last_action.argmax(1).tolist() == attempt
        assert env.get_state()[21:].reshape(3, 9).argmax(1).tolist() == attempt  # and is observed
    assert env.step([1, 1, 1])[1] is False


def test_the_dead(env):
    put(env.simulator, {0: {"health": 0.0}})
    for actions in ([1, 1, 1], [-8, 1, 1]):  # -8 is "stop" from the end: not available to the dead
        with pytest.raises(AssertionError, match=r"available \[0\]"):
            env.step(actions)
    with pytest.raises(KeyError, match="name nobody"):
        env.step([-9, 1, 1])  # the no-op from the end: available, but no unit's number
    assert env.step([0, 1, 1])[2]["dead_allies"] == 1


@pytest.mark.parametrize(
    "actions", [np.array([1, 1, 1]), np.array([[1], [1], [1]]), (1, 1, 1), [np.int64(1)] * 3, [1.0, "1", True]]
)
def test_actions_are_what_int_understands(env, actions):
    assert env.step(actions)[:2] == (0.0, False)
    assert env.last_action.argmax(1).tolist() == [1, 1, 1]


def test_before_the_first_reset():
    env = StarCraft2Env("3m")
    for call in (env.get_obs, env.get_avail_actions, lambda: env.step([1, 1, 1]), lambda: env.get_agent_action(0, 1)):
        with pytest.raises(KeyError, match="call reset"):
            call()
    with pytest.raises(KeyError):
        env.get_unit_by_id(0)
