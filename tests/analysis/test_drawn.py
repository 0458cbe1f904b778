"""What is on the axes of every figure, whole: lines, bands, bars, dots, texts, order, limits and captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import figures, statistics, style
from analysis.study import FIGURES, Group, Study
from tests.analysis.measured import (
    COLOURS,
    LABELS,
    MARKS,
    WIN_RATES,
    absolute,
    areas_of,
    exact_interval,
    measured,
    seeds_of,
    table,
)
from tests.analysis.synthetic import make_study, study_document

MARKERS = {"mazero": "o", "no_awpo": "s", "qmix": "D"}
MADE_BY = {"smac": "backend skirmish, unit data 4.10", "matrix": "backend matrix"}
EPISODES = {"smac": 32, "matrix": 8}
TITLES = {"smac": "SMAC", "matrix": "Matrix games"}
MAPS = {"smac": ["3m"], "matrix": ["matrix_1", "matrix_2"]}
DOT, GREY, LIGHT = to_hex("0.15"), to_hex("0.35"), to_hex("0.6")
Point = tuple[float, float]


@pytest.fixture(autouse=True)
def paper() -> Iterator[None]:
    with style.paper_style():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    return measured(tmp_path_factory.mktemp("drawn"))


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


def bar(patch: Rectangle, label: str) -> tuple[str, str, str, bool, Point]:
    """Label, colours of area and of hatching, whether it is hatched, and (length, middle) of a bar from zero."""
    assert patch.get_x() == 0 and 0.3 < patch.get_height() < 1
    middle = number(patch.get_y() + patch.get_height() / 2)
    area = "none" if patch.get_facecolor()[3] == 0 else to_hex(patch.get_facecolor())
    hatching = to_hex(patch.get_edgecolor()) if patch.get_hatch() else "none"
    return label, area, hatching, bool(patch.get_hatch()), (number(patch.get_width()), middle)


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


def caption(group: str, title: str, note: str, *, score: str = "each evaluation") -> list[str]:
    return [f"{TITLES[group]}: {title}", MADE_BY[group], f"2 seeds · {score} of {EPISODES[group]} episodes", note]


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


@pytest.mark.parametrize("group", ["smac", "matrix"])
@pytest.mark.parametrize("name", ["win_rate", "return"])
def test_curves(data: tuple[pd.DataFrame, Study], name: str, group: str) -> None:
    """Two seeds: the line is their mean and the band their range. A return is 10 x the win rate - seed."""
    figure, marks = draw(data, name, group), MARKS[group]
    wanted = []
    for title in MAPS[group]:
        lines, bands = [], []
        for key in LABELS:
            pair = [list(map(float, curve)) for curve in WIN_RATES[title, key]]
            if name == "return":
                pair = [[10 * value - seed for value in curve] for seed, curve in zip((5, 2), pair, strict=True)]
            lines += [("_seed", COLOURS[key], "-", "None", list(zip(map(float, marks), curve))) for curve in pair]
            lines.append(curve_of(key, marks, [(a + b) / 2 for a, b in zip(*pair, strict=True)]))
            bands.append((COLOURS[key], {m: (min(a, b), max(a, b)) for m, a, b in zip(marks, *pair, strict=True)}))
        wanted.append(
            panel(
                title=title,
                names=("Environment steps", {"win_rate": "Win rate", "return": "Episode return"}[name]),
                ticks=ticks(group),
                grid=(True, True),
                lines=lines,
                bands=bands,
            )
        )
    for other in wanted[1:]:
        other["names"] = ("Environment steps", "")  # said once
    found = [described(axes) for axes in figure.axes]
    limits = [item.pop("limits") for item in found]
    assert found == wanted
    assert all(x == (0, number(1.02 * marks[-1])) for x, _ in limits)
    shared = figure.axes[0].get_shared_y_axes().joined(figure.axes[0], figure.axes[-1])
    if name == "win_rate":
        assert all(y == (-0.03, 1.03) for _, y in limits) and (shared or group == "smac")
        assert captions(figure) == caption(group, "win rate", f"line: mean, thin: seed, {figures.BAND}")
    else:
        assert not shared or group == "smac"
        assert captions(figure) == caption(group, "episode return", f"line: mean, thin: seed, {figures.BAND}")
    assert legend(figure) == LEGEND


# Middle two of the four runs of two maps. Of a map whose runs differ, a quarter of the resamplings holds one run twice.
IQM = {
    "mazero": ([0, 0, 1], [(0, 0), (0, 0.5), (0.5, 1)]),
    "no_awpo": ([0, 1, 0], [(0, 0.5), (0.5, 1), (0, 0.5)]),
    "qmix": ([0, 0, 0], [(0, 0), (0, 0.5), (0, 0.5)]),
}


def test_sample_efficiency_over_two_maps(data: tuple[pd.DataFrame, Study]) -> None:
    figure = draw(data, "sample_efficiency", "matrix")
    (axes,) = figure.axes
    assert described(axes) == panel(
        title="",
        names=("Environment steps", "IQM win rate"),
        limits=((0, 204), (-0.03, 1.03)),
        ticks={0: "0", 50: "50", 100: "100", 150: "150", 200: "200"},
        grid=(True, True),
        lines=[curve_of(key, MARKS["matrix"], values) for key, (values, _) in IQM.items()],
        bands=[(COLOURS[key], dict(zip(MARKS["matrix"], edges))) for key, (_, edges) in IQM.items()],
    )
    assert captions(figure) == caption("matrix", "sample efficiency over 2 maps", figures.BAND)
    assert legend(figure) == LEGEND


def test_sample_efficiency_on_one_map(data: tuple[pd.DataFrame, Study]) -> None:
    """Two runs: nothing is cut, and the line is their mean."""
    figure = draw(data, "sample_efficiency", "smac")
    (axes,) = figure.axes
    assert [line[-1] for line in described(axes)["lines"]] == [
        [(0, 0), (200, 0.625), (400, 0.875)],
        [(0, 0.0625), (200, 0.25), (400, 0.375)],
        [(0, 0), (200, 0), (400, 0)],
    ]
    assert captions(figure) == caption("smac", "sample efficiency on 3m", figures.BAND)


def apart(row: int, values: Sequence[float]) -> list[Point]:
    """Dots of a row, equal ones moved apart."""
    count, seen, dots = Counter(values), Counter[float](), []
    for value in values:
        step = min(0.14, 0.6 / count[value])
        dots.append((float(value), number(row + step * (seen[value] - (count[value] - 1) / 2))))
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


@pytest.mark.parametrize("group", ["smac", "matrix"])
def test_final(data: tuple[pd.DataFrame, Study], group: str) -> None:
    figure = draw(data, "final", group)
    wanted: list[tuple[str, list[tuple[str, str, str, str, list[Point]]]]] = []
    if group == "matrix":
        lines = []
        for row, key in enumerate(LABELS):
            low, high = IQM[key][1][-1]
            pairs = zip(seeds_of("matrix_1", key, -1), seeds_of("matrix_2", key, -1), strict=True)
            dots = ("_seed", DOT, "None", ".", apart(row, [value for pair in pairs for value in pair]))
            lines += [*estimate(row, key, low, IQM[key][0][-1], high), dots, again(row, key, IQM[key][0][-1])]
        wanted.append(("all maps (IQM)", lines))
    for name in MAPS[group]:
        lines = []
        for row, key in enumerate(LABELS):
            first, second = seeds_of(name, key, -1)
            bounds = min(first, second), (first + second) / 2, max(first, second)
            lines += [
                *estimate(row, key, *bounds),
                ("_seed", DOT, "None", ".", apart(row, [first, second])),
                again(row, key, bounds[1]),
            ]
        wanted.append((name, lines))
    assert [described(axes) for axes in figure.axes] == [
        panel(
            title=title,
            names=("Win rate", ""),
            limits=((-0.04, 1.04), (2.55, -0.55)),
            ticks={0: "0.0", 0.5: "0.5", 1: "1.0"},
            grid=(True, False),
            lines=lines,
        )
        for title, lines in wanted
    ]
    assert rows(figure) == dict(enumerate(LABELS.values()))
    steps = {"smac": 400, "matrix": 200}[group]
    note = "bar: 95 % bootstrap interval, dot: run, diamond: absolute"
    title = f"win rate after {steps} environment steps"
    assert captions(figure) == caption(group, title, note, score="last evaluation")


def test_improvement(data: tuple[pd.DataFrame, Study]) -> None:
    """Values by hand; the intervals are quantiles over all resamplings of the runs."""
    figure = draw(data, "improvement", "matrix")
    # final: matrix_1 1, 1 against 0, 0 and 1, 0; matrix_2 1, 0 against 1, 0 and 0, 0
    # area: matrix_1 .75, .25 against .5, 0 and .25, .5; matrix_2 .25, 0 against 1, .5 and 0, 0
    values = {
        "final win rate": {"no_awpo": (1 + 0.5) / 2, "qmix": (0.75 + 0.75) / 2},
        "area under the curve": {"no_awpo": (0.75 + 0) / 2, "qmix": (0.625 + 0.75) / 2},
    }
    for axes, (title, measured_by) in zip(figure.axes, values.items(), strict=True):
        lines = []
        for row, (key, value) in enumerate(measured_by.items()):
            scores = [
                [
                    seeds_of(name, one, -1) if title == "final win rate" else areas_of(name, one)
                    for name in MAPS["matrix"]
                ]
                for one in ("mazero", key)
            ]
            ours, theirs = (np.array(one).T for one in scores)
            low, high = exact_interval(lambda x, y: float(statistics.improvement(x, y)), ours, theirs)
            lines += estimate(row, key, low, value, high)
        assert described(axes) == panel(
            title=title,
            names=("P(MAZero > other)", ""),
            limits=((-0.04, 1.04), (1.55, -0.55)),
            ticks={0: "0.0", 0.5: "0.5", 1: "1.0"},
            grid=(True, False),
            lines=[*lines, dotted(0.5, GREY)],
        )
    assert rows(figure) == {0: "without AWPO", 1: "QMIX"}
    note = "bar: 95 % bootstrap interval, dotted: no difference"
    assert captions(figure) == caption("matrix", "probability of improvement", note, score="evaluations")


def test_improvement_where_the_reference_does_not_run(data: tuple[pd.DataFrame, Study]) -> None:
    """The first algorithm of the group takes its place."""
    frame, study = data
    group = replace(study.groups["smac"], algorithms=("no_awpo", "qmix"))
    figure = figures.improvement(frame, study, group)
    assert figure.axes[0].get_xlabel() == "P(without AWPO > other)" and rows(figure) == {0: "QMIX"}
    assert described(figure.axes[0])["lines"] == [*estimate(0, "qmix", 1, 1, 1), dotted(0.5, GREY)]


def test_improvement_with_one_algorithm_says_so(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    figure = figures.improvement(frame, study, replace(study.groups["smac"], algorithms=("mazero",)))
    for axes in figure.axes:
        (text,) = axes.texts
        assert text.get_text() == "one algorithm only" and text.get_position() == (0.5, 0.5)
        assert text.get_transform() == axes.transAxes and (text.get_ha(), text.get_va()) == ("center", "center")
        assert [drawn_line(line) for line in axes.lines] == [dotted(0.5, GREY)] and not list(axes.get_yticks())
        assert axes.get_ylim() == (0.55, -0.55)


# Title of a panel -> per algorithm: length of its bar, whether it is hatched, steps of the seeds that got there.
STEPS = {
    "smac": {
        "3m: win rate ≥ 0.5": [(200, False, [200, 200]), (400, True, [400]), (400, True, [])],
        "3m: win rate ≥ 0.7": [(300, False, [400, 200]), (400, True, []), (400, True, [])],
    },
    "matrix": {
        "matrix_1: win rate ≥ 1": [(150, False, [100, 200]), (200, True, [100]), (150, False, [200, 100])],
        "matrix_2: win rate ≥ 1": [(200, True, [200]), (50, False, [0, 100]), (200, True, [])],
    },
}


@pytest.mark.parametrize("group", ["smac", "matrix"])
def test_steps_to(data: tuple[pd.DataFrame, Study], group: str) -> None:
    figure, budget = draw(data, "steps_to", group), MARKS[group][-1]
    wanted = []
    for title, cells in STEPS[group].items():
        bars, lines, texts = [], [], []
        for row, (key, (length, hatched, steps)) in enumerate(zip(LABELS, cells, strict=True)):
            area, hatching = ("none", COLOURS[key]) if hatched else (COLOURS[key], "none")
            bars.append((LABELS[key], area, hatching, hatched, (length, row)))
            lines.append(("_seed", DOT, "None", ".", apart(row, steps)))
            texts.append((f"{len(steps)}/2", row, "center"))
        wanted.append(
            panel(
                title=title,
                names=("Environment steps", ""),
                limits=((0, number(1.35 * budget)), (2.55, -0.55)),
                ticks=ticks(group),
                grid=(True, False),
                lines=[*lines, dotted(budget, LIGHT)],
                bars=bars,
                texts=texts,
            )
        )
    assert [described(axes) for axes in figure.axes] == wanted
    assert rows(figure) == dict(enumerate(LABELS.values()))
    for axes in figure.axes:  # how many got there stands right of the budget, inside the panel
        assert all(budget < text.get_position()[0] < 1.35 * budget for text in axes.texts)
    note = "bar: median over seeds, dot: seed, right: seeds that got there, hatched: at most half got there"
    assert captions(figure) == caption(group, "environment steps to a win rate", note, score="evaluations")


def test_a_single_panel_has_no_room_to_explain_the_hatching(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    figure = figures.steps_to(frame, study, replace(study.groups["smac"], thresholds=(0.5,)))
    assert captions(figure)[-1] == "bar: median over seeds, dot: seed, right: seeds that got there"


def test_what_is_drawn_together_stays_apart(data: tuple[pd.DataFrame, Study]) -> None:
    """Bands are faint and have no outline, seeds are thinner and paler than means, dots lie over bars."""
    (axes,) = draw(data, "win_rate", "smac").axes
    for item in axes.collections:
        assert 0 < float(item.get_alpha() or 1) < 0.25 and np.all(item.get_linewidth() == 0)
    (axes2,) = draw(data, "sample_efficiency", "smac").axes
    for item in axes2.collections:
        assert 0 < float(item.get_alpha() or 1) < 0.25 and np.all(item.get_linewidth() == 0)
    seeds = [line for line in axes.lines if line.get_label() == "_seed"]
    means = [line for line in axes.lines if line.get_label() != "_seed"]
    for seed in seeds:
        assert float(seed.get_alpha() or 1) <= 0.5 and 2 * seed.get_linewidth() < means[0].get_linewidth()
    for mean, handle in zip(means, draw(data, "win_rate", "smac").legends[0].legend_handles, strict=True):
        assert isinstance(handle, Line2D) and mean.get_alpha() is None
        for size in (Line2D.get_linewidth, Line2D.get_markersize):
            assert size(mean) == size(handle)
        assert mean.get_markersize() < matplotlib.rcParams["lines.markersize"]
    (axes,) = draw(data, "final", "smac").axes
    interval, stroke, dots = axes.lines[:3]
    assert interval.get_solid_capstyle() == "butt"  # the bar ends where the interval ends
    assert float(interval.get_alpha() or 1) < 0.5
    assert stroke.get_markersize() > interval.get_linewidth() > 2 * stroke.get_markeredgewidth() > 2
    assert dots.get_zorder() > max(interval.get_zorder(), stroke.get_zorder())
    assert dots.get_markersize() < interval.get_linewidth() and dots.get_markeredgewidth() == 0
    middle = draw(data, "improvement", "smac").axes[0].lines[-1]
    assert middle.get_zorder() < interval.get_zorder() and middle.get_linewidth() < interval.get_linewidth()
    axes = draw(data, "steps_to", "smac").axes[0]
    assert all(0.4 < float(patch.get_alpha() or 1) < 0.6 for patch in axes.patches)
    assert all(patch.get_linewidth() < 1 for patch in axes.patches if patch.get_hatch())
    assert all(line.get_zorder() > axes.patches[0].get_zorder() for line in axes.lines[:-1])
    assert axes.lines[-1].get_linewidth() < 1 and axes.texts[0].get_fontsize() < matplotlib.rcParams["font.size"]


def many(tmp_path: Path) -> tuple[pd.DataFrame, Study]:
    """Seven algorithms on five maps and on one, one seed, 21 evaluations."""
    document = study_document("many") | {"seeds": [4]}
    groups = document["groups"]
    for key in ("vdn", "iql", "qplex", "mappo"):
        document["algorithms"][key] = {"program": "baselines", "algorithm": key, "label": key.upper()}
        for group in groups.values():
            group["presets"][key] = "published"
    for group in groups.values():
        group |= {"env_steps": 25_000, "eval_every": 1250}
    groups["matrix"] |= {"maps": [f"matrix_{k}" for k in range(5)], "thresholds": [0.5]}
    study = make_study(tmp_path, document)
    return table(study, lambda name, algorithm, seed, mark: mark / 25_000), study


def places(figure: Figure) -> list[tuple[int, int]]:
    """Row and column of every panel."""
    spots = []
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        assert spec is not None
        spots.append((spec.rowspan.start, spec.colspan.start))
    return spots


def columns(figure: Figure) -> int:
    """Columns of the legend of a figure that was laid out."""
    (box,) = figure.legends
    return len({round(text.get_window_extent().x0) for text in box.get_texts()})


def test_many_panels_and_a_long_legend(tmp_path: Path) -> None:
    frame, study = many(tmp_path)
    wide, narrow = study.groups["matrix"], study.groups["smac"]
    grid = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    figure = figures.win_rate(frame, study, wide)
    figure.draw_without_rendering()
    assert places(figure) == grid and columns(figure) == 4  # two rows of equal length
    height = style.HEADER + style.LEGEND_ROW * 2 + 2 * 1.75
    assert figure.get_size_inches() == pytest.approx([style.PAGE, height])
    assert {line.get_markevery() for line in figure.axes[0].lines if line.get_label() != "_seed"} == {3}  # seven of 21
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "10k", "20k"]
    figure = figures.win_rate(frame, study, narrow)
    figure.draw_without_rendering()
    assert places(figure) == [(0, 0)] and columns(figure) == 3
    assert figure.get_size_inches() == pytest.approx([style.COLUMN, style.HEADER + style.LEGEND_ROW * 3 + 2.2])
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "5k", "10k", "15k", "20k", "25k"]
    figure = figures.sample_efficiency(frame, study, narrow)
    figure.draw_without_rendering()
    assert columns(figure) == 3 and len(figure.axes[0].get_xticks()) == 6
    assert figure.get_size_inches() == pytest.approx([style.COLUMN, style.HEADER + style.LEGEND_ROW * 3 + 2.2])
    assert places(figures.final(frame, study, wide)) == [*((0, k) for k in range(5)), (1, 0)]
    assert places(figures.steps_to(frame, study, wide)) == grid
    # A row of every panel for every algorithm.
    fewer = replace(wide, algorithms=wide.algorithms[:4])
    for name, panel_rows in (("final", 2), ("steps_to", 2), ("improvement", 1)):
        tall, low = (figures.DRAW[name](frame, study, group).get_size_inches()[1] for group in (wide, fewer))
        assert tall - low == pytest.approx(0.26 * 3 * panel_rows)
    alone, pair = (replace(wide, algorithms=wide.algorithms[:count]) for count in (1, 2))
    first, second = (figures.improvement(frame, study, group).get_size_inches()[1] for group in (alone, pair))
    assert first == second  # also an empty panel has the height of a row


@pytest.mark.parametrize("name", ["win_rate", "sample_efficiency"])
def test_a_legend_of_long_names_stays_in_a_narrow_figure(tmp_path: Path, name: str) -> None:
    frame, study = many(tmp_path)
    labels = dict.fromkeys(study.algorithms, "QMIX (published)")
    long = replace(study, algorithms={key: replace(a, label=labels[key]) for key, a in study.algorithms.items()})
    figure = figures.DRAW[name](frame, long, long.groups["smac"])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert columns(figure) == 2 and figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("group", ["smac", "matrix"])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_drawn_over_anything_else(data: tuple[pd.DataFrame, Study], name: str, group: str) -> None:
    """Title, three lines, panels and legend, from top to bottom, inside the figure."""
    figure = draw(data, name, group)
    figure.draw_without_rendering()
    lines = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert [text.get_weight() for text in figure.texts] == ["bold", "normal", "normal", "normal"]
    assert len({text.get_fontsize() for text in figure.texts[1:]}) == 1
    assert figure.texts[0].get_fontsize() > figure.texts[1].get_fontsize()
    assert len({text.get_position()[0] for text in figure.texts}) == 1
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    legends = [box.get_window_extent() for box in figure.legends]
    edges = [figure.bbox.y1]
    for line in lines:
        assert figure.bbox.x0 < line.x0 and line.x1 <= figure.bbox.x1 + 1
        assert line.y1 <= edges[-1] + 1.5  # a pixel and a half of line spacing
        edges.append(line.y0)
    for box in boxes:
        assert box is not None and box.y1 <= edges[-1] and figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert all(below.y1 <= box.y0 for below in legends) and box.y0 >= 0
    for left, right in pairwise(boxes):
        assert left is not None and right is not None and left.x1 <= right.x0
    for box in legends:
        assert box.y0 >= 0 and abs((box.x0 + box.x1) / 2 - figure.bbox.x1 / 2) < 2


def test_every_figure_of_every_group_is_saved_under_its_name(
    data: tuple[pd.DataFrame, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, study = data
    calls: list[tuple[str, str]] = []

    def drawing(name: str) -> Any:
        def make(given: pd.DataFrame, of: Study, group: Group) -> str:
            assert given is frame and of is study and matplotlib.rcParams["font.size"] == style.RC["font.size"]
            return f"{group.key} {name}"

        return make

    def save(figure: str, stem: Path, *, suffixes: tuple[str, ...]) -> tuple[Path, Path]:
        assert suffixes == (".png", ".pdf", ".svg")
        calls.append((figure, stem.relative_to(tmp_path).as_posix()))
        return stem.with_suffix(".a"), stem.with_suffix(".b")

    monkeypatch.setattr(figures, "DRAW", {name: drawing(name) for name in FIGURES})
    monkeypatch.setattr(figures, "save", save)
    with matplotlib.rc_context({"font.size": 30}):
        written = figures.draw_all(frame, study, tmp_path)
    assert calls == [(f"{group} {name}", f"{group}/{name}") for group in ("smac", "matrix") for name in FIGURES]
    assert written == [tmp_path / f"{stem}.{kind}" for _, stem in calls for kind in "ab"]
    calls.clear()
    written = figures.draw_all(frame, study, tmp_path, only="matrix")
    assert calls == [(f"matrix {name}", f"matrix/{name}") for name in FIGURES] and len(written) == 2 * len(FIGURES)


def test_equal_dots_keep_to_their_row() -> None:
    offsets = figures._spread(np.array([0.5] * 30 + [1.0]))
    assert offsets[-1] == 0 and np.ptp(offsets[:30]) < 0.6
    assert np.diff(offsets[:30]) == pytest.approx(0.6 / 30) and offsets[:30].sum() == pytest.approx(0)
    assert figures._spread(np.array([2.0, 1.0, 2.0])) == pytest.approx([-0.07, 0, 0.07])
