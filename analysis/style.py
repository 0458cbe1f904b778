"""How figures look: one colour and line style per algorithm, sizes that stay legible at column width, files that
repeat exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from analysis.study import Group, Study

COLUMN = 3.4  # inches, one column of a two-column page
PAGE = 7.0  # inches, both columns
WIDTHS = {1: COLUMN, 2: 0.75 * PAGE}  # columns of panels -> inches; more than two take the page
HEADER = 0.68  # inches above the panels: a title and three small lines
TALL_HEADER = 0.81  # the same with four
HEADER_LINES = (0.06, 0.25, 0.38, 0.51, 0.64)  # inches from the upper edge to each of them
HEADER_INDENT = 0.07  # inches from the left edge
LEGEND_ROW = 0.19  # inches
DPI = 200

# Index into seaborn's colour-blind palette. Algorithms of the suite keep their colour in every study and figure.
FIXED_COLOURS = {
    "mazero": 0,
    "no_os_lambda": 1,
    "no_awpo": 2,
    "neither": 4,
    # Structures of the network, which no study shows beside the ablations.
    "no_communication": 1,
    "no_sharing": 2,
    "flat": 4,
    "by_type": 5,
    "qmix": 7,
    "qmix_matrix": 7,  # in groups of matrix games, where the others do not run
    "vdn": 9,
    "qmix_low_data": 5,
    "mappo": 3,
    "qplex": 6,
    "iql": 8,
}
DARKER = 0.55
MARKERS = "osD^vPX*<>"
DASHED = (0, (4, 1.5))
DASH_DOTTED = (0, (5, 1.5, 1, 1.5))
ROUND_STEPS = [1, 2, 2.5, 5, 10]  # what the distance between two ticks may begin with

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a dollar in a label is a dollar
}
SVG: dict[Any, Any] = {
    "svg.fonttype": "path",  # a page shows the same figure wherever it is opened
    "svg.hashsalt": "mazero-bench",  # names inside a file that do not change from one drawing to the next
}
TITLE: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "va": "top"}
LEAST = 4.0  # points, of a line of the header that would be too wide otherwise
SMALL: dict[str, Any] = {"fontsize": 7, "color": "0.35", "va": "top"}


@dataclass(frozen=True)
class Look:
    """How one algorithm is drawn, everywhere."""

    label: str
    colour: tuple[float, float, float]
    dashes: Any  # matplotlib line style
    marker: str


def looks(study: Study) -> dict[str, Look]:
    """Algorithm key -> look. Solid: the reference; dashed: variants of its program; dash-dotted: other programs."""
    palette = sns.color_palette("colorblind")
    free = [index for index in range(len(palette)) if index not in {FIXED_COLOURS.get(key) for key in study.algorithms}]
    program, darker = study.algorithms[study.reference].program, itertools.count()
    result = {}
    for position, (key, algorithm) in enumerate(study.algorithms.items()):
        again = key not in FIXED_COLOURS and not free  # the palette is used up: darker shades of it, in its order
        index = FIXED_COLOURS[key] if key in FIXED_COLOURS else next(darker) if again else free.pop(0)
        dashes: Any = "-"
        if key != study.reference:
            dashes = DASHED if algorithm.program == program else DASH_DOTTED
        red, green, blue = (DARKER**again * part for part in palette[index % len(palette)])
        result[key] = Look(algorithm.label, (red, green, blue), dashes, MARKERS[position % len(MARKERS)])
    return result


@contextmanager
def paper_style() -> Iterator[None]:
    """Paper-style settings inside the block only."""
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **RC}
    with matplotlib.rc_context(settings):
        yield


def panels(
    count: int,
    *,
    height: float,
    legend_rows: int = 0,
    most_columns: int = 4,
    share_y: bool = True,
    header: float = HEADER,
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` small multiples, one column wide for one panel and up to a page wide for more.

    Args:
      height: inches of one panel with its title and axis labels.
      legend_rows: rows that a legend below the panels will take.
      header: inches above the panels, `HEADER` or `TALL_HEADER`.
    """
    columns = min(count, most_columns)
    rows = -(-count // columns)
    total = height * rows + LEGEND_ROW * legend_rows + header
    figure = Figure(figsize=(WIDTHS.get(columns, PAGE), total), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - header / total))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def headline(
    figure: Figure, title: str, group: Group, *, made_by: str, score: str = "evaluations", notes: Sequence[str] = ()
) -> None:
    """Title, and below it what every figure must say: what made it, seeds, which score, what bands and bars mean.

    Args:
      made_by: as of `analysis.collect.made_by`.    score: which evaluations the numbers are of.
      notes: up to two lines.
    """
    seeds = f"{len(group.seeds)} seed" + ("s" if len(group.seeds) > 1 else "")
    part = f" · partial: {group.part}" if group.part else ""
    header(figure, title, f"backend {made_by}{part}", f"{seeds} · {score} of {group.eval_episodes} episodes", *notes)


def header(figure: Figure, title: str, *lines: str) -> None:
    """Title and up to four small lines below it, in the room that `panels` leaves (three, unless it is told).

    Where the title, or one of the lines, is wider than the figure, it (all lines) is written smaller, so that it fits.
    """
    assert len(lines) < len(HEADER_LINES), f"there is room for {len(HEADER_LINES) - 1} lines, got {lines}"
    width, height = figure.get_size_inches()
    room = (width - 2 * HEADER_INDENT) * figure.dpi
    looks = (TITLE, *[SMALL] * len(lines))
    written = [
        figure.text(HEADER_INDENT / width, 1.0 - down / height, text, **look)
        for text, down, look in zip((title, *lines), HEADER_LINES, looks, strict=False)
    ]
    for texts, look in ((written[:1], TITLE), (written[1:], SMALL)):
        size = float(look["fontsize"])
        while size > LEAST and any(text.get_window_extent().width > room for text in texts):
            size -= 0.25  # step by step: widths do not follow the size exactly
            for text in texts:
                text.set_fontsize(size)


def steps_axis(axes: Axes, group: Group, *, ticks: int = 4, room: float = 0.02) -> None:
    """Environment steps from 0 to the budget, in thousands where they are.

    Args:
      ticks: most intervals between ticks.    room: share of the budget left free beyond it.
    """
    chosen = MaxNLocator(ticks, steps=ROUND_STEPS).tick_values(0, group.env_steps)
    chosen = [tick for tick in chosen if tick <= group.env_steps]
    axes.set_xticks(chosen, [thousands(tick) for tick in chosen])
    axes.set_xlim(0, (1 + room) * group.env_steps)


def thousands(steps: float) -> str:
    """2000000 -> '2M', 20000 -> '20k', 500 -> '500', 0 -> '0'."""
    if abs(steps) >= 1e6:
        return f"{steps / 1e6:g}M"
    return f"{steps / 1000:g}k" if abs(steps) >= 1000 else f"{steps:g}"


# Suffix -> what `savefig` is told, so that no clock reading stands in the file.
FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"metadata": {"Software": None}, "dpi": DPI},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".svg": {"metadata": {"Date": None}},
}
PRINT, ALL = (".png", ".pdf"), tuple(FORMATS)


def save(figure: Figure, stem: Path, *, suffixes: Sequence[str] = PRINT) -> tuple[Path, ...]:
    """Write STEM.png (200 dpi), STEM.pdf or, for pages that hold it inside, STEM.svg: same data, same files."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = tuple(stem.with_suffix(suffix) for suffix in suffixes)
    with matplotlib.rc_context(SVG):
        for path in written:
            figure.savefig(path, **FORMATS[path.suffix])
    return written
