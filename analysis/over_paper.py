"""Our curves over those of the paper: ours in colour, the paper's and its band in grey. Theirs are of StarCraft II.

Two doors, which share panel and page:

    python -m analysis over_paper results/STUDY                    a study: a small panel per map and curve of the paper
    python -m analysis.over_paper TABLE.csv ... --out FIGURE.png   tables of `analysis.tried`: MAZero, one panel a map

Which curve an algorithm of a study is held against stands in the study file (`in_paper`); the x axis of its panels is
the paper's, ours ends where its budget does. Panels of tables end with our runs and show every seed. Lines are means
over seeds with 95 % bootstrap intervals, ours are not smoothed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from analysis import aggregates, style
from analysis.collect import made_by, score_array
from analysis.figure_parts import interval_note
from analysis.paper_curves import PaperCurve, paper_curve
from analysis.study import Group, Study

NAME = "over_paper"
PAPER = "0.45"  # grey
BAND_ALPHA = 0.2
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Curve:
    """One line of ours."""

    steps: NDArray[np.int64]  # (T,) environment steps
    scores: NDArray[np.float64]  # (R, T) win rates, one row a seed
    colour: Any
    dashes: Any
    label: str


@dataclass(frozen=True)
class Panel:
    """One map: the paper's curve, ours over it, and where its x axis ends."""

    title: str
    paper: PaperCurve | None
    ours: Sequence[Curve]
    end: float  # environment steps
    method: str = "MAZero"  # of the paper's curve


@dataclass(frozen=True)
class Manner:
    """How a panel is drawn: a few large ones with every seed, or many small ones."""

    width: float  # points, of our lines
    paper_width: float
    paper_alpha: float  # of the paper's band
    seeds: bool  # a thin line a seed, and a dot an evaluation
    ticks: int  # most intervals of the x axis
    title: Mapping[str, Any] = field(default_factory=dict)  # of its text, as matplotlib takes it


LARGE = Manner(width=1.5, paper_width=1.5, paper_alpha=BAND_ALPHA, seeds=True, ticks=4)
LONG_TITLE = 31  # characters: longer ones run into the next panel's
SMALL = Manner(width=1.2, paper_width=1.0, paper_alpha=0.15, seeds=False, ticks=3, title={"fontsize": 7})


