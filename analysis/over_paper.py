"""MAZero's curves over those of its paper: `python -m analysis.over_paper TABLE.csv ... --out FIGURE.png`.

Each table is one of `analysis.tried`. One panel a map: in colour the mean over seeds with its 95 % bootstrap interval
and a thin line a seed, in grey the paper's curve and band as far as ours go. Theirs is of StarCraft II, smoothed; ours
is not smoothed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis import statistics, style
from analysis.paper_curves import paper_curve

PAPER = "0.45"  # grey
BAND_ALPHA = 0.2


def draw(rows: pd.DataFrame) -> Figure:
    """One panel for each map of `rows`, in their order.

    Args:
      rows: runs of `analysis.tried`, of one backend, unit data and preset.
    Raises: ValueError if rows is empty, if it mixes these, or if the seeds of a map have different marks.
    """
    makers = rows[["preset", "changed", "backend", "unit_data", "num_episodes"]].fillna("").drop_duplicates()
    if len(makers) != 1:
        raise ValueError(
            f"a figure shows runs of one preset, backend, unit data and number of episodes, "
            f"got {makers.to_dict('records') or 'none'}: give tables that agree"
        )
    maps = list(rows["map"].unique())
    with style.paper_style():
        figure, axes = style.panels(len(maps), height=1.75 if len(maps) > 1 else 2.2, legend_rows=1)
        for name, at in zip(maps, axes, strict=True):
            _panel(at, rows[rows["map"] == name])
        axes[0].set_ylabel("Win rate")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        maker = makers.iloc[0]
        changed = f", {maker['changed']}" if maker["changed"] else ""
        seeds = sorted({len(of_map) for _, of_map in rows.groupby("map")["seed"].unique().items()})
        alone = seeds == [1]
        style.header(
            figure,
            "MAZero over the paper's curves",
            f"ours: backend {maker['backend']}, unit data {maker['unit_data']}, preset {maker['preset']}{changed}",
            f"{', '.join(map(str, seeds))} seed{'' if alone else 's'}{' by map' if len(seeds) > 1 else ''}, "
            f"{maker['num_episodes']:.0f} games an evaluation{'' if alone else '; thin: seed, band: bootstrap 95 %'}",
            f"the paper's ({_figures(maps)}): StarCraft II, smoothed, its own band",
        )
        sns.despine(figure)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    """One map: grey below, colour above."""
    name = rows["map"].iloc[0]
    scores = rows.pivot(index="seed", columns="env_steps", values="win_rate")  # (R, T)
    if scores.isna().any(axis=None):
        raise ValueError(
            f"all seeds of {name} must have the same evaluations, got others: give finished runs of one study"
        )
    steps = scores.columns.to_numpy()
    paper = paper_curve(name)
    if paper is not None:
        axes.fill_between(paper.steps, paper.low, paper.high, color=PAPER, alpha=BAND_ALPHA, linewidth=0)
        axes.plot(
            paper.steps, paper.win_rate, color=PAPER, linewidth=1.5, linestyle=style.DASHED, label="MAZero, the paper"
        )
    curve = statistics.interval_curve(scores.to_numpy()[:, None, :], statistics.mean)
    colour = sns.color_palette("colorblind")[style.FIXED_COLOURS["mazero"]]
    axes.fill_between(steps, curve.low, curve.high, color=colour, alpha=BAND_ALPHA, linewidth=0)
    for seed in scores.to_numpy():
        axes.plot(steps, seed, color=colour, linewidth=0.5, alpha=0.4)
    axes.plot(steps, curve.value, color=colour, linewidth=1.5, marker="o", markersize=3, label="MAZero, ours")
    budget = rows["budget"].max()
    title = name if (rows["state"] == "finished").all() else f"{name}, stopped at {steps[-1]:,} of {budget:,}"
    axes.set(title=title, xlabel="Environment steps", ylim=(-0.03, 1.03))
    axes.set_xlim(0, 1.02 * steps[-1])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=style.ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.thousands(value)))


def _figures(maps: list[str]) -> str:
    """Where the paper's curves are from: `Fig. 3, 8m: Fig. 5`."""
    found = {name: curve.figure for name in maps if (curve := paper_curve(name))}
    usual = max(found.values(), key=list(found.values()).count, default="none of these maps")
    return ", ".join([usual, *(f"{name}: {figure}" for name, figure in found.items() if figure != usual)])


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.over_paper", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path, help="tables of analysis.tried; runs not finished are left out")
    parser.add_argument(
        "--stopped", action="store_true", help="draw runs that are not finished too, as far as they went"
    )
    parser.add_argument("--out", type=Path, required=True, help="figure, PNG; a PDF is written beside it")
    arguments = parser.parse_args(argv)
    try:
        rows = pd.concat([evaluations(path, stopped=arguments.stopped) for path in arguments.tables])
        png, pdf = style.save(draw(rows), arguments.out.with_suffix(""))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{png} {pdf}\n")
    return 0


def evaluations(path: Path, *, stopped: bool = False) -> pd.DataFrame:
    """The evaluations of the finished runs of MAZero in a table, which may hold those of its rivals too.

    Args: stopped: of the others as well.
    """
    rows = pd.read_csv(path, dtype={"unit_data": str})  # 4.10 is no number
    rows = rows[(rows["kind"] == "eval") & (rows["program"] == "mazero")]
    return rows if stopped else rows[rows["state"] == "finished"]


if __name__ == "__main__":
    raise SystemExit(main())
