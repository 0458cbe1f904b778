"""Figures show the numbers of the table: what is on the axes is compared, not whether a file exists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from analysis import collect, figures, style
from analysis.study import FIGURES, Run, Study, StudyError
from tests.analysis.synthetic import make_runs, make_study, study_document

SPEED = {"mazero": 1.0, "no_awpo": 0.5, "qmix": 0.0}


def win_rate(run: Run, mark: int) -> float:
    """Grows by a speed per algorithm, slower for seed 1; QMIX never wins; a matrix game is lost or won."""
    if run.backend == "matrix":
        return float(mark > 0 and run.algorithm == "mazero" and (run.map, run.seed) != ("matrix_2", 1))
    return SPEED[run.algorithm] * mark / 400 * (1 - 0.25 * run.seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, pd.DataFrame]:
    directory = tmp_path_factory.mktemp("figures")
    study = make_study(directory)
    make_runs(study, directory / "toy", win_rate)
    return study, collect.collect(study, directory / "toy")


def draw(data: tuple[Study, pd.DataFrame], name: str, group: str) -> Figure:
    study, frame = data
    with style.paper_style():
        return figures.DRAW[name](frame, study, study.groups[group])


def lines(axes: Axes, label: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_label() == label]


def height(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), dtype=float).tolist()


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("group", ["smac", "matrix"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_states_backend_seeds_and_episodes(
    data: tuple[Study, pd.DataFrame], name: str, group: str
) -> None:
    chosen = data[0].groups[group]
    text = texts(draw(data, name, group))
    assert text.startswith(chosen.title)
    made_by = "skirmish, unit data 4.10" if group == "smac" else "matrix"
    last = dict.fromkeys(("final", "profile", "differences"), "last evaluation")
    several = dict.fromkeys(("improvement", "steps_to", "hours_to"), "evaluations")
    score = (last | several).get(name, "each evaluation")
    assert f"\nbackend {made_by}\n2 seeds · {score} of {chosen.eval_episodes} episodes\n" in text


def test_win_rate_over_hours(data: tuple[Study, pd.DataFrame]) -> None:
    """0.6 s a step: marks 100 to 400 lie at 60 to 240 s, the one before the first step is not drawn."""
    (axes,) = draw(data, "hours", "smac").axes
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "Hours"
    (mean,) = lines(axes, "MAZero")
    assert np.asarray(mean.get_xdata()) * 3600 == pytest.approx([60, 120, 180, 240])
    assert height(mean) == pytest.approx([0.21875, 0.4375, 0.65625, 0.875])


def test_win_rate_curves(data: tuple[Study, pd.DataFrame]) -> None:
    (axes,) = draw(data, "win_rate", "smac").axes
    assert axes.get_title() == "3m" and axes.get_ylim() == (-0.03, 1.03)
    (mean,) = lines(axes, "MAZero")
    assert np.asarray(mean.get_xdata()).tolist() == [0, 100, 200, 300, 400]
    assert height(mean) == pytest.approx([0, 0.21875, 0.4375, 0.65625, 0.875])  # mean of m / 400 and 0.75 m / 400
    seeds = [height(line) for line in lines(axes, "_seed")]
    assert len(seeds) == 6  # 3 algorithms x 2 seeds
    assert seeds[1] == pytest.approx([0, 0.1875, 0.375, 0.5625, 0.75])
    assert height(lines(axes, "QMIX")[0]) == [0] * 5
    bands = [item for item in axes.collections if isinstance(item, PolyCollection)]
    # With two seeds the interval is their range; the outline of the first band ends at 0.75 and 1.0.
    outline = bands[0].get_paths()[0].vertices
    assert sorted({round(y, 6) for x, y in outline if x == 400}) == [0.75, 1.0]
    assert bands[2].get_paths()[0].vertices[:, 1].max() == 0  # all-zero curves: width zero


def test_small_multiples_have_one_panel_per_map(data: tuple[Study, pd.DataFrame]) -> None:
    figure = draw(data, "return", "matrix")
    assert [axes.get_title() for axes in figure.axes] == ["matrix_1", "matrix_2"]
    assert height(lines(figure.axes[0], "MAZero")[0]) == [0, 20, 20]
    assert height(lines(figure.axes[1], "MAZero")[0]) == [0, 10, 10]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MAZero", "without AWPO", "QMIX"]


def test_sample_efficiency_is_the_iqm_over_runs_and_maps(data: tuple[Study, pd.DataFrame]) -> None:
    (axes,) = draw(data, "sample_efficiency", "matrix").axes
    # 4 runs: 1, 1, 1, 0; one is cut at each end.
    assert height(lines(axes, "MAZero")[0]) == [0, 1, 1]


def test_final_scores(data: tuple[Study, pd.DataFrame]) -> None:
    aggregate, first, second = draw(data, "final", "matrix").axes
    assert [axes.get_title() for axes in (aggregate, first, second)] == ["all maps (IQM)", "matrix_1", "matrix_2"]
    assert np.asarray(lines(aggregate, "MAZero")[0].get_xdata()).tolist() == [1.0]
    assert np.asarray(lines(second, "MAZero")[0].get_xdata()).tolist() == [0.5]
    assert np.asarray(lines(second, "_interval")[0].get_xdata()).tolist() == [0.0, 1.0]
    assert sorted(np.asarray(lines(second, "_seed")[0].get_xdata()).tolist()) == [0.0, 1.0]
    assert len(np.asarray(lines(aggregate, "_seed")[0].get_xdata())) == 4
    assert [np.asarray(lines(axes, "_absolute")[0].get_xdata()).tolist() for axes in (aggregate, second)] == [
        [0.5],
        [0.25],
    ]
    assert [text.get_text() for text in aggregate.get_yticklabels()] == ["MAZero", "without AWPO", "QMIX"]
    bottom, top = aggregate.get_ylim()
    assert bottom > top  # the first algorithm stands on top


def test_improvement_of_the_reference_over_each_other_algorithm(data: tuple[Study, pd.DataFrame]) -> None:
    final, area = draw(data, "improvement", "matrix").axes
    assert [text.get_text() for text in final.get_yticklabels()] == ["without AWPO", "QMIX"]
    # matrix_1: always better; matrix_2: one of two runs better, the other a tie.
    assert np.asarray(lines(final, "QMIX")[0].get_xdata()).tolist() == [pytest.approx(0.875)]
    assert final.get_xlabel() == "P(MAZero > other)" and area.get_title() == "area under the curve"


def test_area_under_the_curve(data: tuple[Study, pd.DataFrame]) -> None:
    (axes,) = draw(data, "area", "smac").axes
    # A straight line to 1 and one to 0.75: half of them.
    assert np.asarray(lines(axes, "MAZero")[0].get_xdata()).tolist() == [pytest.approx(0.4375)]
    assert np.asarray(lines(axes, "_interval")[0].get_xdata()).tolist() == pytest.approx([0.375, 0.5])
    assert not lines(axes, "_absolute")


def test_differences_are_of_pairs_of_runs(data: tuple[Study, pd.DataFrame]) -> None:
    (axes,) = draw(data, "differences", "smac").axes
    assert axes.get_title() == "3m" and [text.get_text() for text in axes.get_yticklabels()] == ["without AWPO", "QMIX"]
    # Seed 0: 1 - 0.5; seed 1: 0.75 - 0.375.
    dots = [sorted(np.asarray(line.get_xdata()).tolist()) for line in lines(axes, "_seed")]
    assert dots == [pytest.approx([0.375, 0.5]), pytest.approx([0.75, 1.0])]
    assert np.asarray(lines(axes, "without AWPO")[0].get_xdata()).tolist() == [pytest.approx(0.4375)]
    overall, *maps = draw(data, "differences", "matrix").axes
    assert [axes.get_title() for axes in (overall, *maps)] == ["all maps", "matrix_1", "matrix_2"]
    assert np.asarray(lines(overall, "QMIX")[0].get_xdata()).tolist() == [0.75]  # 1, 1, 1, 0


def test_profile(data: tuple[Study, pd.DataFrame]) -> None:
    """Of MAZero three of four runs of the matrix games win always, one never."""
    figure = draw(data, "profile", "matrix")
    assert [axes.get_title() for axes in figure.axes] == ["MAZero", "without AWPO", "QMIX"]
    assert "thin: MAZero, grey: others" in texts(figure)
    (own,) = lines(figure.axes[0], "MAZero")
    assert height(own) == [0.75] * 64 + [0] and own.get_drawstyle() == "steps-post"
    second = figure.axes[1]
    assert height(lines(second, "_reference")[0]) == height(own)
    assert height(lines(second, "without AWPO")[0]) == height(lines(second, "_other")[0]) == [0] * 65


def test_a_profile_alone_speaks_of_no_others(tmp_path: Path) -> None:
    document = study_document("alone")
    document["algorithms"] = {"mazero": document["algorithms"]["mazero"]}
    for group in document["groups"].values():
        del group["presets"]["qmix"]
    study = make_study(tmp_path, document)
    make_runs(study, tmp_path / "alone", lambda run, mark: 0.5)
    figure = draw((study, collect.collect(study, tmp_path / "alone")), "profile", "matrix")
    assert "4 runs" in texts(figure) and "others" not in texts(figure)


def test_steps_to_a_win_rate(data: tuple[Study, pd.DataFrame]) -> None:
    (axes,) = draw(data, "steps_to", "smac").axes
    assert axes.get_title() == "3m"
    # MAZero: seed 0 reaches 0.5 at 200 and 0.8 at 400, seed 1 reaches 0.5 at 300 and no more.
    assert [patch.get_width() for patch in axes.patches] == [250]
    shares = [text.get_text() for text in axes.texts]
    assert shares == ["2/2", "1/2", "1/2", "1/2", "0/2", "0/2", "0/2", "0/2", "0/2"]
    ended = [np.asarray(line.get_xdata()).tolist() for line in lines(axes, "_never")]
    assert ended == [[400]] * 8  # every lane but the first


def test_hours_to_a_win_rate(data: tuple[Study, pd.DataFrame]) -> None:
    """0.6 s a step; a run that never gets there stands at its end."""
    (axes,) = draw(data, "hours_to", "smac").axes
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "Hours" and not axes.patches
    assert np.asarray(lines(axes, "MAZero")[0].get_xdata()).tolist() == [pytest.approx(0.6 * 250 / 3600)]
    assert np.asarray(lines(axes, "_seed")[0].get_xdata()) * 3600 == pytest.approx([120, 180])
    assert np.asarray(lines(axes, "_never")[0].get_xdata()) * 3600 == pytest.approx([240])


def test_single_algorithm_single_seed_single_map(tmp_path: Path) -> None:
    document = study_document()
    document["seeds"] = [3]
    document["algorithms"] = {"mazero": document["algorithms"]["mazero"]}
    del document["groups"]["matrix"]
    document["groups"]["smac"] |= {"presets": {"mazero": "laptop"}, "eval_every": 400}
    study = make_study(tmp_path, document)
    make_runs(study, tmp_path / "toy", lambda run, mark: 0.0)
    frame = collect.collect(study, tmp_path / "toy")
    written = figures.draw_all(frame, study, tmp_path / "figures")
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf", "svg")
    )
    with style.paper_style():
        assert "1 seed ·" in texts(figures.win_rate(frame, study, study.groups["smac"]))
    # 3.4 inches at 200 dpi: a column of a page.
    with Image.open(tmp_path / "figures" / "smac" / "win_rate.png") as image:
        assert image.size[0] == 680


def test_same_table_gives_the_same_files(data: tuple[Study, pd.DataFrame], tmp_path: Path) -> None:
    study, frame = data
    for name in ("one", "two"):
        with style.paper_style():
            style.save(figures.final(frame, study, study.groups["smac"]), tmp_path / name, suffixes=style.ALL)
    for kind in ("png", "pdf", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_looks_are_distinct_and_fixed_per_algorithm(data: tuple[Study, pd.DataFrame], tmp_path: Path) -> None:
    looks = style.looks(data[0])
    assert len({look.colour for look in looks.values()}) == 3 and len({look.marker for look in looks.values()}) == 3
    assert looks["mazero"].dashes == "-" and len({str(look.dashes) for look in looks.values()}) == 3
    document = study_document()
    document["algorithms"] = {"qmix": document["algorithms"]["qmix"], **document["algorithms"]}
    document["algorithms"]["unheard_of"] = {"program": "mazero", "label": "New"}
    other = style.looks(make_study(tmp_path, document))
    assert other["mazero"].colour == looks["mazero"].colour and other["qmix"].colour == looks["qmix"].colour
    assert len({look.colour for look in other.values()}) == 4


def test_unknown_group_is_refused(data: tuple[Study, pd.DataFrame], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unknown group 'samc' in study toy; known: smac, matrix"):
        figures.draw_all(data[1], data[0], tmp_path, only="samc")


@pytest.mark.parametrize(("steps", "text"), [(0, "0"), (500, "500"), (2500, "2.5k"), (50_000, "50k")])
def test_thousands(steps: int, text: str) -> None:
    assert style.thousands(steps) == text
