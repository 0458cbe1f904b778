"""What is on the axes of curves, whole; and the layout, legends and files of all figures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import figure_parts, figures, style
from analysis.study import FIGURES, Group, Study
from tests.analysis.drawn import (
    IQM,
    LEGEND,
    MAPS,
    caption,
    captions,
    covered,
    curve_of,
    described,
    draw,
    legend,
    number,
    panel,
    ticks,
)
from tests.analysis.measured import (
    COLOURS,
    LABELS,
    MARKS,
    WIN_RATES,
    table,
)
from tests.analysis.synthetic import make_study, study_document

pytestmark = pytest.mark.usefixtures("paper")


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
        assert captions(figure) == caption(group, "win rate", f"line: mean, thin: seed, {figure_parts.BAND}", covered())
    else:
        assert not shared or group == "smac"
        assert captions(figure) == caption(
            group, "episode return", f"line: mean, thin: seed, {figure_parts.BAND}", covered()
        )
    assert legend(figure) == LEGEND


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
    assert captions(figure) == caption(
        "matrix", "sample efficiency over 2 maps", figure_parts.BAND, covered("iqm", maps=2)
    )
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
    assert captions(figure) == caption("smac", "sample efficiency on 3m", figure_parts.BAND, covered("iqm"))


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
    height = style.TALL_HEADER + style.LEGEND_ROW * 2 + 2 * 1.75
    assert figure.get_size_inches() == pytest.approx([style.PAGE, height])
    assert {line.get_markevery() for line in figure.axes[0].lines if line.get_label() != "_seed"} == {3}  # seven of 21
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "10k", "20k"]
    figure = figures.win_rate(frame, study, narrow)
    figure.draw_without_rendering()
    assert places(figure) == [(0, 0)] and columns(figure) == 3
    assert figure.get_size_inches() == pytest.approx([style.COLUMN, style.TALL_HEADER + style.LEGEND_ROW * 3 + 2.2])
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "5k", "10k", "15k", "20k", "25k"]
    figure = figures.sample_efficiency(frame, study, narrow)
    figure.draw_without_rendering()
    assert columns(figure) == 3 and len(figure.axes[0].get_xticks()) == 6
    assert figure.get_size_inches() == pytest.approx([style.COLUMN, style.TALL_HEADER + style.LEGEND_ROW * 3 + 2.2])
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
    assert [text.get_weight() for text in figure.texts] == ["bold", *4 * ["normal"]]
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
    offsets = figure_parts.spread(np.array([0.5] * 30 + [1.0]))
    assert offsets[-1] == 0 and np.ptp(offsets[:30]) < 0.6
    assert np.diff(offsets[:30]) == pytest.approx(0.6 / 30) and offsets[:30].sum() == pytest.approx(0)
    assert figure_parts.spread(np.array([2.0, 1.0, 2.0])) == pytest.approx([-0.07, 0, 0.07])
