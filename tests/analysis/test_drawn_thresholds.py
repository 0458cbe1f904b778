"""What is on the axes of figures of steps and hours to a win rate, whole."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import figure_parts, figures
from analysis.study import Study
from tests.analysis.drawn import (
    DOT,
    LIGHT,
    MAPS,
    apart,
    caption,
    captions,
    described,
    dotted,
    draw,
    number,
    panel,
    points,
    rows,
    ticks,
)
from tests.analysis.measured import (
    COLOURS,
    LABELS,
    MARKS,
)

pytestmark = pytest.mark.usefixtures("paper")


# Map -> algorithm -> per threshold: steps at which seeds 5 and 2 got there, None for never.
REACHED: dict[str, dict[str, list[tuple[int | None, int | None]]]] = {
    "3m": {
        "mazero": [(200, 200), (400, None), (400, None)],
        "no_awpo": [(400, None), (None, None), (None, None)],
        "qmix": [(None, None)] * 3,
    },
    "matrix_1": {"mazero": [(100, 200)], "no_awpo": [(100, None)], "qmix": [(200, 100)]},
    "matrix_2": {"mazero": [(200, None)], "no_awpo": [(0, 100)], "qmix": [(None, None)]},
}


def lanes(row: int, count: int) -> list[float]:
    """Heights of the lanes of a row, the first on top."""
    return [row] if count == 1 else [number(row + (lane - (count - 1) / 2) * 0.84 / count) for lane in range(count)]


@pytest.mark.parametrize("group", ["smac", "matrix"])
def test_steps_to(data: tuple[pd.DataFrame, Study], group: str) -> None:
    figure, budget = draw(data, "steps_to", group), MARKS[group][-1]
    for axes, name in zip(figure.axes, MAPS[group], strict=True):
        bars, lines, texts = [], [], []
        for row, key in enumerate(LABELS):
            cells = REACHED[name][key]
            for y, steps in zip(lanes(row, len(cells)), cells, strict=True):
                there = [float(step) for step in steps if step is not None]
                height = 0.6 if len(cells) == 1 else 0.8 * 0.28
                if len(there) == 2:  # of two seeds the median exists if both get there
                    bars.append((LABELS[key], COLOURS[key], (number(sum(there) / 2), number(y)), number(height)))
                if there:
                    lines.append(("_seed", DOT, "None", ".", apart(y, there, room=height)))
                if len(there) < 2:
                    lines.append(("_never", DOT, "None", ">", [(float(budget), number(y))]))
                texts.append((f"{len(there)}/2", number(y), "center"))
        assert described(axes) == panel(
            title=name,
            names=("Environment steps", ""),
            limits=((0, number(1.25 * budget)), (2.55, -0.55)),
            ticks=ticks(group),
            grid=(True, False),
            lines=[*lines, dotted(budget, LIGHT)],
            bars=bars,
            texts=texts,
        )
    assert rows(figure) == dict(enumerate(LABELS.values()))
    lowest = "0.5, 0.8, 0.95 (from the top)" if group == "smac" else "1"
    notes = (f"win rate ≥ {lowest}; bar: median, dot: seed", "triangle: ended without; right: seeds that got there")
    assert captions(figure) == caption(group, "environment steps to a win rate", *notes, score="evaluations")


def test_hours_to(data: tuple[pd.DataFrame, Study]) -> None:
    """3 s a step and a minute for every number of the seed; a seed that never gets there stands at its end."""
    figure = draw(data, "hours_to", "smac")
    (axes,) = figure.axes
    lines = []
    for row, key in enumerate(LABELS):
        for y, steps in zip(lanes(row, 3), REACHED["3m"][key], strict=True):
            hours = [(3 * (400 if step is None else step) + 60 * seed) / 3600 for seed, step in zip((5, 2), steps)]
            there = [time for time, step in zip(hours, steps) if step is not None]
            never = [time for time, step in zip(hours, steps) if step is None]
            if len(there) == 2:
                lines.append((LABELS[key], COLOURS[key], "None", "|", [(number(sum(there) / 2), number(y))]))
            for label, values, marker in (("_seed", there, "."), ("_never", sorted(never), ">")):
                if values:
                    lines.append((label, DOT, "None", marker, apart(y, values, room=0.8 * 0.28)))
    assert described(axes)["lines"] == lines
    low, high = axes.get_xlim()
    latest = max(x for line in lines for x, _ in line[-1])
    assert low < min(x for line in lines for x, _ in line[-1]) and high > 1.2 * latest  # room for the shares
    notes = ("win rate ≥ 0.5, 0.8, 0.95 (from the top); stroke: median, dot: seed",)
    notes += ("triangle: ended without; right: seeds that got there",)
    assert captions(figure) == caption("smac", "hours to a win rate", *notes, score="evaluations")


def test_reached_before_the_first_step_has_a_place_on_a_logarithmic_axis(data: tuple[pd.DataFrame, Study]) -> None:
    axes = draw(data, "hours_to", "matrix").axes[
        1
    ]  # without AWPO, matrix_2: seed 5 wins at once, 300 s after the start
    (dots,) = [points(line) for line in axes.lines if line.get_label() == "_seed" and points(line)[0][1] > 0.5]
    assert [x for x, _ in dots] == pytest.approx([300 / 3600, (3 * 100 + 120) / 3600])
    frame, study = data
    at_once = frame.assign(wall_seconds=frame["wall_seconds"].where(frame["mark"] > 0, 0.0))
    axes = figures.hours_to(at_once, study, study.groups["matrix"]).axes[1]
    (dots,) = [points(line) for line in axes.lines if line.get_label() == "_seed" and points(line)[0][1] > 0.5]
    assert dots[0][0] == pytest.approx((3 * 100 + 300) / 3600 / 2)  # half the time of the first evaluation after it


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [
        (0.9, 5.5, ["1", "2", "5"]),
        (0.0007, 0.012, ["0.001", "0.003", "0.01"]),  # long labels
        (0.11, 400.0, ["0.1", "1", "10", "100"]),
        (0.0112, 0.0131, ["0.012", "0.013"]),  # none of 1, 2, 5 inside
    ],
)
def test_hours_have_ticks_that_a_reader_can_use(first: float, last: float, wanted: list[str]) -> None:
    axes = Figure().subplots()
    axes.plot([first, last], [0, 1])
    figure_parts.hours_axis(axes)
    low, high = axes.get_xlim()
    texts = [axes.xaxis.get_major_formatter()(tick, 0) for tick in axes.get_xticks() if low <= tick <= high]
    assert texts == wanted
