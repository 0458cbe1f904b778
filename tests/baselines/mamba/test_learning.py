"""Slow: a world model learns recorded battles by heart, and a matrix game is learned, nearly, from imagination."""

from __future__ import annotations

import pytest

import envs
from baselines import registry
from baselines.__main__ import run
from training.cli import main
from training.config import apply_overrides, load_preset
from training.metrics import read_records

pytestmark = pytest.mark.slow


def test_fifty_battles_are_learned_by_heart():
    algorithm = registry.find("mamba")
    small = [
        "model.hidden_size=96", "model.categoricals=16", "model.classes=16", "model.attention_layers=1",
        "model.dropout=0", "model_learning.start_steps=240000", "model_learning.learning_rate=1e-3",
    ]  # fmt: skip
    config = apply_overrides(load_preset(algorithm.presets, "low_data", algorithm.config), small)
    learner = algorithm.make_learner(
        config,
        make_env=lambda num, observation, seed: envs.make("3m", num_envs=num, observation=observation, seed=seed),
        seed=100,
        device="cpu",
        eval_episodes=1,
    )
    while learner.episodes < 50:
        learner.advance()
    found = []
    for _ in range(60):
        for _ in range(15):
            learner._update_model()
        found.append(learner.drain_metrics())
    assert found[-1]["legality_accuracy"] > 0.99
    assert found[-1]["reconstruction_loss"] < 0.1 * found[0]["reconstruction_loss"]


def test_game_4_is_played_close_to_its_optimum(tmp_path):
    """Joint actions pay 10, 9, 6, ...: a return of 100, 90, 60, ... for playing one of them. It finds the second."""
    command = ["train", "--algorithm", "mamba", "--map", "matrix_4", "--preset", "matrix", "--seed", "100"]
    command += ["--out", str(tmp_path / "run"), "--env-steps", "3000", "--eval-every", "1000", "--progress", "none"]
    assert main(run, command) == 0
    last = list(read_records(tmp_path / "run" / "metrics.jsonl", "eval"))[-1]
    assert last["return_mean"] >= 90.0
