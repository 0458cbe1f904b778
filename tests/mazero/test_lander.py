"""MAZero on the lander: a support that holds its returns, and a resumed run that goes on bit for bit."""

import numpy as np
import pytest
import torch

from mazero.config import PRESETS, MAZeroConfig
from tests.mazero.tiny import tiny_learner
from training import checkpoint
from training.config import load_preset
from training.errors import UserError
from training.rows import RowFiles


def learner_of(*overrides):
    settings = ("network.support=20", "network.stacked_observations=1", "search.num_simulations=3", *overrides)
    return tiny_learner(*settings, game="lunar_lander", eval_episodes=1, env_steps=2000)


def goes_on(learner, steps):
    """What 'the same run' means: everything that the next `steps` leave behind."""
    start = learner.env_steps
    while learner.env_steps < start + steps:
        learner.advance()
    left = {f"network {name}": value.numpy() for name, value in learner.network.state_dict().items()}
    left |= {f"environment {name}": value for name, value in learner.self_play.env.snapshot().items()}
    replay = {name: getattr(learner.replay, name) for name in ("action", "reward", "obs", "priority")}
    return left | replay | learner.evaluate(3)


def test_a_resumed_run_goes_on_bit_for_bit_in_the_middle_of_landings(tmp_path):
    learner, rows = learner_of(), RowFiles(tmp_path / "rows")
    while learner.updates < 45:
        learner.advance()
    assert (learner.self_play.env.snapshot()["t"] > 5).any() and learner.episodes > 1
    checkpoint.save(tmp_path / "checkpoint.pt", {"learner": learner.state_dict()}, rows=rows)
    whole = goes_on(learner, 240)
    resumed = learner_of("optimiser.learning_rate=0.01")
    torch.manual_seed(99)  # whatever was drawn before is forgotten
    resumed.load_state_dict(checkpoint.load(tmp_path / "checkpoint.pt", rows=rows)["learner"])
    again = goes_on(resumed, 240)
    assert whole.keys() == again.keys() and learner.updates == resumed.updates > 50
    for name, value in whole.items():
        assert np.array_equal(value, again[name]), name


def test_a_support_too_small_for_its_returns_is_refused_with_the_remedy():
    with pytest.raises(UserError, match=r"returns of lunar_lander .* up to 370: .*--set network.support=19"):
        learner_of("network.support=5")


def test_the_preset_of_the_lander_holds_them():
    assert load_preset(PRESETS, "lander", MAZeroConfig).network.support >= 19
