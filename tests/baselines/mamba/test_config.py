"""The bounds of every setting: the last good value is taken, the first bad one is named."""

from __future__ import annotations

import re

import pytest
import yaml

from baselines import registry
from baselines.mamba.config import BehaviourConfig, ComputeConfig, ModelConfig, ModelLearningConfig, RolloutConfig
from training.config import load_preset, to_dict

COUNTS = {
    RolloutConfig: ("rollout", "num_envs"),
    ModelConfig: ("model", "categoricals", "classes", "attention_layers", "heads"),
    ModelLearningConfig: ("model_learning", "batch_sequences", "updates_per_episode"),
    BehaviourConfig: ("behaviour", "updates_per_episode", "batch_sequences", "epochs", "minibatch_rows"),
}
POSITIVE = {
    ModelLearningConfig: ("model_learning", "learning_rate", "grad_clip"),
    BehaviourConfig: ("behaviour", "clip", "actor_learning_rate", "critic_learning_rate", "grad_clip"),
}
FRACTIONS = {
    ModelLearningConfig: ("model_learning", "kl_balance"),
    BehaviourConfig: ("behaviour", "gamma", "gae_lambda", "entropy_decay"),
}
TEXTS = {
    (RolloutConfig, "rollout", "timeout"): ("terminal", "bootstrap"),
    (RolloutConfig, "rollout", "evaluation_latent"): ("mode", "sample"),
    (RolloutConfig, "rollout", "evaluation_action"): ("mode", "sample"),
    (ComputeConfig, "compute", "precision"): ("float32", "bfloat16"),
}


def fields(table):
    return [(kind, section, name) for kind, (section, *names) in table.items() for name in names]


def refuses(kind, settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kind(**settings)


@pytest.mark.parametrize(("kind", "section", "name"), fields(COUNTS))
def test_counts_begin_at_one(kind, section, name):
    assert getattr(kind(**{name: 1}), name) == 1
    refuses(kind, {name: 0}, f"{section}.{name} must be at least 1, got 0")


@pytest.mark.parametrize(("kind", "section", "name"), fields(POSITIVE))
def test_scales_are_positive(kind, section, name):
    assert getattr(kind(**{name: 1e-9}), name) == 1e-9
    refuses(kind, {name: 0}, f"{section}.{name} must be positive, got 0")


@pytest.mark.parametrize(("kind", "section", "name"), fields(FRACTIONS))
def test_fractions(kind, section, name):
    assert [getattr(kind(**{name: value}), name) for value in (0.0, 1.0)] == [0.0, 1.0]
    for bad in (-0.1, 1.1):
        refuses(kind, {name: bad}, f"{section}.{name} must lie in [0, 1], got {bad}")


@pytest.mark.parametrize(("key", "known"), TEXTS.items())
def test_names_are_known(key, known):
    kind, section, name = key
    assert [getattr(kind(**{name: value}), name) for value in known] == list(known)
    refuses(kind, {name: "new"}, f"{section}.{name} must be one of {', '.join(known)}, got 'new'")


def test_other_bounds():
    assert BehaviourConfig(entropy_coefficient=0, weight_decay=0, horizon=2).horizon == 2
    refuses(BehaviourConfig, {"horizon": 1}, "behaviour.horizon must be at least 2, got 1")
    refuses(BehaviourConfig, {"entropy_coefficient": -0.1}, "behaviour.entropy_coefficient must be at least 0")
    refuses(BehaviourConfig, {"weight_decay": -0.1}, "behaviour.weight_decay must be at least 0, got -0.1")
    assert ModelConfig(dropout=0.0).dropout == 0.0
    refuses(ModelConfig, {"dropout": 1.0}, "model.dropout must lie in [0, 1), got 1.0")
    refuses(ModelConfig, {"hidden_size": 12}, "model.heads must divide hidden_size (12), got 8")
    refuses(ModelLearningConfig, {"sequence_length": 3}, "model_learning.sequence_length must be at least 4, got 3")
    assert ModelLearningConfig(start_steps=21, capacity_steps=21).capacity_steps == 21
    message = "model_learning.start_steps must lie between sequence_length (20) and capacity_steps (250000), got "
    for bad in (20, 250_001):
        refuses(ModelLearningConfig, {"start_steps": bad}, f"{message}{bad}")


@pytest.mark.parametrize("preset", ["published", "low_data", "matrix"])
def test_every_preset_names_every_setting(preset):
    algorithm = registry.find("mamba")
    config = to_dict(load_preset(algorithm.presets, preset, algorithm.config))
    written = yaml.safe_load((algorithm.presets / f"{preset}.yaml").read_text())
    assert {name: set(part) for name, part in written.items()} == {name: set(part) for name, part in config.items()}


def test_published_settings_are_the_defaults():
    algorithm = registry.find("mamba")
    assert load_preset(algorithm.presets, "published", algorithm.config) == algorithm.config()
