"""Learners and policies on another device than the CPU do the same, and leave nothing behind."""

from __future__ import annotations

import pytest
import torch

from baselines import optimizer, registry
from baselines.mamba import config as mamba_settings
from baselines.mappo.config import CriticConfig, LearningConfig, NetworkConfig, PpoConfig, RolloutConfig
from tests.baselines.elsewhere import DEVICE, Elsewhere
from training.evaluation import evaluate
from training.metrics import without_clock


@pytest.fixture
def elsewhere(monkeypatch):
    """The device; optimisers, whose tensors are all views or gradients of one network's, do without the checks."""

    def unchecked(owner, name):
        function = getattr(owner, name)

        def call(*arguments, **named):
            with torch._C.DisableTorchFunction():
                return function(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    unchecked(torch.optim.Adam, "step")
    unchecked(optimizer.FlatParameters, "__init__")
    unchecked(optimizer.FlatParameters, "step")
    device, deepcopy = Elsewhere(), torch.nn.Parameter.__deepcopy__
    monkeypatch.setattr(torch.nn.Parameter, "__deepcopy__", lambda x, memo: device.follow(deepcopy(x, memo), x))
    return device


def test_the_device_refuses_what_a_real_one_would(elsewhere):
    with elsewhere:
        here, there = torch.ones(3), torch.ones(3).to(DEVICE)
        assert elsewhere.is_there(torch.zeros(2, device=DEVICE)) and elsewhere.is_there(there * 2)
        assert not elsewhere.is_there(there.cpu()) and there[torch.tensor([0, 1])].tolist() == [1, 1]
        with pytest.raises(RuntimeError, match="two devices"):
            here + there
        with pytest.raises(RuntimeError, match="two devices"):
            torch.nn.Linear(3, 2)(there)
        with pytest.raises(TypeError, match="copy it to the CPU first"):
            there.numpy()
        torch.nn.Linear(3, 2).to(DEVICE)(there).sum().backward()


def ppo(**learning):
    return PpoConfig(
        RolloutConfig(num_envs=2, steps=6),
        NetworkConfig(hidden_size=4, frames=2),
        CriticConfig(normalization="popart"),
        LearningConfig(epochs=2, chunk_length=3, **learning),
    )


def mamba():
    kinds = mamba_settings
    return kinds.MambaConfig(
        kinds.RolloutConfig(num_envs=2),
        kinds.ModelConfig(hidden_size=8, categoricals=2, classes=3, attention_layers=1, heads=2),
        kinds.ModelLearningConfig(start_steps=10, sequence_length=6, batch_sequences=3, updates_per_episode=2),
        kinds.BehaviourConfig(updates_per_episode=1, batch_sequences=2, horizon=3, epochs=1),
    )


@pytest.mark.parametrize(
    ("algorithm", "config", "calls"),
    [
        ("mappo", ppo(minibatches=2), 14),
        ("ippo", ppo(), 14),
        ("qmix", None, 18),
        ("qplex", None, 18),
        ("cds", None, 18),
        ("rode", None, 24),
        ("mamba", mamba(), 14),
    ],
)
def test_a_run_elsewhere_is_that_on_the_cpu(elsewhere, ragged_env, small_config, algorithm, config, calls):
    entry = registry.find(algorithm)
    if config is None:
        kernels = ["mixer.kernels=2", "mixer.kernel_size=3"]
        more = {"qplex": kernels, "cds": kernels, "rode": ["roles.cluster_after=50"]}
        config = small_config("learning.capacity_episodes=8", *more.get(algorithm, []), name=algorithm)

    def run(device):
        def make_env(num_envs, observation, seed):
            return ragged_env(num_envs, seed)

        learner = entry.make_learner(config, make_env=make_env, seed=0, device=device, eval_episodes=3)
        for _ in range(calls):
            learner.advance()
        played = learner.evaluate(1)
        env = ragged_env(3, 0)
        loaded = entry.load_policy(config, env.info, learner.state_dict(), device=device)
        assert evaluate(loaded, env, seed=1) == played
        assert learner.updates > 2
        return {**without_clock(learner.drain_metrics()), **played}

    expected = run("cpu")
    with elsewhere:
        assert run(DEVICE) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert elsewhere.crossings > 0
