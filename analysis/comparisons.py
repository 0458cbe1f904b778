"""How often the reference algorithm beats each other one: probability of improvement, by two scores of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.collect import score_array
from analysis.statistics import Estimate
from analysis.study import Group, Study

SCORES = {"final_win_rate": "final win rate", "area_under_curve": "area under the curve"}


def reference_of(study: Study, group: Group) -> str:
    """The algorithm that others are compared with: the study's first, or the group's first where that does not run."""
    return study.reference if study.reference in group.algorithms else group.algorithms[0]


def improvements(frame: pd.DataFrame, study: Study, group: Group) -> dict[str, dict[str, Estimate]]:
    """Measure (key of SCORES) -> other algorithm -> probability that the reference beats it."""
    curves = {key: score_array(frame, study, group, algorithm=key) for key in group.algorithms}  # (R, M, T)
    marks = np.asarray(group.marks)
    measured = {
        "final_win_rate": {key: curve[:, :, -1] for key, curve in curves.items()},
        "area_under_curve": {key: statistics.area_under_curve(marks, curve) for key, curve in curves.items()},
    }
    reference = reference_of(study, group)
    return {
        measure: {
            key: statistics.improvement_interval(scores[reference], other)
            for key, other in scores.items()
            if key != reference
        }
        for measure, scores in measured.items()
    }
