"""What a checkpoint holds is all there is; seconds are counted where they are spent."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest

from baselines import registry
from baselines.value_based.learner import load_policy
from tests.baselines.states import plain, same
from training.evaluation import evaluate
from training.metrics import without_clock


@pytest.mark.parametrize("at", [4, 30])  # before the first update; with a full ring
@pytest.mark.parametrize(
    ("algorithm", "overrides"), [("qmix", ()), ("vdn", ("learning.optimizer=rmsprop", "learning.double_q=false"))]
)
def test_a_learner_of_another_seed_goes_on_from_a_state_exactly(small_config, make_learner, algorithm, overrides, at):
    config = small_config("learning.capacity_episodes=8", *overrides, name=algorithm)
    first, second = (make_learner(config, seed=seed, algorithm=algorithm) for seed in (0, 1))
    for _ in range(at):
        first.advance()
    state = first.state_dict()
    kept = copy.deepcopy(plain(state))
    second.load_state_dict(first.state_dict())
    for _ in range(20):
        first.advance()
    again = make_learner(config, seed=2, algorithm=algorithm)
    for _ in range(7):
        again.advance()
    del state["store"]  # its rows are read while nothing else goes on
    assert same(plain(state), {name: value for name, value in kept.items() if name != "store"})
    assert same(plain(second.state_dict()), kept)
    again.load_state_dict(second.state_dict())
    for learner in (second, again):
        for _ in range(20):
            learner.advance()
        assert same(plain(learner.state_dict()), plain(first.state_dict()))
    assert without_clock(second.drain_metrics()) == without_clock(first.drain_metrics())
    assert second.evaluate(3) == first.evaluate(3)


def test_policy_states_play_the_episodes_of_their_learner(small_config, make_learner, ragged_env):
    config = small_config("learning.learning_rate=0.02")
    learner, other = make_learner(config), make_learner(config, seed=1)
    for _ in range(20):
        learner.advance()
    expected, state = learner.evaluate(5), learner.policy_state()
    assert other.evaluate(5) != expected != learner.evaluate(6)
    for _ in range(20):
        learner.advance()
    assert learner.evaluate(5) != expected
    other.load_policy_state(state)
    assert other.evaluate(5) == expected
    env = ragged_env(4, 0)
    assert evaluate(load_policy(config, env.info, state, device="cpu"), env, seed=5) == expected


def test_seconds_go_to_what_they_were_spent_on(small_config, make_learner, monkeypatch):
    """A step in all slots takes 3 s, an update 5 s."""
    clock, learner = [100.0], make_learner(small_config("learning.updates_per_episode=2"))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow(owner, name, seconds):
        function = getattr(owner, name)

        def call(*arguments):
            clock[0] += seconds
            return function(*arguments)

        monkeypatch.setattr(owner, name, call)

    slow(learner._rollout, "step", 3.0)
    slow(learner, "_update", 5.0)
    for calls in (10, 12):
        before = learner.updates
        for _ in range(calls):
            learner.advance()
        updates = learner.updates - before
        assert updates > 0
        total, metrics = 3 * calls + 5 * updates, learner.drain_metrics()
        assert {name: metrics[name] for name in metrics if name not in without_clock(metrics)} == pytest.approx(
            {
                "collecting_seconds": 3 * calls,
                "learning_seconds": 5 * updates,
                "env_steps_per_second": 3 * calls / total,
                "updates_per_second": updates / total,
            }
        )


def test_streams_have_one_use_each(small_config, make_learner):
    learner = make_learner(small_config())
    before = learner._streams.state_dict()
    learner.evaluate(1)
    assert learner._streams.state_dict() == before
    while not learner.updates:
        learner.advance()
    after = learner._streams.state_dict()
    assert {name for name in after if after[name] != before[name]} == {"explore", "replay"}


def test_every_run_setting_reaches_its_environments(small_config, ragged_env):
    asked = []

    def make_env(num_envs, observation, seed):
        asked.append((num_envs, observation, seed))
        return ragged_env(num_envs, seed)

    config = small_config("rollout.num_envs=2", "rollout.observation=mazero")
    learner = registry.find("qmix").make_learner(config, make_env=make_env, seed=0, device="cpu", eval_episodes=3)
    (train, evaluation) = asked
    assert train[:2] == (2, "mazero") and evaluation[:2] == (3, "mazero") and train[2] != evaluation[2]
    twin = ragged_env(2, train[2])
    twin.reset(train[2])
    np.testing.assert_array_equal(learner._env.obs, twin.obs)
    assert not any(p.requires_grad for p in learner._target.parameters())
    assert all(p.requires_grad for p in learner._live.parameters())
