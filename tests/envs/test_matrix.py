"""Matrix games: pay-offs, optimum, episode length."""

import numpy as np
import pytest

import envs
from envs.matrix import MATRIX_GAMES, STEPS


def play(env, pair):
    env.reset()
    total = np.zeros(env.num_envs)
    for _ in range(STEPS):
        assert not env.finished.any()
        env.step(np.tile(pair, (env.num_envs, 1)))
        total += env.reward
    return total


@pytest.mark.parametrize(
    ("name", "best", "pair"),
    [("matrix_1", 80, (0, 0)), ("matrix_2", 80, (2, 2)), ("matrix_3", 100, (0, 0)), ("matrix_4", 100, (0, 2))],
)
def test_best_pair_wins_with_the_known_return(name, best, pair):
    env = envs.make(name, num_envs=2)
    assert play(env, pair).tolist() == [best, best]
    assert env.best_return == best
    assert env.won.all()
    assert env.terminated.all()
    assert not env.truncated.any()


def test_local_optimum_does_not_win():
    env = envs.make("matrix_3")
    assert play(env, (1, 1))[0] == 90
    assert not env.won.any()


def test_one_slip_is_not_made_up():
    env = envs.make("matrix_1", num_envs=2)
    env.reset()
    for t in range(STEPS):
        env.step(np.array([[0, 0], [0, 1 if t == 3 else 0]]))
    assert env.won.tolist() == [True, False]


def test_games_one_and_two_are_one_game_renamed():
    one, two = np.array(MATRIX_GAMES["matrix_1"]), np.array(MATRIX_GAMES["matrix_2"])
    assert np.array_equal(one[::-1, ::-1], two)


def test_observation_is_the_step_index_for_everybody():
    env = envs.make("matrix_4", num_envs=2)
    env.reset()
    env.step(np.zeros((2, 2), int))
    assert env.obs.argmax(2).tolist() == [[1, 1], [1, 1]]
    assert env.obs.sum() == 4
    assert np.array_equal(env.state, env.obs[:, 0])
    assert env.available_actions.all()


def test_family_mazero_adds_the_agents_id():
    env = envs.make("matrix_4", num_envs=2, observation="mazero")
    env.reset()
    assert env.obs.shape == (2, 2, env.info.obs_size) == (2, 2, 12)
    assert env.obs[0].tolist() == [[1] + [0] * 9 + [1, 0], [1] + [0] * 9 + [0, 1]]
    env.step(np.zeros((2, 2), int))
    assert env.obs[1, 1].nonzero()[0].tolist() == [1, 11]


def test_reward_scale():
    env = envs.make("matrix_1", reward_scale=0.5)
    assert play(env, (0, 0))[0] == 40
