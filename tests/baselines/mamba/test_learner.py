"""The learner: what it collects, how often it updates, and that a checkpoint holds all there is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.mamba.learner import load_policy
from tests.baselines.value_based.test_state_and_clocks import plain, same
from training.config import apply_overrides
from training.evaluation import evaluate
from training.metrics import without_clock


def test_episodes_that_end_by_themselves_are_followed_by_absorbing_steps(config, make):
    learner = make(config("model_learning.start_steps=60", "rollout.timeout=bootstrap"))
    kinds = set()
    for _ in range(60):
        for item in learner._rollout.step():
            episode, length = item.episode, item.length
            absorbing = len(episode.reward) - length
            kinds.add(absorbing)
            assert absorbing == (2 if item.won else 0)  # in this game, who does not run out of time has won
            assert episode.done.tolist() == [False] * (length - 1) + [item.won] * (1 + absorbing)
            assert episode.fake.tolist() == [False] * length + [True] * absorbing
            assert not episode.obs[length:].any() and not episode.reward[length:].any()
            assert episode.avail[length:].all() and episode.obs[:length].all()
            assert (episode.action[length:] == episode.action[-1]).all()
            legal = np.take_along_axis(episode.avail, episode.action[..., None], -1)
            assert legal.all()
            assert item.team_return == pytest.approx(float(episode.action[:length].sum()))
    assert kinds == {0, 2}


@pytest.mark.parametrize(("timeout", "over"), [("terminal", True), ("bootstrap", False)])
def test_a_time_out_is_what_the_setting_says(config, make, timeout, over):
    learner = make(config("model_learning.start_steps=60", f"rollout.timeout={timeout}"))
    ends = [item for _ in range(60) for item in learner._rollout.step() if not item.won]
    assert ends and all(item.episode.done.tolist() == [False] * (item.length - 1) + [over] for item in ends)


def test_each_finished_episode_brings_its_updates(config, make):
    learner = make(config())
    while learner.updates == 0:
        learner.advance()
    started = learner.episodes
    assert len(learner._store) >= 12
    rows = (4 - 1) * 3 * (6 - 2)  # transitions x sequences x posterior states of a sequence of 6 stored steps
    per_episode = 2 + 2 * -(-rows // 20)
    assert learner.updates % per_episode == 0
    before = learner.updates
    for _ in range(15):
        learner.advance()
    assert learner.updates - before == (learner.episodes - started) * per_episode
    decay = 0.99998 ** (learner.updates * (per_episode - 2) // per_episode)
    assert learner._entropy_weight == pytest.approx(0.01 * decay, rel=1e-9)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_first_minibatch_has_ratio_one(config, make, precision):
    learner = make(config("behaviour.epochs=1", "behaviour.minibatch_rows=1000", f"compute.precision={precision}"))
    while learner.updates == 0:
        learner.advance()
    learner.drain_metrics()
    learner._update_behaviour()
    metrics = learner.drain_metrics()
    assert metrics["ratio_mean"] == pytest.approx(1.0, abs=1e-5) and metrics["clip_fraction"] == 0.0


@pytest.mark.parametrize("at", [2, 8, 30])  # before the first update, after a few, with a full ring
def test_a_learner_of_another_seed_goes_on_from_a_state_exactly(config, make, at):
    first, second = make(config()), make(config(), seed=1)
    for _ in range(at):
        first.advance()
    kept = copy.deepcopy(plain(first.state_dict()))
    for _ in range(5):
        second.advance()
    second.load_state_dict(first.state_dict())
    assert same(plain(second.state_dict()), kept)
    for learner in (first, second):
        for _ in range(12):
            learner.advance()
    assert first.updates > 0
    assert same(plain(second.state_dict()), plain(first.state_dict()))
    assert without_clock(second.drain_metrics()) == without_clock(first.drain_metrics())
    assert second.evaluate(3) == first.evaluate(3)


@pytest.mark.parametrize("action", ["mode", "sample"])
@pytest.mark.parametrize("latent", ["mode", "sample"])
def test_policy_states_play_the_episodes_of_their_learner(config, make, ragged_env, latent, action):
    evaluation = [f"rollout.evaluation_latent={latent}", f"rollout.evaluation_action={action}"]
    settings = config(*evaluation, "behaviour.actor_learning_rate=0.05")
    learner, other = make(settings), make(settings, seed=2)
    for _ in range(10):
        learner.advance()
    expected, state = learner.evaluate(5), learner.policy_state()
    assert learner.evaluate(5) == expected and other.evaluate(5) != expected != learner.evaluate(6)
    for _ in range(20):
        learner.advance()
    other.load_policy_state(state)
    assert other.evaluate(5) == expected
    env = ragged_env(4, 0)
    assert evaluate(load_policy(settings, env.info, state, device="cpu"), env, seed=5) == expected


def test_streams_have_one_use_each(config, make):
    learner = make(config())
    before = learner._streams.state_dict()
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    learner.evaluate(1)
    assert learner._streams.state_dict() == before
    while not learner.updates:
        learner.advance()
    after = learner._streams.state_dict()
    assert {name for name in after if after[name] != before[name]} == {"explore", "replay"}
    assert torch.equal(torch.get_rng_state(), expected)


def test_metrics_have_their_names(config, make):
    learner = make(config())
    while not learner.updates:
        learner.advance()
    metrics = learner.drain_metrics()
    assert set(metrics) == {
        "model_loss", "reconstruction_loss", "reward_loss", "continuation_loss", "legality_loss", "information_loss",
        "kl", "legality_accuracy", "model_grad_norm", "imagined_reward_mean", "imagined_return_mean",
        "imagined_continuation_mean", "value_mean", "nothing_legal_fraction", "policy_loss", "value_loss", "entropy",
        "clip_fraction", "ratio_mean", "actor_grad_norm", "critic_grad_norm", "train_return_mean",
        "train_length_mean", "train_win_rate", "env_steps_per_second", "updates_per_second", "collecting_seconds",
        "learning_seconds", "model_seconds", "imagination_seconds", "ppo_seconds",
    }  # fmt: skip
    parts = metrics["model_seconds"] + metrics["imagination_seconds"] + metrics["ppo_seconds"]
    assert 0 < parts <= metrics["learning_seconds"]
    assert learner.drain_metrics() == {}


def test_every_run_setting_reaches_its_environments(config, ragged_env):
    asked = []

    def make_env(num_envs, observation, seed):
        asked.append((num_envs, observation, seed))
        return ragged_env(num_envs, seed)

    settings = apply_overrides(config(), ["rollout.num_envs=2", "rollout.observation=mazero"])
    registry.find("mamba").make_learner(settings, make_env=make_env, seed=0, device="cpu", eval_episodes=3)
    (train, evaluation) = asked
    assert train[:2] == (2, "mazero") and evaluation[:2] == (3, "mazero") and train[2] != evaluation[2]
