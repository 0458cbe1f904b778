"""The figure of `learning.py`: a column per map, a row per algorithm and quantity, ours over the real game's band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from skirmish.fidelity.learning import QUANTITIES, Band, Comparison, Ours, Score
from skirmish.fidelity.style import OURS, write_figure

PAGE, LEAST = 7.2, 3.6  # inches: width of five panels and more, and of one
PANEL, ROW, HEADER, FOOT = (
    1.44,
    1.12,
    0.58,
    0.16,
)  # inches: width and height of a panel, space for title, row of the legend
REAL, RANGE, QUARTILES = "0.25", "0.88", "0.72"


def draw(comparison: Comparison, scores: Sequence[Score], path: Path) -> None:
    """Write the figure, without clock readings inside. Raises: ValueError for another kind of file."""
    write_figure(path, lambda: learning_figure(comparison, scores))


def learning_figure(comparison: Comparison, scores: Sequence[Score]) -> Figure:
    """The figure itself; every panel is labelled `map algorithm quantity`."""
    maps = list(dict.fromkeys(name for name, _ in comparison.ours))
    algorithms = list(dict.fromkeys(algorithm for _, algorithm in comparison.ours))
    quantities = [q for q in QUANTITIES if any(key[2] == q for key in comparison.bands)]
    rows = [(algorithm, quantity) for algorithm in algorithms for quantity in quantities]
    width = min(PAGE, max(LEAST, 0.3 + PANEL * len(maps)))
    handles = _handles(comparison)
    per_row = len(handles) if width > 0.8 * PAGE else 3
    foot = FOOT * (-(-len(handles) // per_row) + 0.6)
    height = ROW * len(rows) + HEADER + foot
    figure = Figure(figsize=(width, height), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.0, foot / height, 1.0, 1.0 - (HEADER + foot) / height), h_pad=0.03, w_pad=0.03)
    grid = figure.subplots(len(rows), len(maps), squeeze=False, sharey="row", sharex="col")
    shares = {(row.map, row.algorithm, row.quantity): row for row in scores}
    for index, (algorithm, quantity) in enumerate(rows):
        labels = [ours.label for (_, key), ours in comparison.ours.items() if key == algorithm]
        grid[index, 0].set_ylabel(f"{labels[0]}\n{QUANTITIES[quantity]}")
        for column, name in enumerate(maps):
            axes, place = grid[index, column], (name, algorithm, quantity)
            axes.set_label(" ".join(place))
            if place in comparison.bands:
                ours = comparison.ours[name, algorithm]
                _panel(axes, ours, comparison.bands[place], quantity)
                _share(axes, shares.get(place))
            else:
                _empty(axes, first=column == 0)
            if index == 0:
                axes.set_title(name, loc="left", fontsize=8, fontweight="bold", pad=11)
        _scale(grid[index], quantity)
    for column in range(len(maps)):
        _label_steps(grid[:, column])
    _headline(figure, comparison)
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=per_row,
        frameon=False,
        handlelength=1.8,
        columnspacing=1.4,
    )
    return figure


def _panel(axes: Axes, ours: Ours, band: Band, quantity: str) -> None:
    """Ours over theirs."""
    marks = ours.marks
    axes.fill_between(marks, band.low, band.high, color=RANGE, linewidth=0, label="_range")
    axes.fill_between(marks, band.lower_quartile, band.upper_quartile, color=QUARTILES, linewidth=0, label="_quartiles")
    axes.plot(marks, band.middle, color=REAL, linewidth=0.9, linestyle=(0, (3, 1.5)), label="real")
    for curve in ours.curves[quantity]:
        axes.plot(marks, curve, color=OURS, linewidth=0.5, alpha=0.55, label="_seed")
    axes.plot(marks, np.median(ours.curves[quantity], axis=0), color=OURS, linewidth=1.4, label="ours")
    budget = float(marks[-1])
    ticks = [tick for tick in MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]).tick_values(0, budget) if 0 <= tick <= budget]
    axes.set_xticks(ticks, [f"{tick / 1000:g}k" if tick else "0" for tick in ticks])
    axes.set_xlim(0, budget)


def _scale(row: np.ndarray, quantity: str) -> None:
    """Limits for all panels of a row, once they hold their curves, and numbers at the first of them."""
    first = next(axes for axes in row if axes.lines)
    if quantity == "win_rate":
        first.set_ylim(-0.04, 1.04)
        first.set_yticks([0, 0.5, 1])
    else:
        first.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        first.set_ylim(bottom=min(0.0, first.get_ylim()[0]))
    first.tick_params(labelleft=True)


def _empty(axes: Axes, *, first: bool) -> None:
    """A place without a run or without a band; the first of a row keeps its label."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    axes.patch.set_visible(False)
    if not first:
        axes.yaxis.label.set_visible(False)


def _label_steps(column: np.ndarray) -> None:
    """Name the axis of steps under the lowest panel of a column that shows anything."""
    drawn = [axes for axes in column if axes.lines]
    drawn[-1].set_xlabel("Environment steps", labelpad=2)
    drawn[-1].tick_params(labelbottom=True)


def _share(axes: Axes, score: Score | None) -> None:
    """Above a panel: the share of our evaluations inside the band; and of real ones, inside that of the other runs."""
    if score is None:
        return
    text = f"{score.inside:.0%} inside"
    text += "" if math.isnan(score.real_inside) else f" (real {score.real_inside:.0%})"
    place: dict[str, Any] = {"xy": (1, 1), "xycoords": "axes fraction", "xytext": (0, 2), "textcoords": "offset points"}
    axes.annotate(text, **place, ha="right", va="bottom", fontsize=5.8, color="0.35")


def _headline(figure: Figure, comparison: Comparison) -> None:
    """Title, and what made the curves."""
    width, height = figure.get_size_inches()
    left = 0.08 / width
    seeds = sorted({len(ours.curves["win_rate"]) for ours in comparison.ours.values()})
    count = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    title = "Learning on the simulator and in the real game"
    figure.text(left, 1 - 0.07 / height, title, fontsize=9, fontweight="bold", va="top")
    small: dict[str, Any] = {"fontsize": 6.5, "color": "0.35", "va": "top"}
    figure.text(left, 1 - 0.27 / height, f"ours: {comparison.made_by} · seeds: {count}", **small)
    figure.text(left, 1 - 0.39 / height, f"real: {comparison.source}", **small)


def _handles(comparison: Comparison) -> list[Any]:
    """What the legend shows."""
    raw = any(band.runs is not None for band in comparison.bands.values())
    handles: list[Any] = [
        Line2D([], [], color=OURS, linewidth=1.4, label="ours, median"),
        Line2D([], [], color=OURS, linewidth=0.5, alpha=0.7, label="ours, one seed"),
        Line2D([], [], color=REAL, linewidth=0.9, linestyle=(0, (3, 1.5)), label="real, median" if raw else "real"),
    ]
    handles += [Patch(color=QUARTILES, label="real, quartiles")] if raw else []
    return [*handles, Patch(color=RANGE, label="real, all runs" if raw else "real, published band")]
