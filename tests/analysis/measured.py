"""A table of evaluations whose numbers fit on a page, and every resampling of a few runs.

Two seeds, so that a bootstrap interval is an exact matter: of one map it is the range of the two runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.collect import COLUMNS
from analysis.study import Group, Study
from tests.analysis.synthetic import make_study, study_document

SEEDS = (5, 2)
COLOURS = {"mazero": "#0173b2", "no_awpo": "#029e73", "qmix": "#949494"}  # of seaborn's colour-blind palette
LABELS = {"mazero": "MAZero", "no_awpo": "without AWPO", "qmix": "QMIX"}
MARKS = {"smac": [0, 200, 400], "matrix": [0, 100, 200]}

# Map and algorithm -> the win rates of seed 5 and of seed 2.
WIN_RATES = {
    ("3m", "mazero"): ([0, 0.5, 1], [0, 0.75, 0.75]),
    ("3m", "no_awpo"): ([0, 0.25, 0.5], [0.125, 0.25, 0.25]),
    ("3m", "qmix"): ([0, 0, 0], [0, 0, 0]),
    ("matrix_1", "mazero"): ([0, 1, 1], [0, 0, 1]),
    ("matrix_1", "no_awpo"): ([0, 1, 0], [0, 0, 0]),
    ("matrix_1", "qmix"): ([0, 0, 1], [0, 1, 0]),
    ("matrix_2", "mazero"): ([0, 0, 1], [0, 0, 0]),
    ("matrix_2", "no_awpo"): ([1, 1, 1], [0, 1, 0]),
    ("matrix_2", "qmix"): ([0, 0, 0], [0, 0, 0]),
}


def measured(directory: Path) -> tuple[pd.DataFrame, Study]:
    """The table of WIN_RATES, its rows in no order, and its study."""
    document = study_document("measured") | {"seeds": list(SEEDS)}
    document["groups"]["smac"]["eval_every"] = 200
    study = make_study(directory, document)

    def win_rate(name: str, algorithm: str, seed: int, mark: int) -> float:
        marks = MARKS["smac" if name == "3m" else "matrix"]
        return WIN_RATES[name, algorithm][SEEDS.index(seed)][marks.index(mark)]

    return table(study, win_rate), study


def absolute(final: float) -> float:
    """Win rate of the best policy, played again: of means, too, since it is linear."""
    return (1 + final) / 4


def table(study: Study, win_rate: Callable[[str, str, int, int], float]) -> pd.DataFrame:
    """One row per run and mark; what a run costs depends on its seed; return = 10 x win rate - seed."""
    rows = []
    for run in study.runs():
        group, label = study.groups[run.group], study.algorithms[run.algorithm].label
        for mark in group.marks:
            value = win_rate(run.map, run.algorithm, run.seed, mark)
            known = {
                "study": study.name,
                "group": run.group,
                "backend": run.backend,
                "unit_data": "4.10" if run.backend == "skirmish" else "",
                "map": run.map,
                "algorithm": run.algorithm,
                "label": label,
                "seed": run.seed,
                "mark": mark,
                "env_steps": mark + run.seed,
                "updates": 2 * mark + run.seed,
                "episodes": mark // 10 + run.seed,
                "wall_seconds": 3.0 * mark + 60 * run.seed,
                "num_episodes": group.eval_episodes,
                "win_rate": float(value),
                "return_mean": 10.0 * value - run.seed,
                "return_std": 1.0,
                "length_mean": 25.0,
                "absolute_win_rate": absolute(win_rate(run.map, run.algorithm, run.seed, group.marks[-1])),
            }
            rows.append({**dict.fromkeys(COLUMNS, 0.0), **known})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def alone(study: Study, group: Group) -> Study:
    """The study with one of its groups, perhaps changed, as its only one."""
    return replace(study, groups={group.key: group})


def seeds_of(name: str, algorithm: str, mark: int) -> list[float]:
    """Win rates of both seeds at the mark of this index."""
    return [curve[mark] for curve in WIN_RATES[name, algorithm]]


def areas_of(name: str, algorithm: str) -> list[float]:
    """Area under the curve of both seeds: three marks at equal distances."""
    return [(first / 2 + middle + last / 2) / 2 for first, middle, last in WIN_RATES[name, algorithm]]


def resamplings(scores: np.ndarray) -> Iterator[np.ndarray]:
    """Every equally likely resampling of a matrix (R, M): R runs with replacement within each map."""
    runs, maps = scores.shape
    for rows in itertools.product(range(runs), repeat=runs * maps):
        yield np.take_along_axis(scores, np.array(rows).reshape(runs, maps), axis=0)


def exact_interval(statistic: Callable[..., float], *matrices: np.ndarray) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantile of a statistic over all resamplings of all matrices."""
    values = sorted(float(statistic(*drawn)) for drawn in itertools.product(*(list(resamplings(m)) for m in matrices)))
    return values[int(0.025 * len(values))], values[int(0.975 * len(values))]


def beats(x: np.ndarray, y: np.ndarray) -> float:
    """Share of pairs of runs on a map in which x is better, a tie counting one half; mean over maps."""
    shares = []
    for column in range(x.shape[1]):
        pairs = [(a, b) for a in x[:, column] for b in y[:, column]]
        shares.append(sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs))
    return sum(shares) / len(shares)
