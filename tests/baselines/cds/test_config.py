"""Settings of CDS: bounds, presets, refusals."""

from __future__ import annotations

import re

import pytest

from baselines import registry
from baselines.__main__ import run
from baselines.cds.config import DiversityConfig, PredictorConfig
from training.cli import main
from training.config import load_preset, to_dict


@pytest.mark.parametrize("name", ["beta", "beta1", "beta2", "local_penalty", "anneal_rate", "anneal_after"])
def test_rewards_and_penalties_are_not_negative(name):
    assert getattr(DiversityConfig(**{name: 0}), name) == 0
    with pytest.raises(ValueError, match=f"^diversity.{name} must be at least 0, got -1: correct the setting"):
        DiversityConfig(**{name: -1})


@pytest.mark.parametrize("name", ["hidden_size", "minibatch"])
def test_counts_begin_at_one(name):
    assert getattr(PredictorConfig(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match=f"^predictor.{name} must be at least 1, got 0"):
        PredictorConfig(**{name: 0})


@pytest.mark.parametrize("name", ["learning_rate", "optimizer_epsilon", "grad_clip"])
def test_scales_are_positive(name):
    assert getattr(PredictorConfig(**{name: 1e-9}), name) == 1e-9
    with pytest.raises(ValueError, match=re.escape(f"predictor.{name} must be positive, got 0")):
        PredictorConfig(**{name: 0})


def test_optimizers_are_known():
    assert PredictorConfig(optimizer="rmsprop").optimizer == "rmsprop"
    with pytest.raises(ValueError, match=r"predictor\.optimizer must be one of rmsprop, adam, got 'sgd'"):
        PredictorConfig(optimizer="sgd")


def loaded(name, preset):
    entry = registry.find(name)
    return to_dict(load_preset(entry.presets, preset, entry.config))


@pytest.mark.parametrize("preset", ["published", "low_data", "matrix"])
def test_presets_are_those_of_qplex_but_for_what_cds_changes(preset):
    cds, qplex = loaded("cds", preset), loaded("qplex", preset)
    added = {"diversity", "predictor"}
    assert set(cds) == set(qplex) | added
    changed = {
        f"{section}.{key}": value
        for section in qplex
        for key, value in cds[section].items()
        if value != qplex[section][key]
    }
    assert changed == {"agent.agent_id": False}
    assert cds["diversity"] == to_dict(DiversityConfig()) and cds["predictor"] == to_dict(PredictorConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("diversity.beta=-0.1", "diversity.beta must be at least 0, got -0.1"),
        ("diversity.bta=0.1", "did you mean 'beta'?"),
        ("predictor.minibatch=0", "predictor.minibatch must be at least 1, got 0"),
        ("diversity.beta1=much", "diversity.beta1 must be of type float"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(tmp_path, capsys, change, message):
    command = ["train", "--algorithm", "cds", "--preset", "matrix", "--map", "matrix_1", "--seed", "0"]
    assert main(run, [*command, "--out", str(tmp_path / "run"), "--set", change]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "run").exists()
