"""Win rates at the marks of runs that were tried: `python -m analysis.marks TABLE.csv ...`.

Each table is one of `analysis.tried`. A Markdown table for each map: mean over seeds and, in brackets, the least or
with `--intervals` the 95 % bootstrap interval, at every mark that all runs of the map have reached, and the absolute
metric of the finished ones; below them the paper's curve at these marks, where it has one of the map.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import aggregates
from analysis.paper_curves import paper_curve

WAYS = {"win_rate": "with search", "policy_win_rate": "without search"}


def table_of(rows: pd.DataFrame, cell: Callable[[pd.Series], str]) -> str:
    """The table of one map, Markdown; with several kinds of run (names), a line or two for each.

    Args:
      rows: of `analysis.tried`, one map, one set of settings a name.    cell: of the values of all seeds.
    """
    rows = rows.assign(env_steps=rows["env_steps"].round(-2))  # vector steps end a little behind their mark
    evaluations = rows[rows["kind"] == "eval"]
    names = sorted(rows["name"].unique())
    seeds = {name: sorted(of_name["seed"].unique()) for name, of_name in rows.groupby("name")}
    runs = len(evaluations[["name", "seed"]].drop_duplicates())
    reached = evaluations.drop_duplicates(["name", "seed", "env_steps"])["env_steps"].value_counts().sort_index()
    marks = [mark for mark, count in reached.items() if mark and count == runs]
    head = "mean (least)" if cell is with_least else "mean [95 %]"
    lines = [
        f"{rows['map'].iloc[0]}, seeds {_listed(seeds[names[0]])}",
        "",
        f"| {head} | " + " | ".join(f"{mark / 1000:g}k" for mark in marks) + " | absolute |",
        "|---|" + "---|" * (len(marks) + 1),
    ]
    for name in names:
        who = [] if len(names) == 1 else [name]
        if seeds[name] != seeds[names[0]]:
            who.append(f"seeds {_listed(seeds[name])}")
        lines += _lines_of(rows[rows["name"] == name], marks, who, cell)
    paper = paper_curve(rows["map"].iloc[0])
    if paper is not None:
        cells = ["-" if np.isnan(value) else f"{value:.2f}" for value in paper.at(marks)]
        lines.append(f"| the paper, {paper.figure} | {' | '.join(cells)} | - |")
    return "\n".join(lines)


def _lines_of(rows: pd.DataFrame, marks: list[int], who: list[str], cell: Callable[[pd.Series], str]) -> list[str]:
    """The lines of one name: one for each way it played, with the absolute metric if all its runs are finished."""
    evaluations, absolute = (rows[rows["kind"] == kind] for kind in ("eval", "absolute"))
    searched = evaluations["policy_win_rate"].notna().any()  # the baselines play in one way only
    lines = []
    for column, way in WAYS.items():
        if column == "policy_win_rate" and not searched:
            continue
        cells = [cell(evaluations.loc[evaluations["env_steps"] == mark, column]) for mark in marks]
        whole = column == "win_rate" and len(absolute) == evaluations["seed"].nunique()
        cells.append(cell(absolute[column]) if whole else "-")
        label = ", ".join([*who, way] if searched else who or ["win rate"])
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


def with_least(values: pd.Series) -> str:
    """Mean and least, e.g. 0.94 (0.91)."""
    return f"{values.mean():.2f} ({values.min():.2f})"


def with_interval(values: pd.Series) -> str:
    """Mean and its 95 % bootstrap interval over seeds, e.g. 0.94 [0.91, 0.97]."""
    return str(aggregates.mean(values.to_numpy()[:, None]))


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m analysis.marks", description="win rates at the marks of runs")
    parser.add_argument("tables", nargs="+", type=Path, help="tables of analysis.tried")
    parser.add_argument("--finished", action="store_true", help="leave out runs that are not finished")
    parser.add_argument("--intervals", action="store_true", help="95 %% bootstrap intervals instead of the least")
    arguments = parser.parse_args(argv)
    for path in arguments.tables:
        if not path.is_file():
            parser.error(f"no table {path}: make it with `python -m analysis.tried RUNS --out {path}`")
        rows = pd.read_csv(path)
        if arguments.finished:
            rows = rows[rows["state"] == "finished"]
        for _, of_map in rows.groupby("map"):
            print(table_of(of_map, with_interval if arguments.intervals else with_least), end="\n\n")  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
