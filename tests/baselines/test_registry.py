"""An algorithm that is added gets every part it names."""

from __future__ import annotations

from pathlib import Path

import pytest

import envs
from baselines import registry
from baselines.mappo.config import CriticConfig, PpoConfig
from baselines.mappo.learner import PpoLearner
from baselines.value_based import mixers
from baselines.value_based.config import QmixConfig
from baselines.value_based.learner import ValueLearner


@pytest.mark.parametrize("presets", [None, Path("elsewhere")])
def test_a_value_based_algorithm_is_its_settings_and_its_mixer(presets):
    entry = registry._value_based(QmixConfig, mixers.vdn, *([presets] if presets else []))
    assert (entry.config, entry.presets) == (QmixConfig, presets or registry.value_based.PRESETS)
    assert (entry.make_learner.func, entry.make_learner.args) == (ValueLearner, ())
    assert entry.make_learner.keywords == {"make_mixer": mixers.vdn}
    assert entry.load_policy is registry.value_based.load_policy and entry.resolve is None


@pytest.mark.parametrize(("centralized", "kind"), [(True, "team_state"), (False, "obs")])
def test_a_policy_gradient_is_central_or_not(centralized, kind):
    entry = registry._policy_gradient(centralized=centralized)
    assert (entry.config, entry.presets) == (PpoConfig, registry.mappo.PRESETS)
    assert (entry.make_learner.func, entry.make_learner.args) == (PpoLearner, ())
    assert entry.make_learner.keywords == {"centralized": centralized}
    assert entry.load_policy is registry.mappo.load_policy
    env = envs.make("matrix_1", num_envs=1)
    assert entry.resolve(PpoConfig(), env) == PpoConfig(critic=CriticConfig(input=kind))
