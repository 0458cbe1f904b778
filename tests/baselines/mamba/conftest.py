"""Small MAMBA learners on the stochastic toy environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from baselines import registry
from baselines.mamba.config import MambaConfig
from training.config import apply_overrides, load_preset

SMALL = [
    "rollout.num_envs=3", "model.hidden_size=8", "model.heads=2", "model.categoricals=3", "model.classes=4",
    "model_learning.capacity_steps=60", "model_learning.start_steps=12", "model_learning.sequence_length=6",
    "model_learning.batch_sequences=4", "model_learning.updates_per_episode=2", "behaviour.batch_sequences=3",
    "behaviour.horizon=4", "behaviour.minibatch_rows=20", "behaviour.epochs=2",
]  # fmt: skip


@pytest.fixture
def config() -> Callable[..., MambaConfig]:
    def make(*overrides: str) -> MambaConfig:
        algorithm = registry.find("mamba")
        return apply_overrides(load_preset(algorithm.presets, "matrix", algorithm.config), [*SMALL, *overrides])

    return make


@pytest.fixture
def make(ragged_env) -> Callable[..., Any]:
    def build(settings: MambaConfig, *, seed: int = 0) -> Any:
        return registry.find("mamba").make_learner(
            settings, make_env=lambda num, _, seed: ragged_env(num, seed), seed=seed, device="cpu", eval_episodes=4
        )

    return build
