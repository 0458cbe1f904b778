"""Win rates at the marks of runs that were tried: `python -m analysis.marks TABLE.csv ...`.

Each table is one of `analysis.tried`. A Markdown table for each map: mean over seeds and, in brackets, the least, at
every mark that all runs of the map have reached, and the absolute metric of the finished ones; below them the paper's
curve at these marks, where it has one of the map.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.paper_curves import paper_curve

WAYS = {"win_rate": "with search", "policy_win_rate": "without search"}


def table_of(rows: pd.DataFrame) -> str:
    """The table of one map, Markdown.

    Args:
      rows: of `analysis.tried`, one map and one set of settings.
    """
    evaluations, absolute = (rows[rows["kind"] == kind] for kind in ("eval", "absolute"))
    runs = evaluations["seed"].nunique()
    marks = [mark for mark, at in evaluations.groupby("env_steps")["seed"].nunique().items() if mark and at == runs]
    lines = [
        f"{rows['map'].iloc[0]}, seeds {', '.join(map(str, sorted(rows['seed'].unique())))}",
        "",
        "| mean (least) | " + " | ".join(f"{round(mark, -2) / 1000:g}k" for mark in marks) + " | absolute |",
        "|---|" + "---|" * (len(marks) + 1),
    ]
    for column, name in WAYS.items():
        cells = [_cell(evaluations.loc[evaluations["env_steps"] == mark, column]) for mark in marks]
        last = _cell(absolute[column]) if column == "win_rate" and len(absolute) == runs else "-"
        lines.append(f"| {name} | {' | '.join([*cells, last])} |")
    paper = paper_curve(rows["map"].iloc[0])
    if paper is not None:
        cells = ["-" if np.isnan(value) else f"{value:.2f}" for value in paper.at(marks)]
        lines.append(f"| the paper, {paper.figure} | {' | '.join(cells)} | - |")
    return "\n".join(lines)


def _cell(values: pd.Series) -> str:
    return f"{values.mean():.2f} ({values.min():.2f})"


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m analysis.marks", description="win rates at the marks of runs")
    parser.add_argument("tables", nargs="+", type=Path, help="tables of analysis.tried")
    parser.add_argument("--finished", action="store_true", help="leave out runs that are not finished")
    arguments = parser.parse_args(argv)
    for path in arguments.tables:
        if not path.is_file():
            parser.error(f"no table {path}: make it with `python -m analysis.tried RUNS --out {path}`")
        rows = pd.read_csv(path)
        if arguments.finished:
            rows = rows[rows["state"] == "finished"]
        for _, of_map in rows.groupby(["map", "name"]):
            print(table_of(of_map), end="\n\n")  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
