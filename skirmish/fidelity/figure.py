"""The figure of a measurement: what the simulator does, drawn over what real games did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from skirmish.fidelity import targets
from skirmish.fidelity.measure import Record
from skirmish.fidelity.report import LEAST_ALTERNATING
from skirmish.fidelity.style import OURS, write_figure

WIDTH = 7.2  # inches
HEADER = 0.42  # inches: title and legend
REAL = "0.35"
COLUMNS = 5  # panels of lengths side by side
SHOWN, SHOWN_REAL = 0.98, 0.95  # part of the simulated and of the real lengths that the axis shows
SCRIPTS = {
    "alternating fire, 2 loops": "alternating fire",
    "kiting, 0.1 random": "kiting, 10 % random",
    "step out and return": "step out, return",
    "faultless kiting": "faultless kiting",
}
Painter: TypeAlias = Callable[[SubFigure, list[Record], float], None]
Section: TypeAlias = tuple[float, Painter, list[Record]]  # height in inches, painter, records


def draw(records: Sequence[Record], path: Path, label: str) -> None:
    """Write the figure, without clock readings inside; label: unit data and rules, as text.

    Raises: ValueError for another kind of file.
    """
    write_figure(path, lambda: fidelity_figure(records, label))


def fidelity_figure(records: Sequence[Record], label: str) -> Figure:
    """The figure itself: a section per kind of measurement that the records hold."""
    sections = _sections(records)
    heights = [HEADER, *(section[0] for section in sections)]
    figure = Figure(figsize=(WIDTH, sum(heights)))
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, hspace=0.0, squeeze=False)[:, 0]
    header = parts[0]
    header.text(0.012, 0.85, "The simulator beside real StarCraft II games", fontsize=9, fontweight="bold", va="top")
    header.text(0.012, 0.42, label, fontsize=6.5, color="0.35", va="top")
    handles = [
        Line2D([], [], color=REAL, marker="o", markersize=2.5, linewidth=0.8, label="real games"),
        Line2D([], [], color=OURS, marker="o", markersize=2.5, linewidth=1.2, label="simulator"),
    ]
    header.legend(handles=handles, loc="upper right", ncols=2, frameon=False, borderaxespad=0.2)
    for part, (height, paint, found) in zip(parts[1:], sections, strict=True):
        paint(part, found, height)
    return figure


def _sections(records: Sequence[Record]) -> list[Section]:
    """What is drawn, from top to bottom."""
    sections: list[Section] = []

    def add(height: float, paint: Painter, quantities: Sequence[str]) -> None:
        found = [r for r in records if r.quantity in quantities]
        if found:
            sections.append((height, paint, found))

    lengths = sum(r.quantity == "random length" for r in records)
    add(0.25 + 1.05 * -(-lengths // COLUMNS), _lengths, ["random length"])
    add(1.75, _untrained, ["untrained return"])
    add(1.5, partial(_rates, title="SMAC's heuristic"), ["heuristic"])
    add(1.5, partial(_rates, title="attack the closest enemy (the study's maps, 10 real battles)"), ["attack closest"])
    add(1.75, _scripts, [*SCRIPTS])
    return sections


def _axes(part: SubFigure, height: float, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes with margins in inches."""
    box = left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height
    return part.add_axes(box)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=8, fontweight="bold", pad=5)


