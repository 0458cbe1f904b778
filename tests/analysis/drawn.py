"""What readers of a figure see, as data: lines, bands, dots, limits, captions; and what they should, by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import coverage, figures
from analysis.study import Study
from tests.analysis.measured import (
    COLOURS,
    LABELS,
    absolute,
)

MARKERS = {"mazero": "o", "no_awpo": "s", "qmix": "D"}
MADE_BY = {"smac": "backend skirmish, unit data 4.10", "matrix": "backend matrix"}
EPISODES = {"smac": 32, "matrix": 8}
TITLES = {"smac": "SMAC", "matrix": "Matrix games"}
MAPS = {"smac": ["3m"], "matrix": ["matrix_1", "matrix_2"]}
DOT, GREY, LIGHT = to_hex("0.15"), to_hex("0.35"), to_hex("0.6")
Point = tuple[float, float]


def draw(data: tuple[pd.DataFrame, Study], name: str, group: str) -> Figure:
    return figures.DRAW[name](*data, data[1].groups[group])


def number(value: Any) -> float:
    return round(float(value), 9) + 0.0  # no -0.0


def points(line: Line2D) -> list[Point]:
    x, y = np.broadcast_arrays(line.get_xdata(), line.get_ydata())
    return [(number(a), number(b)) for a, b in zip(x, y, strict=True)]


def drawn_line(line: Line2D) -> tuple[str, str, str, str, list[Point]]:
    label = str(line.get_label())
    name = "" if label.startswith("_child") else label  # matplotlib's name for what has none
    return name, to_hex(line.get_color()), str(line.get_linestyle()), str(line.get_marker()), points(line)


def band(collection: PolyCollection) -> tuple[str, dict[float, tuple[float, float]]]:
    """Colour, and lower and upper edge at every x."""
    (path,) = collection.get_paths()
    edges: dict[float, list[float]] = {}
    for x, y in np.asarray(path.vertices):
        edges.setdefault(number(x), []).append(number(y))
    return to_hex(collection.get_facecolor()[0]), {x: (min(y), max(y)) for x, y in edges.items()}


def bar(patch: Rectangle, label: str) -> tuple[str, str, Point, float]:
    """Label, colour, (length, middle) and height of a bar from zero."""
    assert patch.get_x() == 0 and not patch.get_hatch()
    middle = number(patch.get_y() + patch.get_height() / 2)
    return label, to_hex(patch.get_facecolor()), (number(patch.get_width()), middle), number(patch.get_height())


def described(axes: Axes) -> dict[str, Any]:
    """Everything that a reader sees in one panel, but for sizes and shades."""
    bands = [item for item in axes.collections if isinstance(item, PolyCollection)]
    labels = [str(container.get_label()) for container in axes.containers]
    assert len(bands) == len(axes.collections) and len(labels) == len(axes.patches)
    for tick in axes.yaxis.get_major_ticks():
        assert tick.tick1line.get_markersize() == 0 or axes.get_ylim()[0] < 0  # rows have names and no ticks
    return {
        "title": axes.get_title(),
        "names": (axes.get_xlabel(), axes.get_ylabel()),
        "limits": (tuple(map(number, axes.get_xlim())), tuple(map(number, axes.get_ylim()))),
        "ticks": dict(zip(map(number, axes.get_xticks()), (item.get_text() for item in axes.get_xticklabels()))),
        "grid": (axes.xaxis.get_gridlines()[0].get_visible(), axes.yaxis.get_gridlines()[0].get_visible()),
        "frame": {side for side, spine in axes.spines.items() if spine.get_visible()},
        "lines": [drawn_line(line) for line in axes.lines],
        "bands": [band(item) for item in bands],
        "bars": [bar(patch, label) for patch, label in zip(axes.patches, labels, strict=True)],
        "texts": [(text.get_text(), number(text.get_position()[1]), text.get_va()) for text in axes.texts],
    }


def rows(figure: Figure) -> dict[float, str]:
    """Names of the rows, which stand at the first panel and hold for all."""
    first, *others = figure.axes
    assert all(first.get_shared_y_axes().joined(first, axes) and not axes.get_yticklabels() for axes in others)
    return {number(y): text.get_text() for y, text in zip(first.get_yticks(), first.get_yticklabels(), strict=True)}


def again(row: int, key: str, final: float) -> tuple[str, str, str, str, list[Point]]:
    """The diamond of the absolute win rate."""
    return "_absolute", COLOURS[key], "None", "D", [(number(absolute(final)), number(row))]


def panel(**parts: Any) -> dict[str, Any]:
    """A description, of which most panels share some parts."""
    known = {"frame": {"left", "bottom"}, "lines": [], "bands": [], "bars": [], "texts": []}
    return {**known, **parts}


def captions(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def caption(group: str, title: str, *notes: str, score: str = "each evaluation") -> list[str]:
    return [f"{TITLES[group]}: {title}", MADE_BY[group], f"2 seeds · {score} of {EPISODES[group]} episodes", *notes]


def covered(metric: str = "mean", maps: int = 1) -> str:
    """How often intervals of two seeds hold the truth: what the committed simulation found."""
    return f"2,000 draws (rliable); simulated coverage {coverage.covers(metric, seeds=2, maps=maps)} with 2 seeds"


def legend(figure: Figure) -> list[tuple[str, str, str, str]]:
    (box,) = figure.legends
    assert not box.get_frame_on()
    names = [text.get_text() for text in box.get_texts()]
    handles = [line for line in box.legend_handles if isinstance(line, Line2D)]
    return [
        (name, to_hex(line.get_color()), str(line.get_linestyle()), str(line.get_marker()))
        for name, line in zip(names, handles, strict=True)
    ]


LEGEND = [(LABELS[key], COLOURS[key], "-" if key == "mazero" else "--", MARKERS[key]) for key in LABELS]


def curve_of(key: str, marks: Sequence[float], values: Sequence[float]) -> tuple[str, str, str, str, list[Point]]:
    """The line of an algorithm: the reference is solid."""
    dashes = "-" if key == "mazero" else "--"
    return LABELS[key], COLOURS[key], dashes, MARKERS[key], [(float(x), y) for x, y in zip(marks, values, strict=True)]


def ticks(group: str) -> dict[float, str]:
    """Every 100 steps up to the budgets of 400 and of 200; 50 are finer than four ticks of 200 but not than five."""
    return {"smac": {100.0 * k: str(100 * k) for k in range(5)}, "matrix": {50.0 * k: str(50 * k) for k in range(5)}}[
        group
    ]


# Middle two of the four runs of two maps. Of a map whose runs differ, a quarter of the resamplings holds one run twice.
IQM = {
    "mazero": ([0, 0, 1], [(0, 0), (0, 0.5), (0.5, 1)]),
    "no_awpo": ([0, 1, 0], [(0, 0.5), (0.5, 1), (0, 0.5)]),
    "qmix": ([0, 0, 0], [(0, 0), (0, 0.5), (0, 0.5)]),
}


def apart(row: float, values: Sequence[float], *, room: float = 0.6) -> list[Point]:
    """Dots of a row, equal ones moved apart."""
    count, seen, dots = Counter(values), Counter[float](), []
    for value in values:
        step = min(0.14, room / count[value])
        dots.append((number(value), number(row + step * (seen[value] - (count[value] - 1) / 2))))
        seen[value] += 1
    return dots


def estimate(row: int, key: str, low: float, value: float, high: float) -> list[tuple[str, str, str, str, list[Point]]]:
    """Interval and estimate of one row."""
    return [
        ("_interval", COLOURS[key], "-", "None", [(low, row), (high, row)]),
        (LABELS[key], COLOURS[key], "-", "|", [(value, row)]),
    ]


def dotted(x: float, colour: str) -> tuple[str, str, str, str, list[Point]]:
    """A line from the lower to the upper end of the panel."""
    return ("", colour, ":", "None", [(x, 0), (x, 1)])
