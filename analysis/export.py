"""A study in the format that the MARL community exchanges results in: the JSON of marl-eval (Gorsane et al. 2022,
arXiv 2209.10485), one file a group.

    environment -> task (map) -> algorithm -> run -> step -> {step_count, metric: [values]}

and `absolute_metrics` beside the steps of a run: its best policy, played again. A metric's values are those of episodes
there; ours are one value, the mean over the episodes of an evaluation. `marl_eval` puts names into lower case, takes no
comma in those of algorithms, and wants the same metrics everywhere: times stay out, `evaluations.csv` has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.collect import made_by
from analysis.study import Group, Study
from training.files import write_text


def write_all(frame: pd.DataFrame, study: Study, directory: Path, *, only: str | None = None) -> list[Path]:
    """directory/<group>.json for every group, or for group `only`. `frame`: as `analysis.collect` returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    return [
        write_text(directory / f"{group.key}.json", json.dumps(document(frame, study, group), indent=1) + "\n")
        for group in study.groups.values()
        if only in (None, group.key)
    ]


def document(frame: pd.DataFrame, study: Study, group: Group) -> dict[str, Any]:
    """The document of one group; its environment is called by what made the runs, e.g. `skirmish, unit data 4.10`."""
    rows = frame[frame["group"] == group.key]
    tasks: dict[str, Any] = {name: {} for name in group.maps}
    for (name, key, seed), run in rows.sort_values("mark", kind="stable").groupby(
        ["map", "algorithm", "seed"], sort=False
    ):
        label = study.algorithms[key].label.replace(",", ";")
        tasks[name].setdefault(label, {})[f"seed_{seed}"] = _run(run)
    return {made_by(frame, group): tasks}


def _run(rows: pd.DataFrame) -> dict[str, Any]:
    """Steps of one run in order, then its absolute metrics, left out where a table is older than they are."""
    steps: dict[str, Any] = {
        f"step_{number}": {
            "step_count": int(row["mark"]),
            "win_rate": [float(row["win_rate"])],
            "return": [float(row["return_mean"])],
        }
        for number, row in enumerate(rows.to_dict("records"))
    }
    last = rows.iloc[-1]
    if not pd.isna(last["absolute_win_rate"]):
        steps["absolute_metrics"] = {
            "win_rate": [float(last["absolute_win_rate"])],
            "return": [float(last["absolute_return_mean"])],
        }
    return steps
