"""Fig. 1's bandit: the better of two draws, the loss and its gradient by hand and by brute force, the curves."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import bandit

VALUES = np.array([0.0, 1.0, 2.0, 5.0])
POLICY = np.array([0.4, 0.3, 0.2, 0.1])


def test_the_better_of_two_by_hand_and_over_all_pairs() -> None:
    assert bandit.better_of_two(np.array([0.5, 0.5])) == pytest.approx([0.25, 0.75])
    expected = np.zeros(4)
    for a, b in itertools.product(range(4), repeat=2):
        expected[max(a, b)] += POLICY[a] * POLICY[b]
    assert bandit.better_of_two(POLICY) == pytest.approx(expected)


def test_weights_by_hand() -> None:
    """Values 0, 1, 2, 5 have mean 2 and variance 3.5."""
    cloning = bandit.weights(POLICY, VALUES, method="cloning")
    assert cloning == pytest.approx([0.16, 0.33, 0.32, 0.19])
    factors = np.exp((VALUES - 2) / np.sqrt(3.5) / 0.5)
    assert bandit.weights(POLICY, VALUES, method="awpo", alpha=0.5) == pytest.approx(cloning * factors)
    assert bandit.weights(POLICY, VALUES, method="awpo", alpha=1e9) == pytest.approx(cloning)


@pytest.mark.parametrize("method", ["cloning", "awpo"])
def test_gradient_is_that_of_the_loss(method: str) -> None:
    parameters = np.log(POLICY) + 0.7
    weight = bandit.weights(POLICY, VALUES, method=method)

    def loss(at: np.ndarray) -> float:
        return float(-weight @ np.log(bandit.softmax(at)))

    numeric = [(loss(parameters + d) - loss(parameters - d)) / 2e-5 for d in 1e-5 * np.eye(4)]
    assert bandit.gradient(parameters, VALUES, method=method) == pytest.approx(numeric, abs=1e-7)


def test_curves_are_those_of_the_paper() -> None:
    """Both start alike; AWPO is there long before behaviour cloning, each where the paper's figure has it."""
    curves = {method: np.mean([bandit.curve(method, seed=s) for s in range(3)], axis=0) for method in bandit.LABELS}
    assert curves["awpo"][0] == curves["cloning"][0] == pytest.approx(49.5, abs=0.2)
    assert np.all(np.diff(curves["awpo"]) > 0) and np.all(np.diff(curves["cloning"]) > 0)
    for method, (update, value) in bandit.PAPER.items():
        assert curves[method][update] == pytest.approx(value, abs=2.5), method
    reached = {method: int(np.argmax(values >= 90)) for method, values in curves.items()}
    assert 0 < reached["awpo"] < reached["cloning"] / 4


def test_the_command_writes_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandit, "SEEDS", 2)
    assert bandit.main(["--out", str(tmp_path / "fig1")]) == 0
    rows = pd.read_csv(tmp_path / "fig1" / "curves.csv")
    assert len(rows) == 2 * (bandit.UPDATES + 1)
    found = rows[(rows["method"] == "cloning") & (rows["update"] == 650)][["mean", "least", "greatest"]].to_numpy()[0]
    values = [bandit.curve("cloning", seed=seed)[650] for seed in range(2)]
    assert found == pytest.approx([np.mean(values), min(values), max(values)], abs=1e-6)
    assert (tmp_path / "fig1" / "fig1.png").stat().st_size > 10_000 and all(
        (tmp_path / "fig1" / f"fig1.{kind}").exists() for kind in ("pdf", "svg")
    )
