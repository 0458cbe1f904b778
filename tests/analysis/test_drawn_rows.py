"""What is on the axes of figures with a row per algorithm, whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import coverage, figure_parts, figures, statistics, style
from analysis.study import Study
from tests.analysis.drawn import (
    DOT,
    GREY,
    IQM,
    MAPS,
    Point,
    again,
    apart,
    caption,
    captions,
    covered,
    described,
    dotted,
    draw,
    drawn_line,
    estimate,
    panel,
    rows,
)
from tests.analysis.measured import (
    LABELS,
    areas_of,
    exact_interval,
    seeds_of,
)

pytestmark = pytest.mark.usefixtures("paper")


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
    over = f" on a map, {coverage.covers('iqm', seeds=2, maps=2)} of the IQM over maps" if group == "matrix" else ""
    assert captions(figure) == caption(group, title, note, covered() + over, score="last evaluation")


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
    draws = "2,000 draws (rliable)"
    assert captions(figure) == caption("matrix", "probability of improvement", note, draws, score="evaluations")


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


@pytest.mark.parametrize("group", ["smac", "matrix"])
def test_differences(data: tuple[pd.DataFrame, Study], group: str) -> None:
    """MAZero minus another, seed by seed. Of one map the interval of two seeds is their range."""
    figure = draw(data, "differences", group)
    names = MAPS[group] if group == "smac" else ["all maps", *MAPS[group]]
    assert [axes.get_title() for axes in figure.axes] == names
    for axes, name in zip(figure.axes, names, strict=True):
        lines = []
        for row, key in enumerate(("no_awpo", "qmix")):
            maps = MAPS[group] if name == "all maps" else [name]
            pairs = np.array([np.subtract(seeds_of(m, "mazero", -1), seeds_of(m, key, -1)) for m in maps]).T  # (R, M)
            low, high = exact_interval(lambda drawn: float(drawn.mean()), pairs)
            lines += estimate(row, key, low, float(pairs.mean()), high)
            lines.append(("_seed", DOT, "None", ".", apart(row, pairs.ravel().tolist())))
        assert described(axes) == panel(
            title=name,
            names=("Difference", ""),
            limits=((-1.08, 1.08), (1.55, -0.55)),
            ticks={-1: "−1", 0: "0", 1: "1"},
            grid=(True, False),
            lines=[*lines, dotted(0, GREY)],
        )
    assert rows(figure) == {0: "without AWPO", 1: "QMIX"}
    notes = (f"{figure_parts.BAR}, dot: pair of runs, right: MAZero ahead", "pairs: same seed; 2,000 draws (rliable)")
    title = "final win rate, MAZero minus others"
    assert captions(figure) == caption(group, title, *notes, score="last evaluation")


def test_area(data: tuple[pd.DataFrame, Study]) -> None:
    figure = draw(data, "area", "matrix")
    assert [axes.get_title() for axes in figure.axes] == ["all maps (IQM)", "matrix_1", "matrix_2"]
    for axes, name in zip(figure.axes[1:], MAPS["matrix"], strict=True):
        lines = []
        for row, key in enumerate(LABELS):
            first, second = areas_of(name, key)
            lines += estimate(row, key, min(first, second), (first + second) / 2, max(first, second))
            lines.append(("_seed", DOT, "None", ".", apart(row, [first, second])))
        assert described(axes)["lines"] == lines and axes.get_xlabel() == "Mean win rate"
    over = f" on a map, {coverage.covers('iqm', seeds=2, maps=2)} of the IQM over maps"
    notes = (f"{figure_parts.BAR}, dot: run", covered() + over)
    assert captions(figure) == caption("matrix", "area under the curve to 200 steps", *notes)


def test_more_runs_than_can_be_told_apart_are_not_drawn(data: tuple[pd.DataFrame, Study]) -> None:
    for count, drawn in ((figure_parts.MOST_DOTS, True), (figure_parts.MOST_DOTS + 1, False)):
        axes = Figure().subplots()
        look = style.looks(data[1])["mazero"]
        figure_parts.bar(axes, 0, statistics.Estimate(0.5, 0.4, 0.6), look, dots=np.linspace(0, 1, count))
        assert any(line.get_label() == "_seed" for line in axes.lines) == drawn