def of_study(frame: pd.DataFrame, study: Study) -> Figure:
    """All panels of a study. `frame`: as `analysis.collect` returns it. Raises: ValueError if the study has none."""
    places = places_of(study)
    if not places:
        raise ValueError(f"study {study.name} names no curve of the paper that is on one of its maps")
    looks = style.looks(study)
    panels = []
    for place in places:
        column, ours = place.group.maps.index(place.map), []
        for key in place.algorithms:
            scores = score_array(frame, study, place.group, algorithm=key)[:, column]  # (R, T)
            look = looks[key]
            ours.append(Curve(np.asarray(place.group.marks), scores, look.colour, look.dashes, look.label))
        end = max(place.curve.steps[-1], place.group.env_steps)
        apart = ", " if len(place.map) + len(place.name) < LONG_TITLE else ",\n"
        panels.append(Panel(f"{place.map}{apart}{place.name}", place.curve, ours, end, place.name))
    groups = list({place.group.key: place.group for place in places}.values())
    seeds = sorted({len(group.seeds) for group in groups})
    many = f"{' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}"
    parts = dict.fromkeys(group.part for group in groups if group.part)
    shown = [key for key in study.algorithms if any(key in place.algorithms for place in places)]
    lines = (
        f"{study.name}: win rate over the paper's curves ({', '.join(dict.fromkeys(p.curve.figure for p in places))})",
        f"ours: backend {', '.join(dict.fromkeys(made_by(frame, group) for group in groups))}",
        f"{many}, not smoothed{''.join(f' · partial: {part}' for part in parts)}",
        "line: mean, band: ours 95 % bootstrap interval, the paper's is not explained there",
        interval_note("mean", seeds, maps=1),
    )
    columns = min(MOST_COLUMNS, max(2, len({place.name for place in places})))
    with style.paper_style():
        legend = [Line2D([], [], color=PAPER, linestyle=style.DASHED, label="the paper, StarCraft II, smoothed")]
        legend += [
            Line2D([], [], color=looks[key].colour, linestyle=looks[key].dashes, label=looks[key].label)
            for key in shown
        ]
        figure, axes_list = _draw(panels, SMALL, height=1.45, legend_rows=-(-len(legend) // 3), most_columns=columns)
        for axes in axes_list:
            axes.label_outer(remove_inner_ticks=False)
            axes.tick_params(labelbottom=True)
        _finish(figure, legend, lines, legend_columns=3)
    return figure


@dataclass(frozen=True)
class Place:
    """One map and one curve of the paper, and the algorithms of a study that belong there."""

    group: Group
    map: str
    curve: PaperCurve
    name: str  # of the curve, as the paper writes it
    algorithms: tuple[str, ...]


def places_of(study: Study) -> list[Place]:
    """In the order of maps and, on each, of algorithms; maps that the paper's figure lacks are left out."""
    found = []
    for group in study.groups.values():
        wanted = dict.fromkeys(study.algorithms[key].in_paper for key in group.algorithms)
        for name in group.maps:
            for place in wanted:
                curve = paper_curve(name, place.curve, figure=place.figure) if place else None
                if place and curve:
                    keys = tuple(key for key in group.algorithms if study.algorithms[key].in_paper == place)
                    found.append(Place(group, name, curve, place.curve, keys))
    return found


def of_tables(rows: pd.DataFrame) -> Figure:
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
    panels = [_panel_of(rows[rows["map"] == name]) for name in maps]
    maker = makers.iloc[0]
    changed = f", {maker['changed']}" if maker["changed"] else ""
    seeds = sorted({len(of_map) for _, of_map in rows.groupby("map")["seed"].unique().items()})
    alone = seeds == [1]
    lines = (
        "MAZero over the paper's curves",
        f"ours: backend {maker['backend']}, unit data {maker['unit_data']}, preset {maker['preset']}{changed}",
        f"{', '.join(map(str, seeds))} seed{'' if alone else 's'}{' by map' if len(seeds) > 1 else ''}, "
        f"{maker['num_episodes']:.0f} games an evaluation{'' if alone else '; thin: seed, band: bootstrap 95 %'}",
        f"the paper's ({_figures(maps)}): StarCraft II, smoothed, its own band",
        interval_note("mean", seeds, maps=1),
    )
    with style.paper_style():
        figure, axes_list = _draw(panels, LARGE, height=1.75 if len(maps) > 1 else 2.2, legend_rows=1)
        axes_list[0].set_ylabel("Win rate")
        for axes in axes_list:
            axes.set_xlabel("Environment steps")
        _finish(figure, axes_list[0].get_legend_handles_labels()[0], lines, legend_columns=2)
    return figure


def _panel_of(rows: pd.DataFrame) -> Panel:
    """The panel of one map's runs. Raises: ValueError if its seeds have different marks."""
    name = rows["map"].iloc[0]
    scores = rows.pivot(index="seed", columns="env_steps", values="win_rate")  # (R, T)
    if scores.isna().any(axis=None):
        raise ValueError(
            f"all seeds of {name} must have the same evaluations, got others: give finished runs of one study"
        )
    steps, budget = scores.columns.to_numpy(), rows["budget"].max()
    title = name if (rows["state"] == "finished").all() else f"{name}, stopped at {steps[-1]:,} of {budget:,}"
    colour = sns.color_palette("colorblind")[style.FIXED_COLOURS["mazero"]]
    return Panel(title, paper_curve(name), [Curve(steps, scores.to_numpy(), colour, "-", "MAZero, ours")], steps[-1])


def _figures(maps: list[str]) -> str:
    """Where the paper's curves are from: `Fig. 3, 8m: Fig. 5`."""
    found = {name: curve.figure for name in maps if (curve := paper_curve(name))}
    usual = max(found.values(), key=list(found.values()).count, default="none of these maps")
    return ", ".join([usual, *(f"{name}: {figure}" for name, figure in found.items() if figure != usual)])


def _draw(panels: Sequence[Panel], manner: Manner, **page: Any) -> tuple[Figure, list[Axes]]:
    """A figure with these panels. `page`: as `style.panels` takes it."""
    figure, axes_list = style.panels(len(panels), header=style.TALL_HEADER, **page)
    for axes, panel in zip(axes_list, panels, strict=True):
        _draw_panel(axes, panel, manner)
    return figure, axes_list


def _draw_panel(axes: Axes, panel: Panel, manner: Manner) -> None:
    """Grey below, colour above."""
    if (paper := panel.paper) is not None:
        grey: dict[str, Any] = {"color": PAPER, "label": f"{panel.method}, the paper"}
        axes.fill_between(paper.steps, paper.low, paper.high, color=PAPER, alpha=manner.paper_alpha, linewidth=0)
        axes.plot(paper.steps, paper.win_rate, linewidth=manner.paper_width, linestyle=style.DASHED, **grey)
    dots: dict[str, Any] = {"marker": "o", "markersize": 3} if manner.seeds else {}
    for ours in panel.ours:
        (mean,) = aggregates.map_curves(ours.scores[:, None, :])
        axes.fill_between(ours.steps, mean.low, mean.high, color=ours.colour, alpha=BAND_ALPHA, linewidth=0)
        for seed in ours.scores if manner.seeds else ():
            axes.plot(ours.steps, seed, color=ours.colour, linewidth=0.5, alpha=0.4)
        line: dict[str, Any] = {"color": ours.colour, "linestyle": ours.dashes, "linewidth": manner.width, **dots}
        axes.plot(ours.steps, mean.value, label=ours.label, **line)
    axes.set_title(panel.title, **manner.title)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, 1.02 * panel.end))
    axes.xaxis.set_major_locator(MaxNLocator(manner.ticks, steps=style.ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.thousands(value)))


def _finish(figure: Figure, legend: Sequence[Any], lines: Sequence[str], *, legend_columns: int) -> None:
    """Legend below and title above the panels."""
    figure.legend(handles=legend, loc="outside lower center", ncols=legend_columns, frameon=False)
    style.header(figure, *lines)
    sns.despine(figure)


def main(argv: list[str] | None = None) -> int:
    """The command about tables. Returns: exit code."""
    about = "MAZero's curves over those of its paper, from tables of runs."
    parser = argparse.ArgumentParser(prog="python -m analysis.over_paper", description=about)
    parser.add_argument("tables", nargs="+", type=Path, help="tables of analysis.tried; runs not finished are left out")
    parser.add_argument(
        "--stopped", action="store_true", help="draw runs that are not finished too, as far as they went"
    )
    parser.add_argument("--out", type=Path, required=True, help="figure, PNG; a PDF is written beside it")
    arguments = parser.parse_args(argv)
    try:
        rows = pd.concat([evaluations(path, stopped=arguments.stopped) for path in arguments.tables])
        png, pdf = style.save(of_tables(rows), arguments.out.with_suffix(""))
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
