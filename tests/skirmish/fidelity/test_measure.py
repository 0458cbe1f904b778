"""Measurements: fresh and later episodes, scores by hand, a wrong rule told apart, the summary, the search."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from skirmish.fidelity import measure, report, targets
from skirmish.fidelity.calibrate import calibrate, calibration_table, halves
from skirmish.fidelity.measure import Record, compare_lengths, measure_all, play_episodes
from skirmish.fidelity.study import StudyEnv
from skirmish.physics.tables import EPISODE, LOOPS
from skirmish.policies import RandomPolicy, StopPolicy


def record(name, quantity, score=-1.0, simulated=0.5, real=0.5):
    return Record(name, quantity, real, simulated, 100, simulated - real, score)


def test_first_episodes_have_no_head_start_and_later_ones_have():
    starts = {True: [], False: []}

    class Watch(StopPolicy):
        def act(self):
            if (self.env.t == 0).all():
                starts[first].append(self.env.clocks[0, [EPISODE, LOOPS]].tolist())
            return super().act()

    for first in (True, False):
        play_episodes("3m", Watch, episodes=8, slots=4, first=first)
    assert starts[True] == [[0, 0], [0, 0]]  # episode 0 in both rounds
    assert starts[False] == [[1, 2], [2, 2]]  # loops that the enemy has already marched


def test_episodes_are_whole_and_repeatable():
    run = play_episodes("3m", RandomPolicy, episodes=30, slots=16, seed=3)
    assert len(run.returns) == len(run.lengths) == len(run.won) == 30
    again = play_episodes("3m", RandomPolicy, episodes=30, slots=16, seed=3)
    np.testing.assert_array_equal(run.returns, again.returns)
    assert (play_episodes("3m", RandomPolicy, episodes=30, slots=16, seed=4).returns != run.returns).any()
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        play_episodes("3m", RandomPolicy, episodes=0)


def test_options_and_boards_reach_the_battle():
    made = []

    class Look(StopPolicy):
        def __init__(self, env, seed=0):
            super().__init__(env, seed)
            made.append(env)

    play_episodes("3m", Look, episodes=2, options={"step_mul": 2, "jitter_scale": 0.0}, board=StudyEnv)
    assert isinstance(made[0], StudyEnv)
    assert (made[0].options.step_mul, made[0].rules.jitter_scale) == (2, 0.0)


def test_scores_by_hand():
    single, eights = compare_lengths("6h_vs_8z", np.repeat(targets.random_lengths("6h_vs_8z"), 8))
    assert (single.score, single.error, single.n) == (0.0, 0.0, 120)
    assert (eights.n, eights.real, eights.simulated) == (15, 24.5, 24.0)
    assert measure._rate("3m", "x", 0.9, 0.6, 10).score == pytest.approx(-0.09)
    assert measure._interval("3m", "x", 10.0, 10.2, 10.1, 5).score == 0.0
    assert measure._interval("3m", "x", 10.0, 10.2, 10.5, 5).score == pytest.approx(-0.09)
    assert measure._interval("3m", "x", 10.0, 10.2, 9.8, 5).error == pytest.approx(-0.2)
    won = np.array([True, True, True, False])
    assert measure._at_least("3m", "x", 0.7, won).score == 0.0
    assert measure._at_least("3m", "x", 0.95, won).score == pytest.approx(-0.04)


def test_a_wrong_rule_is_told_apart():
    """Battles of random play that last a third longer must cost many powers of ten; the sample itself costs none."""
    lengths = measure.random_lengths("6h_vs_8z", episodes=256)
    (right, *_), (wrong, *_) = compare_lengths("6h_vs_8z", lengths), compare_lengths("6h_vs_8z", lengths * 4 / 3)
    assert right.score > wrong.score + 3
    # And on the simulator itself: without the rule that the real scripts demand, they lose.
    good = measure_all(maps=["2m_vs_1z"], kinds=["alternating", "noisy"], quick=True)
    bad = measure_all({"threats_first": False}, ["2m_vs_1z"], kinds=["alternating", "noisy"], quick=True)
    assert report.loss(good) < 0.1 < 1.0 < report.loss(bad)


def test_untrained_networks_play_whole_tests():
    returns = measure.untrained_returns("2s_vs_1sc", networks=5, episodes=4)
    assert returns.shape == (5,)
    distribution, share = measure.compare_untrained("2s_vs_1sc", np.array([0.0, 0.0, 1.0, 2.0]))
    assert (share.real, share.simulated, share.score) == (1.0, 0.5, -0.25)
    assert distribution.sample is not None and distribution.n == 4


def test_unknown_names():
    with pytest.raises(ValueError, match=r"unknown map with real values '3n'.*did you mean '3m'"):
        measure_all(maps=["3n"])
    with pytest.raises(ValueError, match=r"unknown kind 'lenghts'.*did you mean 'lengths'"):
        measure_all(kinds=["lenghts"])


def test_summary_by_hand():
    maps = targets.target_maps()
    lengths = [record(name, "random length", score=-0.7) for name in maps]
    bars = {bar.name: bar for bar in report.summary(lengths)}
    assert bars["random lengths: sum of log10 p"].value == pytest.approx(-7.0)
    assert all(bar.reached for bar in bars.values())
    lengths[0] = replace(lengths[0], score=-3.1)
    bars = {bar.name: bar for bar in report.summary(lengths)}
    assert not any(bar.reached for bar in bars.values())  # sum -9.4, least -3.1
    (part, _) = report.summary(lengths[1:])
    assert part.name.endswith("(9 of 10 maps)") and not part.bar
    heuristic = [record(name, "heuristic", score=-0.007, simulated=0.04) for name in targets.heuristic()]
    bars = {bar.name: (bar.value, bar.reached) for bar in report.summary(heuristic)}
    assert bars == {
        "heuristic: squared error": (pytest.approx(0.098), True),
        "heuristic, corridor": (0.04, True),
    }
    fire = [record("2m_vs_1z", "alternating fire, 2 loops", simulated=0.94, real=1.0)]
    assert [bar.reached for bar in report.summary(fire)] == [False]
    head_on = [record("2s_vs_1sc", "head-on return", simulated=10.31)]
    assert [bar.reached for bar in report.summary(head_on)] == [False]
    assert "missed" in report.summary_table(report.summary(head_on))


def test_loss_weighs_and_averages_over_maps():
    records = [record("3m", "heuristic", -0.1), record("8m", "random length", -4.0), record("8m", "unweighed", -9.0)]
    assert report.loss(records) == pytest.approx((10 * 0.1 + 4 / 8) / 2)
    with pytest.raises(ValueError, match="at least one record with a weight"):
        report.loss([record("8m", "unweighed")])


def test_csv(tmp_path):
    path = tmp_path / "new" / "r.csv"
    report.write_csv(path, [record("3m", "heuristic", -0.25)], "a=1")
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["case"], row["map"], row["score"]) == ("a=1", "3m", "-0.25")
    assert "sample" not in row


def test_halves():
    odd, held = halves(["odd"])
    assert halves(["even"]) == (held, odd)
    assert not set(odd) & set(held) and set(odd) | set(held) == set(measure.measurable_maps())
    fitted, held = halves(["3m", "2s3z"])
    assert fitted == ("2s3z", "3m") and "3m" not in held
    with pytest.raises(ValueError, match="did you mean '3m'"):
        halves(["3n"])
    with pytest.raises(ValueError, match="fit must be odd, even or names of maps"):
        halves([])


def test_calibration_finds_the_least_loss_and_looks_at_the_held_out_maps_twice():
    """A made-up landscape: least at a = 2, and then at b = 1."""
    asked = []

    def landscape(options, maps, **_):
        asked.append((dict(options), tuple(maps)))
        off = (options.get("a", 0) - 2) ** 2 + (options.get("b", 0) - 1) ** 2 * options.get("a", 0)
        return [record(name, "attack closest", -float(off)) for name in maps]

    result = calibrate(["3m"], {"a": [1, 2, 3], "b": [0, 1]}, start={"c": 7}, measure=landscape)
    assert result.options == {"c": 7, "a": 2, "b": 1}
    assert result.tries[0].options == {"c": 7} and result.tries[0].loss == 4.0
    assert min(t.loss for t in result.tries) == 0.0
    held = [options for options, maps in asked if "3m" not in maps]
    assert held == [{"c": 7}, {"c": 7, "a": 2, "b": 1}]
    assert result.held_after == 0.0 and result.held_before == 4.0
    assert len({str(sorted(t.options.items())) for t in result.tries}) == len(result.tries)  # nothing is tried twice
    text = calibration_table(result)
    assert f"{len(result.tries)} settings tried; best: c=7 a=2 b=1" in text
    with pytest.raises(ValueError, match="grid must name options"):
        calibrate(["3m"], {}, measure=landscape)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        calibrate(["3m"], {"a": [1]}, rounds=0, measure=landscape)
