"""Whole runs of some episodes against the long way: weights, metrics, random streams and evaluations."""

from __future__ import annotations

import pytest
import torch

from baselines import registry
from baselines.value_based.config import (
    AgentConfig,
    LearningConfig,
    QmixConfig,
    QmixMixerConfig,
    QplexConfig,
    QplexMixerConfig,
    RolloutConfig,
    ValueConfig,
)
from tests.baselines.value_based.plain import PlainRun
from training.metrics import without_clock

# No value is a default; gradients are cut in some updates, the ring is full before the run ends.
LEARNING = {
    "capacity_episodes": 9, "batch_episodes": 3, "start_episodes": 4, "updates_per_episode": 2,
    "target_every_episodes": 5, "gamma": 0.8, "optimizer": "adam", "learning_rate": 0.01, "optimizer_epsilon": 0.01,
    "grad_clip": 8.0,
}  # fmt: skip
RUNS = {
    "qmix": QmixConfig(
        RolloutConfig(num_envs=3, epsilon_start=0.9, epsilon_finish=0.2, epsilon_steps=40),
        AgentConfig(hidden_size=6),
        LearningConfig(**LEARNING),
        QmixMixerConfig(embed_size=4, hypernet_size=5),
    ),
    "iql": ValueConfig(
        RolloutConfig(num_envs=1, timeout="bootstrap", epsilon_start=0.6, epsilon_finish=0.1, epsilon_steps=30),
        AgentConfig(hidden_size=5, last_action=False),
        LearningConfig(
            **LEARNING | {"double_q": False, "optimizer": "rmsprop", "target_every_episodes": 4, "grad_clip": 5.5}
        ),
    ),
    "qplex": QplexConfig(
        RolloutConfig(num_envs=2, timeout="bootstrap", epsilon_start=0.5, epsilon_finish=0.3, epsilon_steps=50),
        AgentConfig(hidden_size=5, agent_id=False),
        LearningConfig(**LEARNING | {"updates_per_episode": 1, "grad_clip": 7.0}),
        QplexMixerConfig(
            unit_features=2, heads=2, query_size=5, embed_size=3, attention_penalty=0.3, kernels=2, kernel_size=4
        ),
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_that_of_the_long_way(ragged_env, name):
    config, entry, calls = RUNS[name], registry.find(name), {"qmix": 16, "iql": 50, "qplex": 24}[name]

    def make_env(num_envs, observation, seed):
        assert observation == config.rollout.observation
        return ragged_env(num_envs, seed)

    learner = entry.make_learner(config, make_env=make_env, seed=4, device="cpu", eval_episodes=5)
    mixer = entry.make_learner.keywords["make_mixer"]
    plain = PlainRun(config, ragged_env, make_mixer=mixer, seed=4, calls=calls)
    for _ in range(calls):
        learner.advance()
    assert plain.episodes > 10 and len(plain.copies) > 1
    norms = plain.facts["grad_norm"]
    assert min(norms) < config.learning.grad_clip < max(norms)
    counts = (learner.env_steps, learner.updates, learner.episodes, learner._last_copy)
    assert counts == (plain.env_steps, plain.updates, plain.episodes, plain.last_copy)
    assert str(learner._streams.state_dict()) == str(plain.streams.state_dict())
    for got, want in ((learner._live, plain.live), (learner._target, plain.target)):
        for key, value in want.state_dict().items():
            torch.testing.assert_close(got.state_dict()[key].double(), value, atol=1e-4, rtol=1e-4)
    metrics = learner.drain_metrics()
    assert without_clock(metrics) == pytest.approx(plain.metrics, rel=1e-4, abs=1e-4)
    assert {key for key in metrics if key.endswith(("_seconds", "_per_second"))} == {
        "collecting_seconds", "learning_seconds", "env_steps_per_second", "updates_per_second",
    }  # fmt: skip
    assert learner.evaluate(8) == pytest.approx(plain.evaluate(ragged_env(5, 0), 8))
