"""A study over the curves of the paper that it reproduces: a small panel per map and curve, ours in colour over grey.

Which curve an algorithm is held against stands in the study file (`in_paper`). The x axis is the paper's, ours ends
where its budget does.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis import statistics, style
from analysis.collect import made_by, score_array
from analysis.paper_curves import PaperCurve, paper_curve
from analysis.study import Group, Study

NAME = "over_paper"
PAPER = "0.45"  # grey
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Panel:
    """One map and one curve of the paper, and the algorithms of ours that belong there."""

    group: Group
    map: str
    curve: PaperCurve
    name: str  # of the curve, as the paper writes it
    algorithms: tuple[str, ...]


def panels_of(study: Study) -> list[Panel]:
    """In the order of maps and, on each, of algorithms; maps that the paper's figure lacks are left out."""
    found = []
    for group in study.groups.values():
        wanted = dict.fromkeys(study.algorithms[key].in_paper for key in group.algorithms)
        for name in group.maps:
            for place in wanted:
                curve = paper_curve(name, place.curve, figure=place.figure) if place else None
                if place and curve:
                    keys = tuple(key for key in group.algorithms if study.algorithms[key].in_paper == place)
                    found.append(Panel(group, name, curve, place.curve, keys))
    return found


def draw(frame: pd.DataFrame, study: Study) -> Figure:
    """All panels. `frame`: as `analysis.collect` returns it. Raises: ValueError if the study has no panel."""
    chosen = panels_of(study)
    if not chosen:
        raise ValueError(f"study {study.name} names no curve of the paper that is on one of its maps")
    curves = len({panel.name for panel in chosen})
    keys = [key for key in study.algorithms if any(key in panel.algorithms for panel in chosen)]
    looks = style.looks(study)
    with style.paper_style():
        rows = -(-(len(keys) + 1) // 3)
        figure, axes_list = style.panels(
            len(chosen), height=1.45, legend_rows=rows, most_columns=min(MOST_COLUMNS, max(2, curves))
        )
        for axes, panel in zip(axes_list, chosen, strict=True):
            _panel(axes, panel, frame, study, looks)
        for axes in axes_list:
            axes.label_outer(remove_inner_ticks=False)
            axes.tick_params(labelbottom=True)
        handles = [Line2D([], [], color=PAPER, linestyle=style.DASHED, label="the paper, StarCraft II, smoothed")]
        handles += [
            Line2D([], [], color=looks[k].colour, linestyle=looks[k].dashes, label=looks[k].label) for k in keys
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        figures = ", ".join(dict.fromkeys(panel.curve.figure for panel in chosen))
        groups = {panel.group.key: panel.group for panel in chosen}.values()
        seeds = sorted({len(group.seeds) for group in groups})
        style.header(
            figure,
            f"{study.name}: win rate over the paper's curves ({figures})",
            f"ours: backend {', '.join(dict.fromkeys(made_by(frame, group) for group in groups))}",
            f"{' or '.join(map(str, seeds))} seeds, not smoothed",
            "line: mean, band: ours 95 % bootstrap interval, the paper's is not explained there",
        )
        sns.despine(figure)
    return figure


def _panel(axes: Axes, panel: Panel, frame: pd.DataFrame, study: Study, looks: dict[str, style.Look]) -> None:
    paper, group = panel.curve, panel.group
    axes.fill_between(paper.steps, paper.low, paper.high, color=PAPER, alpha=0.15, linewidth=0)
    axes.plot(paper.steps, paper.win_rate, color=PAPER, linewidth=1.0, linestyle=style.DASHED)
    column = group.maps.index(panel.map)
    for key in panel.algorithms:
        scores = score_array(frame, study, group, algorithm=key)[:, column : column + 1]
        curve, look = statistics.interval_curve(scores, statistics.mean), looks[key]
        axes.fill_between(group.marks, curve.low, curve.high, color=look.colour, alpha=0.2, linewidth=0)
        axes.plot(group.marks, curve.value, color=look.colour, linewidth=1.2, linestyle=look.dashes)
    axes.set_title(f"{panel.map}, {panel.name}", fontsize=7)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, 1.02 * max(paper.steps[-1], group.env_steps)))
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=style.ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.thousands(value)))
