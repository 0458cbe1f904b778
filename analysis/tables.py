"""Tables of a study: runs, final and area-under-curve scores, published figures, aggregates, comparisons, speed.

Each function returns one DataFrame with plain number columns (X, X_low, X_high for an estimate and its 95 %
stratified bootstrap interval); `write_all` saves it as CSV, and as Markdown and LaTeX in which estimate and interval
share a cell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import aggregates, coverage, statistics
from analysis.claim_scores import TABLE_8
from analysis.collect import BARE, score_array, unit_data
from analysis.comparisons import SCORES, improvements, reference_of
from analysis.comparisons import differences as paired
from analysis.formats import latex, markdown
from analysis.published import published
from analysis.returns import returns
from analysis.statistics import UNKNOWN, Array, Estimate
from analysis.study import TABLES, Group, Study
from training.files import write_text


def write_all(frame: pd.DataFrame, study: Study, directory: Path) -> list[Path]:
    """Write every table as directory/<table>.csv, .md and .tex."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name in TABLES:
        table = make(name, frame, study)
        texts = {".csv": table.to_csv(index=False), ".md": markdown(table), ".tex": latex(table)}
        written += [write_text(directory / f"{name}{suffix}", text) for suffix, text in texts.items()]
    return written


def make(name: str, frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Table `name`, with a column that names the unit data behind the backend, if any group has some."""
    table = MAKE[name](frame, study)
    data = {group.key: unit_data(frame, group) for group in study.groups.values()}
    if any(data.values()):
        table.insert(table.columns.get_loc("backend") + 1, "unit_data", table["group"].map(data))
    return table


MEANS = ("final_win_rate", "late_win_rate", "absolute_win_rate", "area_under_curve", "final_return")  # of `final`
LATE = 5  # last evaluations, whose mean is steadier than the last one: on some maps most evaluations are exactly 0 or 1


def runs(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per run: what it cost and where it ended.

    `final_win_rate` is that of the last evaluation, `late_win_rate` the mean over the last `LATE` in the second half,
    `absolute_win_rate` that of the best one's policy, played again on other seeds (the absolute metric of Gorsane et
    al. 2022, arXiv 2209.10485); NaN where a table is older than that.
    """
    rows = []
    for run in study.runs():
        group = study.groups[run.group]
        own = frame[(frame["algorithm"] == run.algorithm) & (frame["seed"] == run.seed)]
        own = own[(own["group"] == run.group) & (own["map"] == run.map)].sort_values("mark")
        last = own.iloc[-1]
        area = statistics.area_under_curve(np.asarray(group.marks, dtype=np.float64), own["win_rate"].to_numpy())
        rows.append(
            {
                **_place(study, group, run.map, run.algorithm),
                "seed": run.seed,
                "final_win_rate": last["win_rate"],
                "late_win_rate": float(own.loc[own["mark"] > group.env_steps / 2, "win_rate"].iloc[-LATE:].mean()),
                "absolute_win_rate": last["absolute_win_rate"],
                "area_under_curve": float(area),
                "final_return": last["return_mean"],
                "absolute_return": last["absolute_return_mean"],
                "best_mark": last["best_mark"],
                "env_steps": int(last["env_steps"]),
                "updates": int(last["updates"]),
                "episodes": int(last["episodes"]),
                "wall_minutes": last["wall_seconds"] / 60,
            }
        )
    return pd.DataFrame(rows)


def final(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per map and algorithm: means over seeds with intervals, share of solved seeds, mean cost of a run.

    `solved` is the share of seeds that won every evaluation episode at the end of the budget. `interval_covers` is how
    often 95 % intervals of so many seeds hold the truth (`analysis.coverage`).
    """
    per_run = runs(frame, study)
    rows = []
    for group in study.groups.values():
        owned = {
            key: per_run[(per_run["group"] == group.key) & (per_run["algorithm"] == key)] for key in group.algorithms
        }
        means = {
            key: {column: aggregates.map_means(_wide(own, column, group)) for column in MEANS}
            for key, own in owned.items()
        }
        for index, name in enumerate(group.maps):
            for key in group.algorithms:
                own = owned[key][owned[key]["map"] == name]
                row: dict[str, Any] = {
                    **_place(study, group, name, key),
                    "seeds": len(own),
                    "eval_episodes": group.eval_episodes,
                }
                for column in MEANS:
                    row |= _estimate(column, means[key][column][index])
                row["interval_covers"] = coverage.covers("mean", seeds=len(own), maps=1)
                row["solved"] = float((own["final_win_rate"] == 1.0).mean())
                row |= {
                    f"{column}_per_run": own[column].mean()
                    for column in ("env_steps", "updates", "episodes", "wall_minutes")
                }
                rows.append(row)
    return pd.DataFrame(rows)


def search(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per map and searching algorithm: last evaluation with search and without, and the paper's Table 8.

    Without search every agent takes its own most likely action. The paper's figures stand beside algorithms whose
    settings are not changed; its budgets (`published_steps`) may be larger.
    """
    rows = []
    paper = pd.read_csv(TABLE_8).set_index("map")
    columns = ["group", "backend", "map", "algorithm", "label", "seeds"]
    columns += [f"{way}{part}" for way in ("with_search", "without_search") for part in ("", "_low", "_high")]
    columns += ["published_with_search", "published_without_search", "published_steps"]
    for group in study.groups.values():
        ways = {
            way: {
                key: aggregates.map_means(score_array(frame, study, group, algorithm=key, column=column)[:, :, -1])
                for key in group.algorithms
            }
            for way, column in (("with_search", "win_rate"), ("without_search", BARE))
        }
        for index, name in enumerate(group.maps):
            for key in group.algorithms:
                if np.isnan(ways["without_search"][key][index].value):
                    continue
                row: dict[str, Any] = {**_place(study, group, name, key), "seeds": len(group.seeds)}
                for way, estimates in ways.items():
                    row |= _estimate(way, estimates[key][index])
                if name in paper.index and not study.algorithms[key].overrides:
                    row |= {f"published_{way}": paper.loc[name, way] for way in ways}
                    row["published_steps"] = float(paper.loc[name, "env_steps"])
                rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def aggregate(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per group and algorithm: final IQM, mean, median, optimality gap; IQM of area and absolute win rate.

    `interval_covers` is how often 95 % intervals of the IQM of so many seeds hold the truth (`analysis.coverage`).
    """
    rows = []
    for group in study.groups.values():
        for key in group.algorithms:
            curves = score_array(frame, study, group, algorithm=key)  # (R, M, T)
            row: dict[str, Any] = {
                "group": group.key,
                "backend": group.backend,
                "maps": len(group.maps),
                "algorithm": key,
            }
            row |= {"label": study.algorithms[key].label, "runs": curves.shape[0] * curves.shape[1]}
            for metric, estimate in aggregates.aggregates(curves[:, :, -1]).items():
                row |= _estimate(metric, estimate)
            area = statistics.area_under_curve(np.asarray(group.marks, dtype=np.float64), curves)
            row |= _estimate("area_under_curve_iqm", aggregates.iqm(area))
            again = score_array(frame, study, group, algorithm=key, column="absolute_win_rate")[:, :, -1]
            row |= _estimate("absolute_iqm", UNKNOWN if np.isnan(again).any() else aggregates.iqm(again))
            rows.append(row | {"interval_covers": coverage.covers("iqm", seeds=len(curves), maps=len(group.maps))})
    return pd.DataFrame(rows)


def improvement(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per group and other algorithm: probability that a run of the reference beats one of it."""
    rows = []
    columns = ["group", "backend", "algorithm", "reference", "label"]
    columns += [f"by_{measure}{part}" for measure in SCORES for part in ("", "_low", "_high")]
    for group in study.groups.values():
        measured = improvements(frame, study, group)
        reference = reference_of(study, group)
        for other in (key for key in group.algorithms if key != reference):
            row: dict[str, Any] = {"group": group.key, "backend": group.backend, "algorithm": other}
            row |= {"reference": study.algorithms[reference].label, "label": study.algorithms[other].label}
            for measure, estimates in measured.items():
                row |= _estimate(f"by_{measure}", estimates[other])
            rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def differences(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per group, map and other algorithm: win rate of the reference minus that of the other, seed by seed.

    Means over seeds, by the last evaluation and by the area under the curve, and how many seeds the reference is ahead
    in; the first rows of a group, map `all`, are over all its maps.
    """
    rows = []
    columns = ["group", "backend", "map", "algorithm", "reference", "label", "seeds"]
    columns += [f"{measure}{part}" for measure in SCORES for part in ("", "_low", "_high", "_ahead")]
    for group in study.groups.values():
        measured = {measure: paired(frame, study, group, measure) for measure in SCORES}
        reference = reference_of(study, group)
        others = [key for key in group.algorithms if key != reference]
        for index, name in enumerate(("all", *group.maps), start=-1):
            for other in others:
                row: dict[str, Any] = {**_place(study, group, name, other), "seeds": len(group.seeds)}
                row["reference"] = study.algorithms[reference].label
                for measure, found in measured.items():
                    pair = found[other]
                    row |= _estimate(measure, pair.overall if index < 0 else pair.maps[index])
                    runs_of = pair.runs if index < 0 else pair.runs[:, index]
                    row[f"{measure}_ahead"] = float((runs_of > 0).mean())
                rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def steps_to(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per map, algorithm and threshold: seeds whose win rate reached it, environment steps and hours it took.

    Medians are over all seeds, one that never got there counting as infinite (it was censored at the budget), and are
    empty where they are infinite; `fastest` and `slowest` are steps of the seeds that got there.
    """
    rows = []
    for group in study.groups.values():
        marks = np.asarray(group.marks, dtype=np.float64)
        for index, name in enumerate(group.maps):
            for key in group.algorithms:
                scores = score_array(frame, study, group, algorithm=key)[:, index]  # (R, T)
                hours = score_array(frame, study, group, algorithm=key, column="wall_seconds")[:, index] / 3600
                for threshold in group.thresholds:
                    steps = statistics.first_crossing(marks, scores, threshold)  # (R,)
                    reached = steps[np.isfinite(steps)]
                    rows.append(
                        {
                            **_place(study, group, name, key),
                            "win_rate": threshold,
                            "seeds": len(steps),
                            "reached": len(reached),
                            "median_steps": _median(steps),
                            "fastest": reached.min() if len(reached) else np.nan,
                            "slowest": reached.max() if len(reached) else np.nan,
                            "median_hours": _median(statistics.first_crossing(hours, scores, threshold)),
                        }
                    )
    return pd.DataFrame(rows)


MAKE: dict[str, Callable[[pd.DataFrame, Study], pd.DataFrame]] = {
    "runs": runs,
    "final": final,
    "search": search,
    "published": published,
    "returns": returns,
    "aggregate": aggregate,
    "improvement": improvement,
    "differences": differences,
    "steps_to": steps_to,
}


def _place(study: Study, group: Group, name: str, key: str) -> dict[str, str]:
    label = study.algorithms[key].label
    return {"group": group.key, "backend": group.backend, "map": name, "algorithm": key, "label": label}


def _wide(runs_of: pd.DataFrame, column: str, group: Group) -> Array:
    """A column of one algorithm's runs as (R, M), maps in the order of the group."""
    return runs_of.pivot(index="seed", columns="map", values=column)[list(group.maps)].to_numpy(np.float64)


def _median(times: Array) -> float:
    """Of all runs (R,), those that never got there being infinite; NaN if at least half of them are."""
    middle = float(np.median(times))
    return middle if np.isfinite(middle) else np.nan


def _estimate(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
