"""Published figures beside ours. They are of StarCraft II: read the two columns side by side, never as one.

`data/published.csv` holds what papers and public reports say: one figure a row, with its source and how sure we are of
it (`verified text`: read in the source itself; `second-hand text`: quoted by somebody else; `recalled, unverified`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis import aggregates
from analysis.collect import score_array
from analysis.study import Group, Study

DATA = Path(__file__).parent / "data" / "published.csv"
METHODS = ("MAZero", "IQL", "VDN", "QMIX", "QPLEX", "IPPO", "MAPPO", "CDS", "RODE", "MAMBA")
NAMES = {name.lower(): name for name in METHODS}  # family -> there
COLUMNS = """
    group backend map algorithm label win_rate_here win_rate_here_low win_rate_here_high steps_here
    published_win_rate published_steps published_seeds source confidence
""".split()


def load() -> pd.DataFrame:
    """Win rates on SMAC maps: columns of the file, `value` in percent; `env_steps` and `n_seeds` NaN if not stated."""
    everything = pd.read_csv(DATA)
    return everything[(everything["domain"] == "SMAC") & everything["metric"].str.startswith("win rate %")]


def published(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per map, algorithm and published figure; settings that were changed (ablations) have none.

    `win_rate_here` is the mean over our seeds with its interval, at the evaluation nearest to the published number of
    environment steps, or at the end of our budget if that is nearer or the number is not stated (`published_steps`
    empty: budgets of millions).
    """
    known = load()
    rows = []
    for group in study.groups.values():
        for index, name in enumerate(group.maps):
            for key in group.algorithms:
                algorithm = study.algorithms[key]
                if algorithm.overrides or algorithm.family not in NAMES:
                    continue
                curves = score_array(frame, study, group, algorithm=key)  # (R, M, T)
                theirs = known[(known["algorithm"] == NAMES[algorithm.family]) & (known["map"] == name)]
                for figure in theirs.sort_values("env_steps").to_dict("records"):
                    mark = nearest_mark(group, figure["env_steps"])
                    ours = aggregates.map_means(curves[:, :, mark])[index]
                    here = (ours.value, ours.low, ours.high, group.marks[mark])
                    there = (figure["value"] / 100, figure["env_steps"], _count(figure["n_seeds"]))
                    place = (group.key, group.backend, name, key, algorithm.label)
                    rows.append((*place, *here, *there, figure["source"], figure["confidence"]))
    return pd.DataFrame(rows, columns=COLUMNS)


def nearest_mark(group: Group, env_steps: float) -> int:
    """Index of the evaluation nearest to a number of environment steps; the last one if the number is not known."""
    if np.isnan(env_steps):
        return len(group.marks) - 1
    return int(np.abs(np.asarray(group.marks) - env_steps).argmin())


def _count(number: float) -> str:
    return "" if np.isnan(number) else f"{number:.0f}"
