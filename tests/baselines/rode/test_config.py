"""Bounds of the settings, and presets that name each of them."""

from __future__ import annotations

import re

import pytest
import yaml

from baselines import registry
from baselines.__main__ import record_of
from baselines.rode.config import EncoderConfig, RolesConfig
from training.config import apply_overrides, load_preset, to_dict
from training.errors import UserError

ENTRY = registry.find("rode")


@pytest.mark.parametrize(
    ("kind", "section", "name", "least"),
    [
        *((RolesConfig, "roles", name, 1) for name in ("clusters", "interval", "epsilon_steps")),
        (RolesConfig, "roles", "cluster_after", 0),
        *((EncoderConfig, "encoder", name, 1) for name in ("action_size", "state_size")),
        (EncoderConfig, "encoder", "reward_weight", 0),
    ],
)
def test_smallest_values_are_taken_and_less_is_refused(kind, section, name, least):
    assert getattr(kind(**{name: least}), name) == least
    with pytest.raises(ValueError, match=re.escape(f"{section}.{name} must be at least {least}, got {least - 1}")):
        kind(**{name: least - 1})


@pytest.mark.parametrize("preset", ["published", "low_data", "matrix"])
def test_every_preset_names_every_setting(preset):
    config = to_dict(load_preset(ENTRY.presets, preset, ENTRY.config))
    written = yaml.safe_load((ENTRY.presets / f"{preset}.yaml").read_text())
    assert {name: set(section) for name, section in written.items()} == {k: set(v) for k, v in config.items()}


def test_published_are_the_authors_settings():
    config = load_preset(ENTRY.presets, "published", ENTRY.config)
    roles, rollout = config.roles, config.rollout
    assert (roles.clusters, roles.interval, roles.cluster_after, roles.epsilon_steps) == (5, 5, 50_000, 70_000)
    assert (rollout.epsilon_steps, rollout.epsilon_start, rollout.epsilon_finish) == (70_000, 1.0, 0.05)
    assert (config.encoder.action_size, config.encoder.state_size, config.encoder.reward_weight) == (20, 32, 10.0)
    qmix = registry.find("qmix")
    shared = load_preset(qmix.presets, "published", qmix.config)
    assert (config.learning, config.agent, config.mixer) == (shared.learning, shared.agent, shared.mixer)


def test_the_range_of_the_paper_can_be_asked_for():
    config = load_preset(ENTRY.presets, "published", ENTRY.config)
    for steps in (50_000, 500_000):
        for clusters in (2, 5):
            words = [f"roles.epsilon_steps={steps}", f"roles.clusters={clusters}", "roles.reselect=true"]
            roles = apply_overrides(config, words).roles
            assert (roles.epsilon_steps, roles.clusters, roles.reselect) == (steps, clusters, True)
    words = ["train", "--algorithm", "rode", "--map", "3m", "--seed", "0", "--out", "x", "--set"]
    with pytest.raises(UserError, match="did you mean 'clusters'"):
        record_of([*words, "roles.cluster=3"])
    with pytest.raises(UserError, match=re.escape("roles.interval must be at least 1, got 0")):
        record_of([*words, "roles.interval=0"])


def test_little_data_is_that_of_qmix_but_for_the_phases():
    qmix = registry.find("qmix")
    config, shared = (load_preset(e.presets, "low_data", e.config) for e in (ENTRY, qmix))
    assert (config.learning, config.agent) == (shared.learning, shared.agent)
