"""Which settings are taken and which refused, at the very edges, and what the refusal says."""

import re

import pytest

from mazero.config import (
    EvaluationConfig,
    LossConfig,
    MAZeroConfig,
    OptimiserConfig,
    ReplayConfig,
    SelfPlayConfig,
    TargetConfig,
)
from mazero.search import SearchConfig

LEAST_ONE = "{name} must be at least 1, got 0"
POSITIVE = "{name} must be positive, got 0"
SHARE = "{name} must lie in [0, 1], got {value}"
ONE_OF = "{{name}} must be one of {}, got {{value!r}}"
REFUSED = [
    (SelfPlayConfig, {"num_envs": 0}, LEAST_ONE),
    (SelfPlayConfig, {"temperature": 0}, POSITIVE + ": 1 samples by visit counts"),
    (ReplayConfig, {"start": 0}, "start must be at least 1 environment step, got 0"),
    (ReplayConfig, {"start": 10, "capacity": 9}, "capacity (9) must not be below start (10)"),
    *[
        (ReplayConfig, {name: value}, SHARE)
        for name in ("priority_alpha", "beta_start", "beta_end")
        for value in (-0.1, 1.1)
    ],
    *[
        (TargetConfig, {name: 0}, LEAST_ONE)
        for name in ("unroll_steps", "td_steps", "target_interval", "period_searches")
    ],
    *[(TargetConfig, {"reanalyze_ratio": value}, SHARE + ": it is a share of samples") for value in (-0.1, 1.1)],
    (TargetConfig, {"td_age_share": 0}, POSITIVE),
    (TargetConfig, {"prefetch": 2}, "prefetch must be 0 or 1 batches, got 2"),
    (TargetConfig, {"value_bootstrap": "mean"}, ONE_OF.format("predicted, searched, stored")),
    (TargetConfig, {"search_reuse": "always"}, ONE_OF.format("draw, period")),
    (TargetConfig, {"padding_action": "last"}, ONE_OF.format("random, zero")),
    *[(LossConfig, {name: 0}, POSITIVE) for name in ("awpo_alpha", "weight_cap")],
    *[
        (LossConfig, {name: -0.1}, f"{name} must not be negative, got -0.1: it is the weight of a loss")
        for name in ("value", "reward", "consistency")
    ],
    (LossConfig, {"policy_weight": "raw"}, ONE_OF.format("visits, importance")),
    (LossConfig, {"halved_gradient": "head"}, ONE_OF.format("dynamics, state")),
    *[
        (OptimiserConfig, {name: 0}, POSITIVE)
        for name in ("learning_rate", "adam_epsilon", "gradient_norm", "updates_per_env_step")
    ],
    (OptimiserConfig, {"batch_size": 0}, LEAST_ONE),
    (OptimiserConfig, {"precision": "half"}, ONE_OF.format("float32, bfloat16")),
    (OptimiserConfig, {"method": "rmsprop"}, ONE_OF.format("adam, sgd")),
    *[(OptimiserConfig, {"momentum": value}, "momentum must lie in [0, 1), got " + str(value)) for value in (-0.1, 1)],
]  # fmt: skip
TAKEN = [
    (SelfPlayConfig, {"num_envs": 1, "temperature": 0.01}),
    (ReplayConfig, {"start": 1, "capacity": 1, "priority_alpha": 0, "beta_start": 0, "beta_end": 0}),
    (ReplayConfig, {"capacity": None, "priority_alpha": 1, "beta_start": 1, "beta_end": 1}),
    (TargetConfig, {"unroll_steps": 1, "td_steps": 1, "target_interval": 1, "reanalyze_ratio": 0}),
    (TargetConfig, {"td_age_share": 0.01, "reanalyze_ratio": 1, "prefetch": 0, "value_bootstrap": "predicted"}),
    (TargetConfig, {"prefetch": 1, "value_bootstrap": "searched", "search_reuse": "period", "padding_action": "zero"}),
    (TargetConfig, {"value_bootstrap": "stored"}),
    (LossConfig, {"awpo_alpha": 0.1, "weight_cap": 0.1, "value": 0, "consistency": 0, "policy_weight": "visits"}),
    (LossConfig, {"policy_weight": "importance", "halved_gradient": "state"}),
    (OptimiserConfig, {"learning_rate": 1e-9, "adam_epsilon": 1e-9, "gradient_norm": 1e-9, "batch_size": 1}),
    (OptimiserConfig, {"updates_per_env_step": 0.01, "precision": "float32"}),
    (OptimiserConfig, {"precision": "bfloat16"}),
]


@pytest.mark.parametrize(("kind", "values", "message"), REFUSED)
def test_a_setting_without_a_meaning_is_refused(kind, values, message):
    name, value = list(values.items())[-1]
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(name=name, value=value))}$"):
        kind(**values)


@pytest.mark.parametrize(("kind", "values"), TAKEN)
def test_the_edges_of_what_has_a_meaning_are_taken(kind, values):
    made = kind(**values)
    assert {name: getattr(made, name) for name in values} == values


@pytest.mark.parametrize(("name", "value"), [("num_simulations", 0), ("num_sampled_actions", 0), ("pb_c_init", -0.1)])
def test_a_search_of_evaluation_that_cannot_be_is_refused_at_once(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got {value}"):
        MAZeroConfig(evaluation=EvaluationConfig(**{name: value}))


def test_evaluation_changes_what_it_names_of_the_search_and_nothing_else():
    plain = MAZeroConfig(search=SearchConfig(rho=0.5, num_simulations=30, pb_c_init=0.0))
    assert plain.evaluated() is plain
    other = MAZeroConfig(search=plain.search, evaluation=EvaluationConfig(num_sampled_actions=3, policy_only=False))
    assert other.evaluated().search == SearchConfig(rho=0.5, num_simulations=30, num_sampled_actions=3, pb_c_init=0.0)
    assert other.evaluated().evaluation == EvaluationConfig(policy_only=False)
    assert not MAZeroConfig(evaluation=EvaluationConfig(os_lambda=False)).evaluated().search.os_lambda
    assert MAZeroConfig(evaluation=EvaluationConfig(pb_c_init=0.0)).evaluated().search == SearchConfig(pb_c_init=0.0)
