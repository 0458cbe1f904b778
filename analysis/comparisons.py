"""The reference algorithm against each other one: how often it is ahead, and by how much with the same seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import aggregates, statistics
from analysis.collect import score_array
from analysis.statistics import Array, Estimate
from analysis.study import Group, Study

SCORES = {"final_win_rate": "final win rate", "area_under_curve": "area under the curve"}


@dataclass(frozen=True)
class Paired:
    """Differences reference - other of runs of one map with the same seed."""

    runs: Array  # (R, M)
    maps: list[Estimate]  # mean over seeds, of each map
    overall: Estimate  # mean over seeds and maps


def reference_of(study: Study, group: Group) -> str:
    """The algorithm that others are compared with: the study's first, or the group's first where that does not run."""
    return study.reference if study.reference in group.algorithms else group.algorithms[0]


def run_scores(frame: pd.DataFrame, study: Study, group: Group, measure: str) -> dict[str, Array]:
    """Algorithm -> one score a run, (R, M). Args: measure: key of `SCORES`."""
    curves = {key: score_array(frame, study, group, algorithm=key) for key in group.algorithms}  # (R, M, T)
    if measure == "final_win_rate":
        return {key: curve[:, :, -1] for key, curve in curves.items()}
    marks = np.asarray(group.marks)
    return {key: statistics.area_under_curve(marks, curve) for key, curve in curves.items()}


def improvements(frame: pd.DataFrame, study: Study, group: Group) -> dict[str, dict[str, Estimate]]:
    """Measure (key of SCORES) -> other algorithm -> probability that the reference beats it."""
    reference = reference_of(study, group)
    measured = {measure: run_scores(frame, study, group, measure) for measure in SCORES}
    return {
        measure: {
            key: aggregates.improvement(scores[reference], other) for key, other in scores.items() if key != reference
        }
        for measure, scores in measured.items()
    }


def differences(frame: pd.DataFrame, study: Study, group: Group, measure: str) -> dict[str, Paired]:
    """Other algorithm -> differences of the reference's runs and its, seed by seed. Args: measure: key of `SCORES`.

    Runs with the same seed are evaluated on the same episodes (`training.seeding`); what they learn from is their own.
    Seeds are resampled within maps, pairs staying together.
    """
    scores = run_scores(frame, study, group, measure)
    reference = scores[reference_of(study, group)]
    pairs = {key: reference - other for key, other in scores.items() if other is not reference}
    return {key: Paired(runs, aggregates.map_means(runs), aggregates.mean(runs)) for key, runs in pairs.items()}
