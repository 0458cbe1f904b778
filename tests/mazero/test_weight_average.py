"""An average of the weights plays evaluations: by hand, in a run, in its checkpoints."""

import copy

import numpy as np
import pytest
import torch

from mazero.config import EvaluationConfig
from mazero.inference import make_model
from mazero.update import WeightAverage
from tests.mazero.test_learner import advanced
from tests.mazero.test_learner_wiring import same_tensors
from tests.mazero.tiny import tiny_learner

AVERAGE = "evaluation.weight_average=0.9"


def test_an_update_counts_less_than_the_next_and_the_start_hardly():
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average, expected = WeightAverage(network, 0.3), 1.0
    for updates, decay in enumerate((1 / 10, 2 / 11, 3 / 12, 0.3, 0.3)):
        with torch.no_grad():
            network.weight.fill_(updates + 2.0)
        average.follow(updates)
        expected = decay * expected + (1 - decay) * (updates + 2)
        assert average.network.weight.item() == pytest.approx(expected)
    assert WeightAverage(network, 0.0).network is network


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_an_average_of_everything_or_less_than_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"^weight_average must lie in \[0, 1\), got {wrong}"):
        EvaluationConfig(weight_average=wrong)


def test_learning_is_the_same_and_evaluations_play_with_the_average():
    plain, learner = advanced(steps=120), advanced(AVERAGE, steps=120)
    same_tensors(learner.network.state_dict(), plain.network.state_dict())
    average, obs = learner.average.network, learner.replay.stacked_obs(np.array([len(learner.replay) - 1]), 2)
    logits = [make_model(net, learner.config.inference).roots(obs).policy_logits for net in (learner.network, average)]
    assert not torch.equal(*logits)
    same_tensors(learner.policy_state()["network"], average.state_dict())
    played = learner.evaluate(3)
    learner.network.load_state_dict(average.state_dict())
    learner.model.weights_changed()
    plain.load_policy_state(learner.policy_state())
    assert plain.evaluate(3) == played


def test_the_average_is_in_the_checkpoint():
    whole, stopped = advanced(AVERAGE, steps=160), advanced(AVERAGE, steps=100)
    state = stopped.state_dict()
    again = tiny_learner(AVERAGE)
    again.load_state_dict(copy.deepcopy(state))
    while again.env_steps < 160:
        again.advance()
    same_tensors(again.average.network.state_dict(), whole.average.network.state_dict())
    assert advanced(steps=100).state_dict()["average"] is None
