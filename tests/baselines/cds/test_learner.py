"""CDS as a learner: whole runs against the long way, coming back after a stop, target copies, what is learned."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.cds.config import CdsConfig, DiversityConfig, PredictorConfig
from baselines.value_based.config import AgentConfig, LearningConfig, QplexMixerConfig, RolloutConfig
from baselines.value_based.qplex import qplex
from tests.baselines.cds.plain import PlainCds
from training.evaluation import evaluate
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory

# No value is a default; gradients are cut in some updates, the ring is full before the run ends.
CONFIG = CdsConfig(
    RolloutConfig(num_envs=2, timeout="bootstrap", epsilon_start=0.5, epsilon_finish=0.3, epsilon_steps=50),
    AgentConfig(hidden_size=5, agent_id=False),
    LearningConfig(
        capacity_episodes=9, batch_episodes=3, start_episodes=4, updates_per_episode=2, target_every_episodes=4,
        gamma=0.8, optimizer="adam", learning_rate=0.01, optimizer_epsilon=0.01, grad_clip=7.0,
    ),
    QplexMixerConfig(
        unit_features=2, heads=2, query_size=5, embed_size=3, attention_penalty=0.3, kernels=2, kernel_size=4
    ),
    DiversityConfig(beta=0.3, beta1=0.7, beta2=1.5, local_penalty=0.4, anneal_rate=20_000.0, anneal_after=20),
    PredictorConfig(hidden_size=4, minibatch=7, learning_rate=0.02, optimizer_epsilon=0.01, grad_clip=0.5),
)  # fmt: skip


def test_a_run_is_that_of_the_long_way(ragged_env):
    entry, calls = registry.find("cds"), 22

    def make_env(num_envs, observation, seed):
        return ragged_env(num_envs, seed)

    learner = entry.make_learner(CONFIG, make_env=make_env, seed=4, device="cpu", eval_episodes=5)
    plain = PlainCds(CONFIG, ragged_env, make_mixer=qplex, seed=4, calls=calls)
    for _ in range(calls):
        learner.advance()
    assert len(plain.copies) > 1 and plain.env_steps > 40  # the reward has begun to fall
    norms = plain.facts["grad_norm"]
    assert min(norms) < CONFIG.learning.grad_clip < max(norms)
    counts = (learner.env_steps, learner.updates, learner.episodes, learner._last_copy)
    assert counts == (plain.env_steps, plain.updates, plain.episodes, plain.last_copy)
    assert str(learner._streams.state_dict()) == str(plain.streams.state_dict())
    pairs = [(learner._live, plain.live), (learner._target, plain.target)]
    pairs += list(zip(learner._bonus._live.values(), plain.predictors))
    pairs += list(zip(learner._bonus._target.values(), plain.copies_of_predictors))
    for got, want in pairs:
        for key, value in want.state_dict().items():
            torch.testing.assert_close(got.state_dict()[key].double(), value, atol=1e-4, rtol=1e-4)
    assert without_clock(learner.drain_metrics()) == pytest.approx(plain.metrics, rel=1e-4, abs=1e-4)
    assert learner.evaluate(8) == pytest.approx(plain.evaluate(ragged_env(5, 0), 8))


def run(learner, path, steps, **options):
    directory = RunDirectory(path)
    with directory.claim({"seed": 0}):
        assert train(learner, directory, Schedule(steps, 50, **options)) == 0
    return [without_clock(r) for r in read_records(directory.metrics_path)] if directory.finished else None


def parameters(learner):
    nets = (learner._live, learner._target, *learner._bonus._live.values(), *learner._bonus._target.values())
    return torch.cat([p.detach().flatten() for net in nets for p in net.parameters()])


SMALL = ["mixer.kernels=2", "mixer.kernel_size=4", "predictor.hidden_size=5", "predictor.minibatch=16"]


@pytest.mark.parametrize("stops", [(30,), (70, 110)])
def test_stop_and_resume_is_no_stop(small_config, make_learner, tmp_path, stops):
    config = small_config(*SMALL, "learning.target_every_episodes=4", name="cds")

    def make(seed=0):
        return make_learner(config, algorithm="cds", seed=seed)

    whole = make()
    expected = run(whole, tmp_path / "whole", 150)
    for stop in stops:  # a fresh learner each time, as in a new process
        assert run(make(), tmp_path / "parts", 150, stop_at=stop) is None
    last = make()
    assert run(last, tmp_path / "parts", 150) == expected
    assert torch.equal(parameters(last), parameters(whole))


def test_a_learner_of_another_seed_goes_on_from_a_state_exactly(small_config, make_learner):
    config = small_config(*SMALL, name="cds")
    first, second = (make_learner(config, algorithm="cds", seed=seed) for seed in (0, 1))
    for _ in range(25):
        first.advance()
    state = copy.deepcopy({name: value for name, value in first.state_dict().items() if name == "bonus"})
    second.load_state_dict(first.state_dict())
    for learner in (first, second):
        for _ in range(20):
            learner.advance()
    assert torch.equal(parameters(first), parameters(second))
    assert without_clock(first.drain_metrics()) == without_clock(second.drain_metrics())
    assert first.evaluate(3) == second.evaluate(3)
    kept = state["bonus"]["live"]["p"]["first.weight"]
    assert not torch.equal(kept, first._bonus._live["p"].first.weight)  # what was saved did not go on learning


def test_k_episodes_bring_k_times_as_many_updates_and_predictors_are_copied_with_the_target(small_config, make_learner):
    learner = make_learner(small_config(*SMALL, "rollout.num_envs=1", name="cds"), algorithm="cds")
    copies, before = [], parameters(learner)[-1].item()
    target = learner._bonus._target["q"]
    kept = copy.deepcopy(target.state_dict())
    while learner.episodes < 45:
        learner.advance()
        assert learner.updates == max(0, learner.episodes - 5)
        if not torch.equal(target.first.weight, kept["first.weight"]):
            copies.append(learner.episodes - 1)
            kept = copy.deepcopy(target.state_dict())
            for name, value in learner._bonus._live["q"].state_dict().items():
                assert torch.equal(kept[name], value)
            for name, value in learner._live.state_dict().items():
                assert torch.equal(learner._target.state_dict()[name], value)
    assert copies == [10, 20, 30, 40] and parameters(learner)[-1].item() != before


def test_streams_have_one_use_each(small_config, make_learner):
    learner = make_learner(small_config(*SMALL, name="cds"), algorithm="cds")
    before = learner._streams.state_dict()
    while not learner.updates:
        learner.advance()
    after = learner._streams.state_dict()
    assert {name for name in after if after[name] != before[name]} == {"explore", "replay"}


def test_a_checkpoint_plays_with_its_local_heads(small_config, make_learner, ragged_env):
    config = small_config(*SMALL, "learning.learning_rate=0.02", name="cds")
    learner = make_learner(config, algorithm="cds")
    for _ in range(20):
        learner.advance()
    entry, env = registry.find("cds"), ragged_env(4, 0)
    state = learner.policy_state()
    assert "agent.local_heads.weight" in state["live"]
    loaded = entry.load_policy(config, env.info, state, device="cpu")
    assert evaluate(loaded, env, seed=5) == learner.evaluate(5)
    heads = state["live"]["agent.local_heads.bias"]
    heads[:, :, 3] += 100.0  # whoever may plays the last action
    loaded = entry.load_policy(config, env.info, state, device="cpu")
    env.reset(0)
    loaded.start(4)
    actions = loaded.act(env)
    assert (actions[env.available_actions[..., 3]] == 3).all()


def test_logged_names(small_config, make_learner):
    learner = make_learner(small_config(*SMALL, name="cds"), algorithm="cds")
    while learner.updates < 2:
        learner.advance()
    metrics = learner.drain_metrics()
    assert {
        "loss", "intrinsic_mean", "intrinsic_observation_mean", "intrinsic_policy_mean", "predictor_p_loss",
        "predictor_q_loss",
    } <= set(metrics)  # fmt: skip
    assert all(np.isfinite(value) for value in metrics.values())
