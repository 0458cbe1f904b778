"""What evaluations draw: frequencies are the policy's, and equal beginnings are played in the same way."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.mamba.policy import LatentPolicy

CHANCES = np.array([0.2, 0.5, 0.3])


class Told(LatentPolicy):
    """Its actor says the same whatever it sees; latents that it was given are kept."""

    def log_policy(self, obs, avail, uniforms):
        self.given.append(uniforms)
        return np.broadcast_to(np.log(CHANCES, dtype=np.float32), avail.shape)


class Board:
    def __init__(self, seed=0, slots=500, agents=3):
        self.num_envs, self.available_actions = slots, np.ones((slots, agents, 3), bool)
        self.obs = np.random.default_rng(seed).random((slots, agents, 4), np.float32)


@pytest.fixture
def policy(config, info_3m):
    def make(**how):
        from baselines.mamba.behaviour import make_actor
        from baselines.mamba.world_model import WorldModel

        model = WorldModel(info_3m, config().model)
        made = Told(model, make_actor(info_3m, config().model), device="cpu", **how)
        made.given = []
        made.start(500)
        return made

    return make


def test_sampled_actions_have_the_frequencies_of_the_policy(policy):
    drawn = policy(latent="mode", action="sample").act(Board())
    shares = np.bincount(drawn.ravel(), minlength=3) / drawn.size
    assert np.abs(shares - CHANCES).max() < 0.05  # 1,000 draws, standard error 0.016
    assert (policy(latent="mode", action="mode").act(Board()) == 1).all()


def test_latents_are_drawn_if_they_are_to_be(policy):
    board = Board()
    for latent in ("mode", "sample"):
        played = policy(latent=latent, action="mode")
        played.act(board)
        assert (played.given[0] is not None) == (latent == "sample")


def test_draws_follow_from_the_first_observations(policy):
    def play(seed):
        played, board = policy(latent="sample", action="sample"), Board(seed)
        return np.stack([played.act(board) for _ in range(3)])

    assert np.array_equal(play(0), play(0)) and not np.array_equal(play(0), play(1))
    assert not np.array_equal(*play(0)[:2])
