"""The cost of MAZero's search against agents, K, N and batch: `python -m analysis.speed BENCH.json --out FIGURE.png`.

Reads what `python -m mazero bench --only search sweep --json BENCH.json` wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style

PANELS = (
    ("agents", "n_agents", "agents n"),
    ("num_sampled_actions", "num_sampled_actions", "sampled joint actions K"),
    ("num_simulations", "num_simulations", "simulations N"),
    ("batch", "batch", "roots searched together B"),
)
PARTS = ("inference", "tree", "glue")


def draw(record: dict[str, Any]) -> Figure:
    """Microseconds per simulation and root, stacked by part, one panel for each axis of the sweep.

    Raises: ValueError if the record has no sweep.
    """
    if "sweep" not in record:
        raise ValueError("the record has no sweep: make it with `python -m mazero bench --only sweep --json FILE`")
    sweep, where = record["sweep"], record["provenance"]
    base = sweep["base"]
    with style.paper_style():
        figure = Figure(figsize=(style.PAGE, 2.5), layout="constrained")
        panels = figure.subplots(1, len(PANELS))
        for axes, (axis, key, label) in zip(panels, PANELS, strict=True):
            _panel(axes, sweep[axis], key)
            axes.set_xlabel(label)
        panels[0].set_ylabel("µs per simulation and root")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(PARTS), frameon=False)
        figure.suptitle(
            f"Cost of search: {base['agents']}, K = {base['num_sampled_actions']}, N = {base['num_simulations']}, "
            f"B = {base['batch']} unless varied; {where['cpu']}, {where['threads']} thread(s), "
            f"{record['inference']['backend']}",
            fontsize=7.5,
            x=0.01,
            ha="left",
        )
    return figure


def _panel(axes: Axes, rows: list[dict[str, Any]], key: str) -> None:
    """Stacked bars at equal distances, whose labels are the values of the axis."""
    palette = sns.color_palette("colorblind")
    bottom = [0.0] * len(rows)
    for part, colour in zip(PARTS, palette, strict=False):
        cost = [1e6 / row["simulations_per_second"] * row["share"][part] for row in rows]
        axes.bar(range(len(rows)), cost, bottom=bottom, width=0.7, linewidth=0, color=colour, label=part)
        bottom = [low + height for low, height in zip(bottom, cost, strict=True)]
    axes.set_xticks(range(len(rows)), [str(row[key]) for row in rows], fontsize=6.5)
    axes.grid(visible=False, axis="x")


def main(argv: list[str] | None = None) -> int:
    """Draw one figure. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.speed", description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        figure = draw(json.loads(arguments.record.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {arguments.record}: {error}\n")
        return 2
    figure.savefig(arguments.out, dpi=style.DPI)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
