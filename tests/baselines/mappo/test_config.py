"""The bounds of every setting: the last good value is taken, the first bad one is named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from baselines.mappo.config import CriticConfig, LearningConfig, NetworkConfig, PpoConfig, RolloutConfig

AT_LEAST_ONE = {
    RolloutConfig: ("rollout", "num_envs", "steps"),
    NetworkConfig: ("network", "hidden_size", "frames"),
    LearningConfig: ("learning", "epochs", "minibatches", "chunk_length"),
}
POSITIVE = {
    NetworkConfig: ("network", "output_gain"),
    CriticConfig: ("critic", "huber_delta"),
    LearningConfig: (
        "learning", "clip", "actor_learning_rate", "critic_learning_rate", "optimizer_epsilon", "grad_clip",
    ),
}  # fmt: skip
TEXTS = {
    (NetworkConfig, "network", "kind"): ("rnn", "mlp"),
    (CriticConfig, "critic", "input"): ("central", "agent_state", "team_state", "obs"),
    (CriticConfig, "critic", "normalization"): ("valuenorm", "popart", "none"),
}


def fields(table):
    return [(kind, section, name) for kind, (section, *names) in table.items() for name in names]


def refuses(kind, settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kind(**settings)


@pytest.mark.parametrize(("kind", "section", "name"), fields(AT_LEAST_ONE))
def test_counts_begin_at_one(kind, section, name):
    assert getattr(kind(**{name: 1}), name) == 1
    refuses(kind, {name: 0}, f"{section}.{name} must be at least 1, got 0")


@pytest.mark.parametrize(("kind", "section", "name"), fields(POSITIVE))
def test_scales_are_positive(kind, section, name):
    assert getattr(kind(**{name: 1e-9}), name) == 1e-9 and getattr(kind(**{name: 1.0}), name) == 1.0
    refuses(kind, {name: 0}, f"{section}.{name} must be positive, got 0")
    refuses(kind, {name: -1.0}, f"{section}.{name} must be positive, got -1.0")


@pytest.mark.parametrize(("key", "known"), TEXTS.items())
def test_names_are_known(key, known):
    kind, section, name = key
    assert [getattr(kind(**{name: value}), name) for value in known] == list(known)
    refuses(kind, {name: "new"}, f"{section}.{name} must be one of {', '.join(known)}, got 'new'")


@pytest.mark.parametrize("name", ["gamma", "gae_lambda"])
def test_discounts_lie_between_zero_and_one(name):
    assert [getattr(LearningConfig(**{name: value}), name) for value in (0.0, 1.0)] == [0.0, 1.0]
    for bad in (-0.001, 1.001):
        refuses(LearningConfig, {name: bad}, f"learning.{name} must lie in [0, 1], got {bad}")


def test_an_entropy_bonus_may_be_nothing_but_no_penalty():
    assert LearningConfig(entropy_coefficient=0).entropy_coefficient == 0
    message = "learning.entropy_coefficient must be at least 0, got -0.01"
    refuses(LearningConfig, {"entropy_coefficient": -0.01}, message)


def test_a_round_is_cut_in_whole_chunks_and_no_minibatch_is_empty():
    rollout, learning = RolloutConfig(num_envs=3, steps=8), LearningConfig(chunk_length=4)
    recurrent = PpoConfig(rollout, NetworkConfig("rnn"), learning=replace(learning, minibatches=6))
    flat = PpoConfig(rollout, NetworkConfig("mlp"), learning=replace(learning, minibatches=24))
    assert (recurrent.chunk, flat.chunk) == (4, 1)
    assert PpoConfig(rollout, NetworkConfig("mlp"), learning=replace(learning, chunk_length=3)).chunk == 1
    for kind, change, message in (
        ("rnn", {"chunk_length": 3}, "learning.chunk_length must divide rollout.steps (8), got 3"),
        ("rnn", {"minibatches": 7}, "learning.minibatches must be at most 6 "),
        ("mlp", {"minibatches": 25}, "learning.minibatches must be at most 24 "),
    ):
        parts = {"rollout": rollout, "network": NetworkConfig(kind), "learning": replace(learning, **change)}
        refuses(PpoConfig, parts, message)
