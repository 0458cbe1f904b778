"""The baselines on a CUDA device: the CPU's updates, and coming back."""

import pytest
import torch

from baselines import registry
from training.config import apply_overrides, load_preset

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]
MAMBA = ["model_learning.start_steps=30", "model_learning.capacity_steps=400", "behaviour.epochs=1"]
PPO = ["rollout.num_envs=4", "rollout.steps=10", "network.hidden_size=8"]


def config_of(name, small_config):
    if name in ("mappo", "ippo", "mamba"):
        algorithm = registry.find(name)
        return apply_overrides(
            load_preset(algorithm.presets, "matrix", algorithm.config), MAMBA if name == "mamba" else PPO
        )
    return small_config(name=name)


def tensors(state):
    if isinstance(state, dict):
        return [t for value in state.values() for t in tensors(value)]
    return [state] if isinstance(state, torch.Tensor) else []


@pytest.mark.parametrize("name", list(registry.ALGORITHMS))
def test_updates_are_the_cpus(name, make_learner, small_config):
    config = config_of(name, small_config)
    learners = [make_learner(config, algorithm=name, device=device) for device in ("cpu", "cuda")]
    for learner in learners:
        while learner.updates < 5:
            learner.advance()
    assert learners[0].env_steps == learners[1].env_steps
    for a, b in zip(*(tensors(learner.policy_state()) for learner in learners), strict=True):
        assert b.device.type == "cuda"
        torch.testing.assert_close(a, b.cpu(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["qmix", "qplex", "mappo", "mamba"])
def test_a_state_goes_to_another_learner_and_on(name, make_learner, small_config):
    config = config_of(name, small_config)
    first, second = (make_learner(config, algorithm=name, seed=seed, device="cuda") for seed in (0, 1))
    while first.updates < 5:
        first.advance()
    second.load_state_dict(first.state_dict())
    for learner in (first, second):
        for _ in range(30):
            learner.advance()
    assert first.updates == second.updates > 5
    for a, b in zip(tensors(first.policy_state()), tensors(second.policy_state()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert first.evaluate(1)["num_episodes"] == 4
