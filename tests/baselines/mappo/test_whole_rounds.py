"""Whole runs of a few rounds against the long way: weights, moments, metrics, random streams and evaluations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.mappo.config import CriticConfig, LearningConfig, NetworkConfig, PpoConfig, RolloutConfig
from tests.baselines.mappo.plain import PlainRun
from training.metrics import without_clock

# No value is a default, gradients are cut in some updates, ratios, values and errors leave their bounds.
LEARNING = {
    "gamma": 0.9, "gae_lambda": 0.8, "epochs": 2, "chunk_length": 4, "clip": 0.07, "entropy_coefficient": 0.05,
    "actor_learning_rate": 0.02, "critic_learning_rate": 0.03, "optimizer_epsilon": 0.01, "grad_clip": 0.8,
}  # fmt: skip
RUNS = {
    "mappo": (
        "agent_state",
        PpoConfig(
            RolloutConfig(num_envs=3, steps=8),
            NetworkConfig(hidden_size=6, output_gain=0.5),
            CriticConfig(huber_delta=0.9),
            LearningConfig(**LEARNING),
        ),
    ),
    "mappo with popart, minibatches and frames": (
        "team_state",
        PpoConfig(
            RolloutConfig(num_envs=2, steps=12),
            NetworkConfig(hidden_size=5, frames=2, output_gain=0.3),
            CriticConfig("team_state", normalization="popart", huber_delta=0.9),
            LearningConfig(**LEARNING | {"minibatches": 3, "proper_time_limits": True}),
        ),
    ),
    "ippo without recurrence": (
        "obs",
        PpoConfig(
            RolloutConfig(num_envs=3, steps=7),
            NetworkConfig("mlp", hidden_size=6, frames=3, output_gain=0.7),
            CriticConfig(normalization="none", clip_value=False, huber_delta=3.0),
            LearningConfig(**LEARNING | {"minibatches": 20, "grad_clip": 2.0}),  # some without a living agent
        ),
    ),
}


@pytest.fixture
def battle(ragged_env):
    """The ragged toy with an agent-specific state; the second agent is often dead, sometimes for long."""

    class Battle(ragged_env):
        @property
        def agent_state_size(self):
            return 4

        @property
        def agent_state(self):
            return np.concatenate([self.obs, self.state[:, None, :1].repeat(2, 1)], -1)

        def _observe(self, b):
            super()._observe(b)
            if self._t[b] > 0 and self._rng[b].random() < 0.6:
                self.available_actions[b, 1] = np.arange(4) == 0
                self.obs[b, 1] = 0.0

    return Battle


@pytest.fixture
def make(battle):
    def build(config, *, seed=3, algorithm="mappo", eval_episodes=5):
        def make_env(num_envs, observation, env_seed):
            assert observation == config.rollout.observation
            return battle(num_envs, env_seed)

        return registry.find(algorithm).make_learner(
            config, make_env=make_env, seed=seed, device="cpu", eval_episodes=eval_episodes
        )

    return build


@pytest.mark.parametrize("name", RUNS)
def test_three_rounds_are_those_of_the_long_way(make, battle, name):
    kind, config = RUNS[name]
    learner = make(config, algorithm=name.split()[0])
    plain = PlainRun(config, battle, seed=3, kind=kind, rounds=3)
    for _ in range(3 * config.rollout.steps):
        learner.advance()
    assert (learner.env_steps, learner.updates, learner.episodes) == (plain.env_steps, plain.updates, plain.episodes)
    assert plain.updates == 3 * config.learning.epochs * config.learning.minibatches
    assert str(learner._streams.state_dict()) == str(plain.streams.state_dict())
    for got, want in ((learner._actor, plain.actor), (learner._critic, plain.critic)):
        for key, value in want.state_dict().items():
            torch.testing.assert_close(got.state_dict()[key].double(), value, atol=2e-5, rtol=2e-5)
    assert list(learner._norm.state_dict().values()) == pytest.approx(plain.moments.sums, rel=1e-5)
    metrics = learner.drain_metrics()
    assert without_clock(metrics) == pytest.approx(plain.metrics, abs=1e-5, rel=1e-4)
    assert {key for key in metrics if key.endswith(("_seconds", "_per_second"))} == {
        "env_seconds", "inference_seconds", "learning_seconds", "env_steps_per_second", "updates_per_second",
    }  # fmt: skip
    assert learner.evaluate(8) == pytest.approx(plain.evaluate(battle(5, 0), 8))
