"""What claims compare, by hand: time, pairs of runs, search; and the same by the paper's figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import claim_scores, collect
from analysis.claims import NOT_RUN, REPRODUCED, Claim, judge
from analysis.study import PaperPlace, Run, Study
from analysis.study_files import STUDIES, load_studies
from analysis.variants import variant
from tests.analysis.synthetic import make_runs, make_study, study_document

KEYS = ("mazero", "qmix")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    document = study_document()
    del document["groups"]["matrix"]
    document["seeds"] = [0, 1, 2]
    return make_study(tmp_path, document)


def collected(study: Study, tmp_path: Path) -> pd.DataFrame:
    """MAZero rises to 1 in a straight line, QMIX is at 0.5 from the first evaluation on."""

    def win_rate(run: Run, mark: int) -> float:
        return mark / 400 if run.algorithm == "mazero" else 0.5 * (mark > 0)

    make_runs(study, tmp_path / "results" / "toy", win_rate)
    return collect.collect(study, tmp_path / "results" / "toy")


def test_time_counts_until_the_first_of_the_two_ends(study: Study, tmp_path: Path) -> None:
    """QMIX takes a quarter of the time, so MAZero is held against it up to its own first hundred steps."""
    frame = collected(study, tmp_path)
    frame.loc[frame["algorithm"] == "qmix", "wall_seconds"] /= 4
    group = study.groups["smac"]
    [(ours, theirs)] = claim_scores.pairs("hours", KEYS, study, frame, [(group, "3m")])
    assert ours == pytest.approx([0.125] * 3)  # 0 to 0.25 in a straight line
    assert theirs == pytest.approx([0.5 * 7 / 8] * 3)  # a straight line to the first of four evaluations, then level
    estimate = claim_scores.difference("hours", [(ours, theirs)])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((-0.3125,) * 3)


def test_ahead_counts_pairs_of_runs() -> None:
    """Of six pairs three are won, one is a tie, two are lost: twice the probability of improvement, less one."""
    found = [(np.array([0.2, 0.6, 0.9]), np.array([0.6, 0.7]))]
    estimate = claim_scores.difference("ahead", found)
    assert estimate.value == pytest.approx((2 - 3) / 6) and -1 <= estimate.low < estimate.value < estimate.high <= 1
    certain = claim_scores.difference("ahead", [(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3]))] * 2)
    assert (certain.value, certain.low, certain.high) == (1.0, 1.0, 1.0)


def test_search_is_held_against_the_same_run_without(study: Study, tmp_path: Path) -> None:
    """In these runs the bare policy wins a quarter as often; runs stay pairs, so equal differences have no spread."""
    frame = collected(study, tmp_path)
    claim = Claim("c", "Search.", "Table 8", "toy", "mazero", ("mazero",), "search", 0.05)
    found = judge(claim, study, frame)
    assert found.verdict == REPRODUCED and found.ours is not None and found.paper is None
    assert (found.ours.value, found.ours.low, found.ours.high) == pytest.approx((0.75,) * 3)
    other = judge(replace(claim, than=("no_awpo",)), study, frame)
    assert other.ours is not None and other.ours.value == pytest.approx(1 - 0.5 / 4)
    absent = judge(replace(claim, better="qmix", than=("qmix",)), study, frame)
    assert (absent.verdict, absent.scope) == (NOT_RUN, "the runs of study toy do not record what it takes")


def test_the_paper_by_its_bars_by_table_8_and_by_hours() -> None:
    studies, _ = load_studies(STUDIES)
    bars, table8 = studies["fig7_fig8"], variant(studies["table8"], scale="paper")
    places = [(group, name) for group in bars.groups.values() for name in group.maps]
    assert claim_scores.published("ahead", KEYS, bars, places) == pytest.approx(2 * 0.957 - 1)
    assert claim_scores.published("ahead", KEYS, bars, places[:3]) is None  # the bar is of all eight
    assert claim_scores.published("ahead", ("qmix", "mazero"), bars, places) is None
    assert claim_scores.published("ahead", ("mazero", "vdn"), bars, places) is None
    places = [(group, name) for group in table8.groups.values() for name in group.maps]
    assert claim_scores.published("search", ("mazero", "mazero"), table8, places) == pytest.approx(0.0855)
    laptop = studies["table8"]
    short = [(group, name) for group in laptop.groups.values() for name in group.maps]
    assert claim_scores.published("search", ("mazero", "mazero"), laptop, short) is None  # after smaller budgets
    fig4 = studies["fig4"]
    mazero = fig4.algorithms["mazero"]
    mamba = replace(mazero, key="mamba", in_paper=PaperPlace("Fig. 4", "MAMBA"))
    both = replace(fig4, algorithms={"mazero": mazero, "mamba": mamba})
    here = [(group, name) for group in both.groups.values() for name in group.maps]
    ahead = claim_scores.published("hours", ("mazero", "mamba"), both, here)
    assert ahead is not None and 0.1 < ahead < 0.25
    assert claim_scores.published("area", ("mazero", "mamba"), both, here) is None  # hours are no steps