def _lengths(part: SubFigure, records: list[Record], height: float) -> None:
    """A panel per map: shares of episodes that have ended after so many steps."""
    rows = -(-len(records) // COLUMNS)
    grid = part.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    margins = {"left": 0.42 / WIDTH, "right": 1 - 0.08 / WIDTH, "bottom": 0.33 / height, "top": 1 - 0.3 / height}
    part.subplots_adjust(**margins, hspace=0.62, wspace=0.12)
    part.text(
        0.012,
        1 - 0.02 / height,
        "Length of a battle of random play, first of its game",
        fontsize=8,
        fontweight="bold",
        va="top",
    )
    for axes, r in zip(grid.flat, records, strict=False):
        assert r.sample is not None
        real = targets.random_lengths(r.map)
        shown = max(float(np.quantile(r.sample, SHOWN)), float(np.quantile(real, SHOWN_REAL)))
        values, shares = _cumulative(r.sample)
        axes.step(values, shares, where="post", color=OURS, linewidth=1.2)
        at, share = _cumulative(real)
        axes.step(at, share, where="post", color=REAL, linewidth=0.7)
        axes.plot(at[1:-1], share[1:-1], "o", color=REAL, markersize=1.8)
        low = min(float(np.min(r.sample)), float(real.min()))
        axes.set_xlim(low - 0.04 * (shown - low), shown + 0.02 * (shown - low))
        axes.set_ylim(0, 1.04)
        axes.set_yticks([0, 0.5, 1])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_title(r.map, loc="left", fontsize=7, pad=2)
        axes.set_title(_chance(r), loc="right", fontsize=6, color="0.35", pad=2)
    for axes in grid.flat[len(records) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("Steps", labelpad=1.5)
    for axes in grid[:, 0]:
        axes.set_ylabel("Share ended")


def _chance(r: Record) -> str:
    """p of the record's test, in as few characters as possible."""
    return f"p = {10**r.score:.1g}" if r.score > -3.0 else f"p = 10$^{{{r.score:.0f}}}$"


def _cumulative(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the empirical distribution function, with a point before the first and after the last value."""
    values, counts = np.unique(sample, return_counts=True)
    shares = np.cumsum(counts) / counts.sum()
    far = values[-1] + 10 * (values[-1] - values[0] + 1)
    return np.concatenate([[values[0]], values, [far]]), np.concatenate([[0.0], shares, [1.0]])


def _untrained(part: SubFigure, records: list[Record], height: float) -> None:
    """All networks of a map as points, the median as a line."""
    axes = _axes(part, height, 0.42, 0.3, 0.08, 0.25)
    _title(axes, "Return of untrained networks, one point each, greedy")
    rng = np.random.default_rng(0)  # places points side by side; no number hangs on it
    for column, r in enumerate(records):
        assert r.sample is not None
        for sample, colour, shift in ((targets.untrained_returns(r.map), REAL, -0.2), (r.sample, OURS, 0.2)):
            places = column + shift + rng.uniform(-0.11, 0.11, len(sample))
            axes.plot(places, sample, "o", color=colour, markersize=1.8, alpha=0.6, markeredgewidth=0)
            middle = float(np.median(sample))
            axes.plot([column + shift - 0.17, column + shift + 0.17], [middle, middle], color=colour, linewidth=1.4)
        top = max(float(np.max(r.sample)), float(targets.untrained_returns(r.map).max()))
        axes.annotate(
            _chance(r), (column, top), (0, 3), textcoords="offset points", ha="center", fontsize=6,
            color="0.35",
        )  # fmt: skip
    _name_columns(axes, [r.map for r in records])
    axes.set_ylabel("Return")
    axes.set_ylim(-0.6, max(20.0, axes.get_ylim()[1]))


def _rates(part: SubFigure, records: list[Record], height: float, *, title: str) -> None:
    """Real and simulated win rates as pairs of bars, the highest real rate first."""
    records = sorted(records, key=lambda r: (-r.real, r.map.lower()))
    axes = _axes(part, height, 0.42, 0.36, 0.08, 0.25)
    squared = -sum(r.score for r in records)
    _title(axes, f"{title[0].upper()}{title[1:]}")
    axes.set_title(f"squared error {squared:.2f}", loc="right", fontsize=6.5, color="0.35", pad=5)
    places = np.arange(len(records))
    axes.bar(places - 0.18, [r.real for r in records], 0.32, color=REAL)
    axes.bar(places + 0.18, [r.simulated for r in records], 0.32, color=OURS)
    # A bar of height 0 is no bar: a stroke at its foot says that the value is known.
    axes.plot(places - 0.18, np.zeros(len(places)), "_", color=REAL, markersize=9, markeredgewidth=1.4, clip_on=False)
    axes.plot(places + 0.18, np.zeros(len(places)), "_", color=OURS, markersize=9, markeredgewidth=1.4, clip_on=False)
    _name_columns(axes, [r.map.replace("_vs_", "\nvs ").replace("many_", "many_\n") for r in records])
    axes.set_ylabel("Win rate")
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.5, 1])


def _scripts(part: SubFigure, records: list[Record], height: float) -> None:
    """Win rates of the scripts that must win, with the least rate as a mark."""
    axes = _axes(part, height, 0.42, 0.42, 0.08, 0.25)
    _title(axes, "Scripts that must win at least so often")
    for place, r in enumerate(records):
        axes.bar(place, r.simulated, 0.45, color=OURS)
        axes.plot([place - 0.36, place + 0.36], [_least(r)] * 2, color=REAL, linewidth=1.4)
    _name_columns(axes, [f"{SCRIPTS[r.quantity]}\n{r.map}" for r in records])
    axes.set_ylabel("Win rate")
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.5, 1])


def _least(r: Record) -> float:
    return LEAST_ALTERNATING if r.quantity.startswith("alternating") else r.real


def _name_columns(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=6.5)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.55, len(names) - 0.45)
