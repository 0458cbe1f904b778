"""The simulation of coverage: what it draws, what it finds where the answer is known, and what is quoted of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import coverage

COMMITTED = Path(__file__).parents[2] / "results" / "reference" / "statistics" / "coverage.csv"


@pytest.mark.parametrize("kind", coverage.KINDS)
def test_both_kinds_have_the_mean_win_rates_that_they_are_told(kind: str) -> None:
    scores = coverage.scores(kind, 4, 20_000, np.random.default_rng(0), studies=1)
    assert scores.shape == (20_000, 4, 1)
    # A standard error of at most 0.45 / sqrt(20,000) = 0.003.
    assert scores.mean(axis=(0, 2)) == pytest.approx([0.3, 0.5, 0.7, 0.9], abs=0.012)
    assert set(np.unique(scores * 32)) <= set(range(33))


def test_seeds_are_spread_in_one_mode_or_in_two() -> None:
    middle = np.array([0.6])
    one = coverage.unimodal(middle, 20_000, np.random.default_rng(1))
    two = coverage.bimodal(middle, 20_000, np.random.default_rng(1))
    assert one.std() == pytest.approx(np.sqrt(0.6 * 0.4 / 11), rel=0.05)  # of a Beta distribution, a + b = 10
    between = [((chances > 0.3) & (chances < 0.6)).mean() for chances in (one, two)]
    assert between[0] > 0.4 and between[1] < 0.01
    assert (two > 0.6).mean() == pytest.approx((0.6 - 0.05) / 0.85, abs=0.02)


def test_coverage_of_two_seeds_of_one_map_is_the_chance_that_the_mean_lies_between_them() -> None:
    """The interval of two runs is their range. Counted here without any bootstrap, on the same made-up studies."""
    rows = coverage.cell("unimodal", 1, 2, studies=500, repetitions=300).set_index("metric")
    rng = np.random.default_rng([2024, 0, 1, 2])
    scores = coverage.scores("unimodal", 1, 2, rng, studies=500)[:, 0]  # (2, studies)
    held = ((scores.min(axis=0) <= 0.6) & (scores.max(axis=0) >= 0.6)).mean()
    assert rows.loc["mean", "truth"] == pytest.approx(0.6) and rows.loc["mean", "coverage"] == pytest.approx(held)
    assert rows.loc["mean", "width"] == pytest.approx(np.ptp(scores, axis=0).mean())
    error = (held * (1 - held) / 500) ** 0.5
    assert rows.loc["mean", "standard_error"] == pytest.approx(error)


def test_a_cell_repeats_exactly() -> None:
    first, again = (coverage.cell("bimodal", 4, 3, studies=40, repetitions=50) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert first["metric"].tolist() == ["iqm", "mean"]


def test_the_committed_table_is_the_one_of_the_package_and_is_complete() -> None:
    assert COMMITTED.read_bytes() == coverage.DATA.read_bytes()
    rows = pd.read_csv(COMMITTED)
    cells = set(rows[["kind", "maps", "seeds", "metric"]].itertuples(index=False, name=None))
    wanted = {(k, m, s, t) for k in coverage.KINDS for m in (1, 4, 8) for s in range(2, 11) for t in ("iqm", "mean")}
    assert cells == wanted and len(rows) == len(wanted)
    assert rows["coverage"].between(0.4, 0.97).all()


@pytest.mark.slow
def test_the_committed_table_is_what_the_command_makes(tmp_path: Path) -> None:
    assert coverage.main(["--out", str(tmp_path / "coverage.csv")]) == 0
    assert (tmp_path / "coverage.csv").read_bytes() == COMMITTED.read_bytes()


def test_a_committed_cell_is_what_the_simulation_makes() -> None:
    made = coverage.cell("bimodal", 1, 3)
    rows = pd.read_csv(COMMITTED)
    known = rows[(rows["kind"] == "bimodal") & (rows["maps"] == 1) & (rows["seeds"] == 3)]
    for column in ("truth", "coverage", "standard_error", "width"):
        assert made[column].tolist() == pytest.approx(known[column].tolist(), abs=6e-5)  # four digits are written


TABLE = """\
kind,maps,seeds,metric,truth,coverage,standard_error,width
unimodal,1,3,mean,0.6,0.744,0.01,0.3
bimodal,1,3,mean,0.6,0.69,0.01,0.3
unimodal,4,3,mean,0.6,0.85,0.01,0.3
bimodal,4,3,mean,0.6,0.851,0.01,0.3
unimodal,1,10,mean,0.6,0.93,0.01,0.3
bimodal,1,10,mean,0.6,0.91,0.01,0.3
"""


@pytest.mark.parametrize(
    ("seeds", "maps", "text"),
    [
        (3, 1, "69 to 74 %"),
        (3, 3, "69 to 74 %"),  # of three maps as of one
        (3, 7, "85 %"),
        (10, 1, "91 to 93 %"),
        (12, 1, "91 to 93 % (as with 10)"),
        (1, 1, ""),
    ],
)
def test_what_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, maps: int, text: str) -> None:
    (tmp_path / "coverage.csv").write_text(TABLE)
    monkeypatch.setattr(coverage, "DATA", tmp_path / "coverage.csv")
    coverage._known.cache_clear()
    try:
        assert coverage.covers("mean", seeds=seeds, maps=maps) == text
    finally:
        coverage._known.cache_clear()


@pytest.mark.parametrize(("metric", "seeds", "maps"), [("median", 3, 1), ("mean", 0, 1), ("iqm", 3, 0)])
def test_what_was_not_simulated_is_refused(metric: str, seeds: int, maps: int) -> None:
    with pytest.raises(ValueError, match=f"knows iqm and mean of at least one seed and one map, got '{metric}' of"):
        coverage.covers(metric, seeds=seeds, maps=maps)
