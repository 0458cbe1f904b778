"""What is read from the data files, against counts and values that can be looked up in them."""

import numpy as np
import pytest

from skirmish.data.maps import map_names
from skirmish.fidelity import targets


def test_ten_maps_have_runs_and_all_names_are_maps():
    maps = targets.target_maps()
    assert len(maps) == 10
    named = {*maps, *targets.heuristic(), *targets.scripts("AC"), *targets.scripts("AF"), *targets.plateaus()}
    assert named <= set(map_names())


def test_random_lengths_are_the_first_tests_of_the_raw_runs():
    """The derived file must agree with the raw one: env_steps of the first test of IQL, VDN, QMIX and QTRAN."""
    for name in targets.target_maps():
        raw = [v for (m, algorithm, _), v in targets._first_tests().items() if m == name and algorithm != "COMA"]
        np.testing.assert_array_equal(np.sort(raw), targets.random_lengths(name))


def test_single_values():
    assert targets.random_lengths("6h_vs_8z").tolist() == [21, 22, 23, 23, 23, 24, 24, 24, 24, 25, 25, 25, 25, 26, 28]
    assert targets.random_lengths_of_eight("6h_vs_8z").tolist() == [24.125, 24.25, 24.5, 24.5, 24.5]
    returns = targets.untrained_returns("1c3s5z")
    assert len(returns) == 22
    assert returns[0] == pytest.approx(0.0200535)
    assert (targets.untrained_returns("2s_vs_1sc") == 0.0).all()


def test_published_rates_carry_source_and_doubt():
    published = targets.heuristic()
    assert len(published) == 14
    assert published["2s3z"].win_rate == 0.9
    assert {name for name, p in published.items() if p.recalled} == {"1c3s5z", "bane_vs_bane", "2c_vs_64zg", "MMM2"}
    assert all(p.source for p in published.values())


def test_scripts():
    closest = targets.scripts("AC")
    assert len(closest) == 14
    assert closest["27m_vs_30m"].win_rate == 0.7
    assert targets.scripts("AF")["2m_vs_1z"].wins == 10


@pytest.mark.parametrize("ask", [targets.random_lengths, targets.random_lengths_of_eight, targets.untrained_returns])
def test_a_map_without_runs_is_refused_with_the_nearest_name(ask):
    with pytest.raises(ValueError, match=r"unknown map with real runs '2s3y'.*did you mean '2s3z'"):
        ask("2s3y")


def test_unknown_script():
    with pytest.raises(ValueError, match="unknown script 'AX'"):
        targets.scripts("AX")
