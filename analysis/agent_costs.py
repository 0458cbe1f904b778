"""What more agents cost: time of play, search and updates, memory and parameters of a study's runs, over team sizes.

Clock readings are those of the runs' own records (`training/metrics.py`), without evaluations. What lies before the
first mark is left out where more follows: processes start and kernels load there. Memory is what Snakemake's
`benchmark` measured; a run that was made otherwise has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import store, style
from analysis.collect import read_json
from analysis.estimate import SIZES
from analysis.formats import markdown
from analysis.study import Group, Run, Study, StudyError
from training.files import write_text
from training.metrics import read_records

NAME = "agent_costs"  # of the files
TABLE = Path("tables", f"{NAME}.csv")
TITLE = "What more agents cost"
CAPTION = (
    "Time of a step of play with its search, of a simulation of one root, and of an update, memory and parameters, "
    "over the number of agents. Points are means over runs; both axes are logarithmic."
)
PLACE = ("group", "backend", "map", "agents", "algorithm", "label")
PANELS = {
    "play_ms_per_step": "ms a step of play",
    "search_us_per_simulation": "µs a simulation of one root",
    "update_ms": "ms an update",
    "memory_mb": "MB of memory",
    "parameters": "parameters",
}
TICKS_APART = 1.2  # ratio of two numbers of agents that are both written below the axis
SPENT = ("self_play_seconds", "targets_seconds", "update_seconds")
COUNTED = ("env_steps", "updates")


def table(study: Study, root: Path) -> pd.DataFrame:
    """One row per map and algorithm, ordered by agents: means over its runs, NaN for what its runs do not record.

    Columns: PLACE, runs, those of PANELS, and targets_ms, what making the targets of an update takes. A step of play is
    one environment step with the search that chose it; a simulation's share of it includes the simulator's work.

    Args:
      root: results/<study>, with finished runs.
    Raises: StudyError naming the file of a run that is missing, unreadable or without records of its training, or a map
      whose number of agents is not known.
    """
    rows = [
        _place_of(study, run) | costs(store.place(study, run, root))
        for run in study.runs()
        if study.algorithms[run.algorithm].program == "mazero"
    ]
    if not rows:
        raise StudyError(f"study {study.name}: agent_costs needs runs of mazero, got none: leave agent_costs out")
    grouped = pd.DataFrame(rows).groupby(list(PLACE), sort=False)
    means = grouped.agg(runs=("agents", "size"), **{name: (name, "mean") for name in (*PANELS, "targets_ms")})
    return means.reset_index().sort_values(["agents", "map"], kind="stable", ignore_index=True)


def costs(directory: Path) -> dict[str, float]:
    """What one run of MAZero cost, see `table`. Raises: as `table`."""
    simulations = read_json(directory / "config.json")["config"]["search"]["num_simulations"]
    metrics = directory / "metrics.jsonl"
    try:
        records = list(read_records(metrics, "train"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{metrics}: {error}; make the run again") from error
    if not records:  # too short for an episode to end: nothing was told
        return dict.fromkeys((*PANELS, "targets_ms"), np.nan) | {"memory_mb": _memory(_benchmark(directory))}
    lacking = [name for name in (*SPENT, *COUNTED) if name not in records[-1]]
    if lacking:
        raise StudyError(f"{metrics}: no training record with {', '.join(lacking)}; make the run again")
    first, rest = (records[0], records[1:]) if len(records) > 1 else (dict.fromkeys(COUNTED, 0), records)
    play, targets, update = (sum(record[name] for record in rest) for name in SPENT)
    steps, updates = (records[-1][name] - first[name] for name in COUNTED)
    return {
        "play_ms_per_step": 1e3 * play / steps,
        "search_us_per_simulation": 1e6 * play / (steps * simulations),
        "update_ms": 1e3 * update / updates if updates else np.nan,
        "targets_ms": 1e3 * targets / updates if updates else np.nan,
        "memory_mb": _memory(_benchmark(directory)),
        "parameters": records[-1].get("parameters", np.nan),
    }


def draw(costs: pd.DataFrame, study: Study, *, made_by: str) -> Figure:
    """One panel a kind of cost, one line an algorithm, over the number of agents.

    Args:
      costs: of `table`.    made_by: as of `analysis.collect.made_by`.
    """
    looks = style.looks(study)
    shown = [name for name in PANELS if costs[name].notna().any()] or list(PANELS)
    sizes: list[int] = []
    for n in sorted(costs["agents"].unique()):
        if not sizes or n > TICKS_APART * sizes[-1]:
            sizes.append(int(n))
    with style.paper_style():
        figure, axes = style.panels(len(shown), height=1.9, legend_rows=1, most_columns=3, share_y=False)
        for at, name in zip(axes, shown, strict=True):
            for key, own in costs.groupby("algorithm", sort=False):
                look, by_size = looks[str(key)], own.groupby("agents")[name].mean()
                drawn = {"color": look.colour, "ls": look.dashes, "marker": look.marker, "ms": 3}
                at.plot(by_size.index, by_size, label=look.label, **drawn)
            at.set_xscale("log")
            at.set_xticks(sizes, [str(n) for n in sizes])
            if costs[name].notna().any():  # nothing at all has no logarithm
                at.set_yscale("log")
                at.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            at.yaxis.set_major_formatter(FuncFormatter(lambda cost, _: style.thousands(cost)))
            for axis in (at.xaxis, at.yaxis):
                axis.set_minor_locator(NullLocator())
            at.set_title(PANELS[name])
            at.set_xlabel("agents")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False)
        maps = ", ".join(costs.drop_duplicates("map")["map"])
        style.header(figure, TITLE, f"backend {made_by}", f"maps {maps}; mean over runs, evaluations left out")
        sns.despine(figure)
    return figure


def write_all(study: Study, root: Path, *, made_by: str) -> list[Path]:
    """Write tables/agent_costs.{csv,md} and figures/agent_costs.{png,pdf,svg}. Raises: as `table`."""
    (root / TABLE).parent.mkdir(parents=True, exist_ok=True)
    written = write_text(root / TABLE, table(study, root).to_csv(index=False))
    return [written, *redraw(study, root, made_by=made_by)]


def redraw(study: Study, root: Path, *, made_by: str) -> list[Path]:
    """The same from tables/agent_costs.csv, without the runs. Raises: StudyError if that is not such a table."""
    try:
        costs = pd.read_csv(root / TABLE)
        missing = {*PLACE, *PANELS} - {*costs.columns}
    except (OSError, ValueError) as error:
        raise StudyError(f"{root / TABLE}: not readable as a table of costs: {error}") from error
    if missing:
        raise StudyError(f"{root / TABLE}: lacks the columns {', '.join(sorted(missing))}; make it again from the runs")
    written = write_text((root / TABLE).with_suffix(".md"), markdown(costs))
    return [written, *style.save(draw(costs, study, made_by=made_by), root / "figures" / NAME, suffixes=style.ALL)]


def _place_of(study: Study, run: Run) -> dict[str, Any]:
    group: Group = study.groups[run.group]
    sizes = pd.read_csv(SIZES).set_index("map")["agents"]
    if run.map not in sizes.index:
        raise StudyError(f"{SIZES}: the number of agents of {run.map} is not there; add it")
    label = study.algorithms[run.algorithm].label
    values = (group.key, run.backend, run.map, int(sizes[run.map]), run.algorithm, label)
    return dict(zip(PLACE, values, strict=True))


def _benchmark(directory: Path) -> Path:
    """What Snakemake measured of a run."""
    return directory.with_name(f"{directory.name}.tsv")


def _memory(file: Path) -> float:
    """Largest resident memory in MB by a file of Snakemake's `benchmark`; NaN where there is none."""
    if not file.is_file():
        return np.nan
    lines: Iterator[str] = iter(file.read_text(encoding="utf-8").splitlines())
    measured = dict(zip(next(lines, "").split("\t"), next(lines, "").split("\t"), strict=False))
    try:
        return float(measured.get("max_rss", "nan"))
    except ValueError:
        return np.nan  # a dash: the job was too short to be looked at
