"""The bounds of every setting: the last good value is taken, the first bad one is named."""

from __future__ import annotations

import re

import pytest

from baselines.value_based.config import AgentConfig, LearningConfig, QmixMixerConfig, QplexMixerConfig, RolloutConfig

AT_LEAST_ONE = {
    RolloutConfig: ("rollout", "num_envs", "epsilon_steps"),
    AgentConfig: ("agent", "hidden_size"),
    LearningConfig: (
        "learning", "capacity_episodes", "batch_episodes", "updates_per_episode", "target_every_episodes",
    ),
    QmixMixerConfig: ("mixer", "embed_size", "hypernet_size"),
    QplexMixerConfig: ("mixer", "heads", "query_size", "embed_size", "kernels", "kernel_layers", "kernel_size"),
}  # fmt: skip
NOT_NEGATIVE = {QplexMixerConfig: ("mixer", "attention_penalty", "unit_features")}
POSITIVE = {LearningConfig: ("learning", "learning_rate", "optimizer_epsilon", "grad_clip")}
FRACTIONS = {RolloutConfig: ("rollout", "epsilon_start", "epsilon_finish"), LearningConfig: ("learning", "gamma")}
TEXTS = {
    (RolloutConfig, "rollout", "timeout"): ("terminal", "bootstrap"),
    (LearningConfig, "learning", "optimizer"): ("rmsprop", "adam"),
    (QplexMixerConfig, "mixer", "kind"): ("dmaq_qatten", "dmaq"),
}
WITH = {  # what a setting's smallest value needs beside it
    "capacity_episodes": {"batch_episodes": 1, "start_episodes": 1},
    "kind": {"nonlinear": ()},
}


def fields(table):
    return [(kind, section, name) for kind, (section, *names) in table.items() for name in names]


def make(kind, name, value):
    return kind(**WITH.get(name, {}) | {name: value})


def refuses(kind, name, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(kind, name, value)


@pytest.mark.parametrize(("kind", "section", "name"), fields(AT_LEAST_ONE))
def test_counts_begin_at_one(kind, section, name):
    assert getattr(make(kind, name, 1), name) == 1
    refuses(kind, name, 0, f"{section}.{name} must be at least 1, got 0")


@pytest.mark.parametrize(("kind", "section", "name"), fields(NOT_NEGATIVE))
def test_some_may_be_zero(kind, section, name):
    assert getattr(make(kind, name, 0), name) == 0
    refuses(kind, name, -1, f"{section}.{name} must be at least 0, got -1")


@pytest.mark.parametrize(("kind", "section", "name"), fields(POSITIVE))
def test_scales_are_positive(kind, section, name):
    assert [getattr(make(kind, name, value), name) for value in (1e-9, 1.0)] == [1e-9, 1.0]
    for bad in (0, -1.0):
        refuses(kind, name, bad, f"{section}.{name} must be positive, got {bad}")


@pytest.mark.parametrize(("kind", "section", "name"), fields(FRACTIONS))
def test_fractions_lie_between_zero_and_one(kind, section, name):
    assert [getattr(make(kind, name, value), name) for value in (0.0, 1.0)] == [0.0, 1.0]
    for bad in (-0.001, 1.001):
        refuses(kind, name, bad, f"{section}.{name} must lie in [0, 1], got {bad}")


@pytest.mark.parametrize(("key", "known"), TEXTS.items())
def test_names_are_known(key, known):
    kind, section, name = key
    assert [getattr(make(kind, name, value), name) for value in known] == list(known)
    refuses(kind, name, "new", f"{section}.{name} must be one of {', '.join(known)}, got 'new'")


@pytest.mark.parametrize(("batch", "start", "capacity"), [(4, 4, 4), (4, 5, 6)])
def test_updates_start_when_a_batch_is_there(batch, start, capacity):
    sizes = {"batch_episodes": batch, "start_episodes": start, "capacity_episodes": capacity}
    assert LearningConfig(**sizes).start_episodes == start
    for bad in (batch - 1, capacity + 1):
        message = f"start_episodes must lie between batch_episodes ({batch}) and capacity_episodes ({capacity}), got "
        with pytest.raises(ValueError, match=re.escape(f"learning.{message}{bad}:")):
            LearningConfig(**sizes | {"start_episodes": bad})


def test_hypernets_have_one_layer_or_two():
    assert [QmixMixerConfig(hypernet_layers=layers).hypernet_layers for layers in (1, 2)] == [1, 2]
    for bad in (0, 3):
        refuses(QmixMixerConfig, "hypernet_layers", bad, f"mixer.hypernet_layers must be 1 or 2, got {bad}")


def test_only_attention_can_be_nonlinear():
    assert QplexMixerConfig(kind="dmaq_qatten", nonlinear=("*",)).nonlinear == ("*",)
    assert QplexMixerConfig(kind="dmaq", nonlinear=()).kind == "dmaq"
    message = "mixer.nonlinear must be empty with mixer.kind=dmaq, got ['*']"
    with pytest.raises(ValueError, match=re.escape(message)):
        QplexMixerConfig(kind="dmaq", nonlinear=("*",))
