"""Our curves over those of the paper: ours in colour, the paper's and its band in grey. Theirs are of StarCraft II.

Two doors, which share panel and page:

    python -m analysis over_paper results/STUDY                    a study: a small panel per map and curve of the paper
    python -m analysis.over_paper TABLE.csv ... --out FIGURE.png   tables of `analysis.tried`: MAZero, one panel a map

Which curve an algorithm of a study is held against stands in the study file (`in_paper`); the x axis of its panels is
the paper's, ours ends where its budget does. Over hours (Fig. 4) it is logarithmic: theirs are of an A100 with dozens
of workers, ours of the machine that ran them. Panels of tables end with our runs and show every seed. Lines are means
over seeds with 95 % bootstrap intervals. The authors smoothed theirs, how is not said; ours are drawn as measured, and
in panels of a study as running means too.
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
from analysis.figure_parts import hours_axis, interval_note
from analysis.paper_curves import HOURS, PaperCurve, paper_curve
from analysis.study import Group, Study

NAME = "over_paper"
PAPER = "0.45"  # grey
BAND_ALPHA = 0.2
MOST_COLUMNS = 4
SMOOTHED = 3  # evaluations of a running mean
LEAST_MARKS = 5  # of a curve that is smoothed


@dataclass(frozen=True)
class Curve:
    """One line of ours."""

    x: NDArray[np.float64]  # (T,) environment steps or hours
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
    end: float  # of the x axis
    method: str = "MAZero"  # of the paper's curve


@dataclass(frozen=True)
class Manner:
    """How a panel is drawn: a few large ones with every seed, or many small ones with running means."""

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
    names = len({place.name for place in places})
    columns = min(MOST_COLUMNS, max(2, names))
    panels: list[Panel | None] = []
    for index, place in enumerate(places):
        if names > columns and index and place.map != places[index - 1].map:  # a map begins in the first column
            panels += [None] * (-len(panels) % columns)
        ours = [_curve_of(frame, study, place, looks[key], key) for key in place.algorithms]
        end = max(place.curve.x[-1], *(curve.x[-1] for curve in ours))
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
        f"{many}; thin: mean as measured, thick: running mean of {SMOOTHED} evaluations"
        f"{''.join(f' · partial: {part}' for part in parts)}",
        "band: ours 95 % bootstrap interval, the paper's is not explained there"
        + "; hours: theirs an A100 with workers" * any(place.curve.unit == HOURS for place in places),
        interval_note("mean", seeds, maps=1),
    )
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


def _curve_of(frame: pd.DataFrame, study: Study, place: Place, look: style.Look, key: str) -> Curve:
    """Win rates over what the paper's curve is over; hours are means over seeds, from the first step on."""
    column = place.group.maps.index(place.map)
    scores = score_array(frame, study, place.group, algorithm=key)[:, column]  # (R, T)
    x = np.asarray(place.group.marks, dtype=np.float64)
    if place.curve.unit == HOURS:
        seconds = score_array(frame, study, place.group, algorithm=key, column="wall_seconds")[:, column]
        x, scores = seconds[:, 1:].mean(axis=0) / 3600, scores[:, 1:]
    return Curve(x, scores, look.colour, look.dashes, look.label)


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean of (T,) values over `SMOOTHED` of them; towards the ends over fewer, as many on either side."""
    reach = [min(SMOOTHED // 2, index, len(values) - 1 - index) for index in range(len(values))]
    return np.array([values[index - side : index + side + 1].mean() for index, side in enumerate(reach)])


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
    steps, budget = scores.columns.to_numpy(np.float64), rows["budget"].max()
    title = name if (rows["state"] == "finished").all() else f"{name}, stopped at {steps[-1]:,.0f} of {budget:,}"
    colour = sns.color_palette("colorblind")[style.FIXED_COLOURS["mazero"]]
    return Panel(title, paper_curve(name), [Curve(steps, scores.to_numpy(), colour, "-", "MAZero, ours")], steps[-1])


def _figures(maps: list[str]) -> str:
    """Where the paper's curves are from: `Fig. 3, 8m: Fig. 5`."""
    found = {name: curve.figure for name in maps if (curve := paper_curve(name))}
    usual = max(found.values(), key=list(found.values()).count, default="none of these maps")
    return ", ".join([usual, *(f"{name}: {figure}" for name, figure in found.items() if figure != usual)])


def _draw(panels: Sequence[Panel | None], manner: Manner, **page: Any) -> tuple[Figure, list[Axes]]:
    """A figure with these panels, gaps for None, and their axes. `page`: as `style.panels` takes it."""
    figure, axes_list = style.panels(len(panels), header=style.TALL_HEADER, **page)
    drawn = []
    for axes, panel in zip(axes_list, panels, strict=True):
        if panel is None:
            axes.remove()
        else:
            _draw_panel(axes, panel, manner)
            drawn.append(axes)
    return figure, drawn


def _draw_panel(axes: Axes, panel: Panel, manner: Manner) -> None:
    """Grey below, colour above."""
    over_hours = panel.paper is not None and panel.paper.unit == HOURS
    if (paper := panel.paper) is not None:
        grey: dict[str, Any] = {"color": PAPER, "label": f"{panel.method}, the paper"}
        shown = paper.x > 0 if over_hours else slice(None)  # 0 has no logarithm
        x, win_rate, low, high = (part[shown] for part in (paper.x, paper.win_rate, paper.low, paper.high))
        axes.fill_between(x, low, high, color=PAPER, alpha=manner.paper_alpha, linewidth=0)
        axes.plot(x, win_rate, linewidth=manner.paper_width, linestyle=style.DASHED, **grey)
    dots: dict[str, Any] = {"marker": "o", "markersize": 3} if manner.seeds else {}
    for ours in panel.ours:
        (mean,) = aggregates.map_curves(ours.scores[:, None, :])
        axes.fill_between(ours.x, mean.low, mean.high, color=ours.colour, alpha=BAND_ALPHA, linewidth=0)
        for seed in ours.scores if manner.seeds else ():
            axes.plot(ours.x, seed, color=ours.colour, linewidth=0.5, alpha=0.4)
        line: dict[str, Any] = {"color": ours.colour, "linestyle": ours.dashes}
        values = mean.value
        if not manner.seeds and len(values) >= LEAST_MARKS:
            axes.plot(ours.x, values, label="_as measured", linewidth=0.5, **line)
            values = smoothed(values)
        axes.plot(ours.x, values, label=ours.label, linewidth=manner.width, **line, **dots)
    axes.set_title(panel.title, **manner.title)
    axes.set_ylim(-0.03, 1.03)
    if over_hours:
        hours_axis(axes)
        return
    axes.set_xlim(0, 1.02 * panel.end)
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
