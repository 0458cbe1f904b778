"""The tests of difference: published examples, their level where nothing differs, their power where something does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from envs.compare import difference
from envs.compare.difference import differences, holm, newcombe
from envs.compare.measures import MEASURES, Measured
from tests.envs.compare.drawn import measured


def test_holms_correction_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1; never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_newcombes_interval_is_that_of_his_paper() -> None:
    # Table II of the paper, method 10: 56/70 - 48/80, and 9/10 - 3/10.
    assert newcombe((48, 56), (80, 70)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((3, 9), (10, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe((0, 0), (20, 20))[1] > 0.1  # no wins are no proof of equality


def test_win_rates_are_tested_by_fishers_test() -> None:
    rng = np.random.default_rng(0)
    first, second = measured(rng, 20), measured(rng, 20)
    first.values["won"][:] = np.arange(20) < 3
    second.values["won"][:] = np.arange(20) < 11
    found = {d.measure: d for d in differences(first, second)}["won"]
    # Hypergeometric: 14 wins among 40, 3 of them in the first 20; all tables that are not more likely.
    chances = stats.hypergeom.pmf(np.arange(15), 40, 14, 20)
    assert found.p == pytest.approx(chances[chances <= chances[3] * (1 + 1e-9)].sum())
    assert (found.first, found.second, found.counts) == (0.15, 0.55, (20, 20))


def test_what_does_not_differ_is_seldom_called_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "PERMUTATIONS", 200)
    monkeypatch.setattr(difference, "REPETITIONS", 20)
    monkeypatch.setattr(difference, "CHUNK", 20)
    rng = np.random.default_rng(1)
    trials, called, curves = 200, 0, []
    for _ in range(trials):
        found = differences(measured(rng, 25), measured(rng, 35))
        called += any(d.differs for d in found)
        curves += [d.p for d in found if d.test == "permutation"]
    # At most 5 % of the comparisons, all tests together: 18 of 200 and more have a chance below 1 % then.
    assert called <= stats.binom.ppf(0.99, trials, 0.05)
    assert np.mean(curves) == pytest.approx(0.5, abs=0.06)  # uniform: 400 values, standard error 0.014


def test_a_shift_of_every_measure_is_found() -> None:
    rng = np.random.default_rng(2)
    found = differences(measured(rng, 100), measured(rng, 100, shift=1.0, rate=0.9))
    assert {d.measure for d in found} == {*MEASURES, "health_agents", "health_enemies"}
    assert all(d.differs and d.low > 0.0 for d in found)
    by_name = {d.measure: d for d in found}
    assert by_name["return"].low < 1.0 < by_name["return"].high


def test_equal_samples_are_equal() -> None:
    same = measured(np.random.default_rng(3), 30)
    for found in differences(same, same):
        assert found.p > 0.99 and found.low <= 0.0 <= found.high


def test_measures_without_values_are_left_out() -> None:
    rng = np.random.default_rng(4)
    first, second = measured(rng, 10), measured(rng, 10)
    first.values["damage_per_attack"][:] = np.nan
    second.values["length"][:4] = np.nan
    found = {d.measure: d for d in differences(first, second)}
    assert "damage_per_attack" not in found
    assert found["length"].counts == (10, 6)


def test_equal_episodes_give_equal_figures() -> None:
    rng = np.random.default_rng(5)
    pair = measured(rng, 30), measured(rng, 30)
    assert differences(*pair) == differences(*(Measured(m.values, m.curves) for m in pair))
