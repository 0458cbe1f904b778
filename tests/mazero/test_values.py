"""Values of the target network: each position once per network, right after growth, loss, renewal and resumption."""

import numpy as np
import pytest
import torch

from mazero.search import Root
from mazero.values import TargetValues
from tests.mazero.test_replay import episode, filled


class Counting:
    """The value of a position is 100 times its episode's mark, plus its step, plus 0.5 for every network before."""

    network = 0

    def __init__(self):
        self.asked = []

    def roots(self, obs):
        self.asked.append(len(obs))
        last = obs[:, 0, -3:]  # of the stacked frames
        return Root(None, torch.from_numpy(100 * last[:, 0] + last[:, 1] + 0.5 * self.network), None)


def test_each_position_is_evaluated_once_per_network():
    replay, model = filled(4, 3), Counting()
    values = TargetValues(model, 2)
    assert values.find(replay, np.array([1, 3, 4])).tolist() == [1, 3, 100]
    assert values.find(replay, np.array([0, 3, 4, 6])).tolist() == [0, 3, 100, 102]
    assert values.find(replay, np.array([6, 0])).tolist() == [102, 0]
    assert model.asked == [3, 2]
    model.network = 1
    assert values.find(replay, np.array([3])).tolist() == [3]  # it has not been told
    values.renew()
    assert values.find(replay, np.array([3, 5])).tolist() == [3.5, 101.5]
    assert model.asked == [3, 2, 2]


def test_values_stay_with_their_positions_when_the_replay_grows_and_forgets():
    replay, model = filled(capacity=20), Counting()
    values, evaluated = TargetValues(model, 1), set()
    for mark in range(12):
        replay.add(episode(5, mark))
        everything = np.arange(replay.size)
        assert values.find(replay, everything).tolist() == [100 * (p // 5) + p % 5 for p in everything + replay.dropped]
        evaluated |= {int(p) for p in everything + replay.dropped}
    assert replay.dropped >= 40 and sum(model.asked) == len(evaluated)


def test_a_copy_goes_on_with_what_was_kept():
    replay, model = filled(4, 3), Counting()
    values = TargetValues(model, 1)
    values.find(replay, np.array([1, 5]))
    state = values.state_dict()
    values.find(replay, np.array([2]))  # changes nothing in what was saved
    model.network = 1
    again = TargetValues(model, 1)
    again.load_state_dict(state)
    assert again.find(replay, np.array([1, 2, 5])).tolist() == [1, 2.5, 101]
    again.renew()
    assert again.find(replay, np.array([1])).tolist() == [1.5]


def test_a_value_that_is_no_number_is_not_hidden():
    class Broken(Counting):
        def roots(self, obs):
            return Root(None, torch.full((len(obs),), torch.nan), None)

    assert np.isnan(TargetValues(Broken(), 1).find(filled(2), np.array([0, 1]))).all()


@pytest.mark.parametrize("size", [1, 7])
def test_of_the_real_network_they_are_the_same_however_many_are_evaluated_together(size):
    from tests.mazero.test_learner import advanced

    learner = advanced("network.stacked_observations=2")
    replay, one, many = learner.replay, *(TargetValues(learner.target_model, 2) for _ in range(2))
    positions = np.arange(replay.size)
    parts = [one.find(replay, positions[i : i + size]) for i in range(0, replay.size, size)]
    assert np.array_equal(np.concatenate(parts), many.find(replay, positions))
