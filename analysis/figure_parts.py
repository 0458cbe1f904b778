"""What the figures of a group share: lines, bars of intervals, dots of runs, rows of algorithms, legends, captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.aggregates import REPETITIONS
from analysis.coverage import covers
from analysis.statistics import Array, Curve, Estimate
from analysis.study import Group
from analysis.style import Look

EACH = "each evaluation"
BAND = "band: 95 % bootstrap interval"
BAR = "bar: 95 % bootstrap interval"
DRAWS = f"{REPETITIONS:,} draws (rliable)"
# Hollow, so that the runs below it stay in sight, and whole where the win rate is 0 or 1.
DIAMOND: dict[str, Any] = {"markersize": 5, "markerfacecolor": "none", "markeredgewidth": 1.0, "clip_on": False}
LONG_LABEL = 14  # characters: three columns of longer ones do not fit into the width of one panel
BAND_ALPHA = 0.12  # five bands over each other must stay apart
MOST_DOTS = 60
# Last / first hour of an axis, below which each power of ten has more ticks than itself.
TICKS: dict[float, tuple[int, ...]] = {8.0: (1, 2, 5), 60.0: (1, 3)}
NARROW = 2.5  # the largest step between two of 1, 2, 5
ROW = 0.26  # inches of a row of an algorithm


def interval_note(metric: str, seeds: Iterable[int], *, maps: int) -> str:
    """How intervals were drawn, and how often such ones of simulated win rates hold the truth.

    Args:
      metric, maps: as of `coverage.covers`.    seeds: of every group or map of the figure.
    """
    shares = [f"{covers(metric, seeds=count, maps=maps)} with {count} seeds" for count in sorted({*seeds}) if count > 1]
    return f"{DRAWS}; simulated coverage {', '.join(shares)}" if shares else "a single seed has no interval"


def line(axes: Axes, group: Group, look: Look, values: Array, *, x: Array | None = None) -> None:
    """The curve of one algorithm, (T,), with some seven markers. Args: x: (T,) instead of the marks of the group."""
    axes.plot(
        group.marks if x is None else x,
        values,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=1.5,
        marker=look.marker,
        markersize=3,
        markevery=max(1, len(group.marks) // 6),
        label=look.label,
    )


def band(axes: Axes, x: Array | Sequence[float], curve: Curve, look: Look) -> None:
    """Pointwise intervals of a curve, faint and without an outline."""
    axes.fill_between(x, curve.low, curve.high, color=look.colour, alpha=BAND_ALPHA, linewidth=0)


def bar(axes: Axes, row: float, estimate: Estimate, look: Look, *, dots: Array | None = None) -> None:
    """Interval as a thick bar, estimate as a stroke across it, and the runs as dots, spread where they coincide.

    More runs than `MOST_DOTS` would hide what they surround: they are left out.
    """
    axes.plot(
        [estimate.low, estimate.high],
        [row, row],
        color=look.colour,
        linewidth=6,
        alpha=0.35,
        solid_capstyle="butt",
        label="_interval",
    )
    axes.plot(
        [estimate.value], [row], color=look.colour, marker="|", markersize=12, markeredgewidth=2, label=look.label
    )
    if dots is not None and len(dots) <= MOST_DOTS:
        axes.plot(dots, row + spread(dots), ".", color="0.15", markersize=4, markeredgewidth=0, label="_seed", zorder=3)


def spread(values: Array, *, room: float = 0.6) -> Array:
    """Vertical offsets within `room` that keep equal values apart: the k-th of them moves down and up in turn."""
    offsets = np.zeros(len(values))
    for value in np.unique(values):
        (same,) = np.nonzero(values == value)
        offsets[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * min(0.14, room / len(same))
    return offsets


def algorithm_rows(axes: Axes, style: dict[str, Look], keys: Sequence[str]) -> None:
    """A row per algorithm, the first on top."""
    axes.set_yticks(range(len(keys)), [style[key].label for key in keys])
    axes.set_ylim(max(len(keys), 1) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def hours_axis(axes: Axes, *, room: float = 0.0) -> None:
    """Hours on a logarithmic axis, once everything is drawn; a short range gets ticks between powers of ten (`TICKS`).

    Args: room: share of the width left free at the right.
    """
    axes.set(xlabel="Hours", xscale="log")
    low, high = axes.get_xlim()
    high *= (high / low) ** room
    axes.set_xlim(low, high)
    subs = next((subs for most, subs in TICKS.items() if high / low < most), (1,))
    # Within a factor of NARROW there may be no such number: LogLocator would write as many others as it finds.
    axes.xaxis.set_major_locator(MaxNLocator(2) if high / low < NARROW else LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend_columns(labels: list[str], *, wide: bool) -> int:
    """As many as the figure has room for, in rows of about equal length."""
    most = 5 if wide else 3 if max(map(len, labels)) <= LONG_LABEL else 2
    return -(-len(labels) // -(-len(labels) // most))


def legend(figure: Figure, style: dict[str, Look], group: Group, *, columns: int) -> None:
    """Below the panels, in the order of the group."""
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=3,
            linewidth=1.5,
            label=look.label,
        )
        for look in (style[key] for key in group.algorithms)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.6, columnspacing=1.2
    )
