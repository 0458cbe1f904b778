"""What a checkpoint holds is all there is; seconds are counted where they are spent."""

from __future__ import annotations

import copy
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.mappo import rollout
from baselines.mappo.config import CriticConfig, LearningConfig, NetworkConfig, PpoConfig, RolloutConfig
from baselines.mappo.learner import load_policy
from training.evaluation import evaluate
from training.metrics import without_clock


def config(*, kind="rnn", frames=1, minibatches=1, normalization="valuenorm"):
    return PpoConfig(
        RolloutConfig(num_envs=3, steps=6),
        NetworkConfig(kind, hidden_size=6, frames=frames, output_gain=2.0),
        CriticConfig(normalization=normalization),
        LearningConfig(epochs=2, minibatches=minibatches, chunk_length=3, actor_learning_rate=0.01),
    )


@pytest.fixture
def make(ragged_env):
    def build(settings, *, seed=0, algorithm="mappo"):
        return registry.find(algorithm).make_learner(
            settings, make_env=lambda num, _, seed: ragged_env(num, seed), seed=seed, device="cpu", eval_episodes=4
        )

    return build


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("at", [4, 6, 16])  # inside the first round, right after it, inside the third
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("mappo", config()),
        ("mappo", config(frames=2, minibatches=2, normalization="popart")),
        ("ippo", config(kind="mlp", frames=3, normalization="none")),
    ],
)
def test_a_learner_of_another_seed_goes_on_from_a_state_exactly(make, algorithm, settings, at):
    first, second = make(settings, algorithm=algorithm), make(settings, seed=1, algorithm=algorithm)
    for _ in range(at):
        first.advance()
    state = first.state_dict()
    kept = copy.deepcopy(state)
    for _ in range(9):
        first.advance()
    assert same(state, kept)  # copies: the run went on without them
    for _ in range(7):
        second.advance()
    second.load_state_dict(copy.deepcopy(state))
    assert same(second.state_dict(), kept)
    for _ in range(9):
        second.advance()
    assert same(second.state_dict(), first.state_dict())
    assert without_clock(second.drain_metrics()) == without_clock(first.drain_metrics())
    assert second.evaluate(3) == first.evaluate(3)


def test_policy_states_play_the_episodes_of_their_learner(make, ragged_env):
    settings = config(frames=2)
    settings = replace(settings, learning=replace(settings.learning, actor_learning_rate=0.1))
    learner, other = make(settings), make(settings, seed=1)
    for _ in range(12):
        learner.advance()
    expected, state = learner.evaluate(5), learner.policy_state()
    assert other.evaluate(5) != expected != learner.evaluate(6)
    for _ in range(12):
        learner.advance()
    assert learner.evaluate(5) != expected
    other.load_policy_state(state)
    assert other.evaluate(5) == expected
    env = ragged_env(4, 0)
    loaded = load_policy(settings, env.info, state, device="cpu")
    assert evaluate(loaded, env, seed=5) == expected


@pytest.mark.parametrize(("algorithm", "looks"), [("mappo", 1), ("ippo", 0)])
def test_seconds_go_to_what_they_were_spent_on(make, monkeypatch, algorithm, looks):
    """A step takes 4 s, new episodes 2 s, the critic's input 1 s, the actor 16 s and the updates of a round 64 s."""
    clock, resets = [100.0], []
    learner = make(config(), algorithm=algorithm)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(owner, name, seconds):
        function = getattr(owner, name)

        def call(*arguments):
            clock[0] += seconds
            resets.append(name)
            return function(*arguments)

        monkeypatch.setattr(owner, name, call)

    slow(learner._env, "step", 4.0)
    slow(learner._env, "reset_done", 2.0)
    slow(rollout, "critic_input", 1.0)
    slow(learner._rollout._policy, "log_policy", 16.0)
    slow(learner, "_update", 64.0)
    for calls in (8, 12):  # one round is complete, then two more
        resets.clear()
        updates = learner.updates
        for _ in range(calls):
            learner.advance()
        rounds, starts = (learner.updates - updates) // 2, resets.count("reset_done")
        assert rounds == calls // 6 and starts > 0
        spent = {"env": (4 + looks) * calls + 2 * starts, "inference": 16 * calls, "learning": 64 * rounds}
        total, metrics = sum(spent.values()), learner.drain_metrics()
        clocked = {name: metrics[name] for name in metrics if name not in without_clock(metrics)}
        assert clocked == pytest.approx(
            {f"{name}_seconds": seconds for name, seconds in spent.items()}
            | {"env_steps_per_second": 3 * calls / total, "updates_per_second": 2 * rounds / total}
        )


def test_streams_have_one_use_each(make):
    """Whole-batch updates draw nothing, minibatches from `replay`, actions from `explore`, evaluations from none."""
    for minibatches, used in ((1, {"explore"}), (2, {"explore", "replay"})):
        learner = make(config(minibatches=minibatches))
        before = learner._streams.state_dict()
        learner.evaluate(1)
        assert learner._streams.state_dict() == before
        for _ in range(6):
            learner.advance()
        after = learner._streams.state_dict()
        assert {name for name in after if after[name] != before[name]} == used


def test_every_run_setting_reaches_its_environments(ragged_env):
    asked = []

    def make_env(num_envs, observation, seed):
        asked.append((num_envs, observation, seed))
        return ragged_env(num_envs, seed)

    settings = PpoConfig(RolloutConfig(num_envs=2, steps=10, observation="smac"), NetworkConfig(hidden_size=4))
    learner = registry.find("mappo").make_learner(settings, make_env=make_env, seed=0, device="cpu", eval_episodes=3)
    (train, evaluation) = asked
    assert train[:2] == (2, "smac") and evaluation[:2] == (3, "smac") and train[2] != evaluation[2]
    twin = ragged_env(2, train[2])
    twin.reset(train[2])
    np.testing.assert_array_equal(learner._env.obs, twin.obs)
    assert learner.config.critic.input == "team_state"
    assert torch.is_grad_enabled()
