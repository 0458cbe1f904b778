"""Greedy choices: the best legal one, none preferred among equals, none where there is nothing to compare."""

import numpy as np
import pytest

from training.errors import Diverged
from training.greedy import best_of


def test_the_best_legal_score_wins():
    scores = np.array([[9.0, 1.0, 2.0], [-5.0, -4.0, -3.0]])
    legal = np.array([[False, True, True], [True, True, False]])
    assert best_of(scores, legal, np.random.default_rng(0)).tolist() == [2, 1]


def test_equals_are_chosen_equally_often():
    scores = np.broadcast_to(np.array([1.0, 3.0, 3.0, 0.0, 3.0, 3.0]), (6000, 2, 6))
    legal = np.broadcast_to(np.array([True, True, True, True, True, False]), scores.shape)
    chosen = np.bincount(best_of(scores, legal, np.random.default_rng(0)).ravel(), minlength=6)
    assert chosen[[0, 3, 5]].tolist() == [0, 0, 0]
    assert abs(chosen[[1, 2, 4]] / 12000 - 1 / 3).max() < 0.015  # three and a half standard errors


def test_only_equals_cost_random_numbers():
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    best_of(np.array([[1.0, 2.0]]), np.ones((1, 2), bool), rng)
    assert rng.random() == untouched.random()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_legal_score_that_is_not_finite_is_no_score(bad):
    scores, legal = np.array([[1.0, bad, 0.0]]), np.array([[True, True, True]])
    with pytest.raises(Diverged, match="not finite"):
        best_of(scores, legal, np.random.default_rng(0))
    assert best_of(scores, legal & np.isfinite(scores), np.random.default_rng(0)).tolist() == [0]
