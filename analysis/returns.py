"""Returns beside those of the paper's Table 9: LunarLander, where returns are compared and not win rates.

The paper gives mean and spread, written with a plus-minus sign, after three numbers of environment steps; it says
neither what the spread is of nor over how many seeds.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis import aggregates
from analysis.collect import score_array
from analysis.published import nearest_mark
from analysis.study import Study

DATA = Path(__file__).parent / "data" / "mazero_paper_table9.csv"
# Settings that differ from the whole method -> what the paper calls it.
NAMES = {(): "MAZero", ("loss.awpo", "search.os_lambda"): "MAZero without OS(lambda) and AWPO"}
COLUMNS = """
    group backend map algorithm label seeds return_here return_here_low return_here_high steps_here
    published_return published_spread published_steps
""".split()


def returns(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per algorithm and number of steps that the paper has: mean return over our seeds, and the paper's.

    Ours is of the evaluation nearest to the published steps (`steps_here`), which is the last one where our budget is
    smaller. Other maps have no row.
    """
    rows = []
    paper = pd.read_csv(DATA)
    for group in study.groups.values():
        for index, name in enumerate(group.maps):
            for key in group.algorithms:
                algorithm = study.algorithms[key]
                switched_off = tuple(sorted(setting for setting, on in algorithm.overrides.items() if on is False))
                changed = len(switched_off) < len(algorithm.overrides)
                theirs = paper[(paper["map"] == name) & (paper["algorithm"] == NAMES.get(switched_off))]
                if algorithm.family != "mazero" or changed or theirs.empty:
                    continue
                curves = score_array(frame, study, group, algorithm=key, column="return_mean")  # (R, M, T)
                for figure in theirs.sort_values("env_steps").to_dict("records"):
                    mark = nearest_mark(group, figure["env_steps"])
                    ours = aggregates.map_means(curves[:, :, mark])[index]
                    here = (len(curves), ours.value, ours.low, ours.high, group.marks[mark])
                    there = (figure["return"], figure["return_spread"], figure["env_steps"])
                    rows.append((group.key, group.backend, name, key, algorithm.label, *here, *there))
    return pd.DataFrame(rows, columns=COLUMNS)
