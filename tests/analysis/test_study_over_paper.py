"""A study over the paper's curves: which panels there are, what is drawn in them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import collect, over_paper
from analysis.__main__ import main
from analysis.paper_curves import FIGURES, names, paper_curve
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_studies
from tests.analysis.synthetic import make_runs, make_study, study_document


def document() -> dict[str, Any]:
    """MAZero and QMIX twice, over curves of Fig. 3; an ablation that the figure lacks; one map that it lacks."""
    it = study_document()
    it["groups"]["smac"]["maps"] = ["3m", "8m", "2m_vs_1z"]
    it["algorithms"]["mazero"]["in_paper"] = {"figure": "Fig. 3", "curve": "MAZero"}
    it["algorithms"]["qmix"]["in_paper"] = {"figure": "Fig. 3", "curve": "QMIX"}
    twin = {**it["algorithms"]["qmix"], "label": "QMIX (low data)", "preset": "low_data"}
    it["algorithms"]["qmix_low_data"] = twin
    it["groups"]["matrix"]["algorithms"] = ["mazero", "no_awpo", "qmix"]
    return it


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path, document())


def test_panels_are_the_maps_and_curves_that_the_paper_has(study: Study) -> None:
    found = [(panel.map, panel.name, panel.algorithms) for panel in over_paper.places_of(study)]
    rivals = ("qmix", "qmix_low_data")
    assert found == [
        ("3m", "MAZero", ("mazero",)),
        ("3m", "QMIX", rivals),
        ("2m_vs_1z", "MAZero", ("mazero",)),
        ("2m_vs_1z", "QMIX", rivals),
    ]
    assert study.over_paper


def test_each_panel_shows_the_curve_of_the_paper_and_ours(study: Study, tmp_path: Path) -> None:
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: (mark / 400) * (1 - 0.5 * run.seed) * (run.map == "2m_vs_1z"))
    frame = collect.collect(study, root)
    figure = over_paper.of_study(frame, study)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["3m, MAZero", "3m, QMIX", "2m_vs_1z, MAZero", "2m_vs_1z, QMIX"]
    paper, measured, ours = figure.axes[2].get_lines()
    curve = paper_curve("2m_vs_1z", "MAZero", figure="Fig. 3")
    assert curve is not None and np.array_equal(paper.get_xydata(), np.stack([curve.x, curve.win_rate], axis=1))
    for line in (measured, ours):  # a straight line stays what it is when it is smoothed
        assert np.allclose(line.get_xydata(), [[mark, 0.75 * mark / 400] for mark in (0, 100, 200, 300, 400)])
    assert measured.get_linewidth() < ours.get_linewidth()
    labels = [line.get_label() for line in figure.axes[3].get_lines() if not str(line.get_label()).startswith("_")]
    assert labels == ["QMIX, the paper", "QMIX", "QMIX (low data)"]  # both presets in one panel
    assert figure.axes[2].get_xlim() == pytest.approx((0, 1.02 * curve.x[-1]))  # the paper's axis
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "over the paper's curves (Fig. 3)" in texts and "backend skirmish, unit data 4.10" in texts
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["the paper, StarCraft II, smoothed", "MAZero", "QMIX", "QMIX (low data)"]
    collect.write(frame, root / "evaluations.csv")
    assert main(["over_paper", str(root), "--study", str(tmp_path / "toy.yaml")]) == 0
    assert (root / "figures" / "over_paper.png").is_file() and (root / "figures" / "over_paper.pdf").is_file()


def test_over_hours_the_axis_is_logarithmic_and_means_over_seeds_count(tmp_path: Path) -> None:
    """A step takes 0.6 s in these runs: 400 of them 4 minutes."""
    it = document()
    for key in ("qmix", "qmix_low_data"):
        del it["algorithms"][key]["in_paper"]
    it["algorithms"]["mazero"]["in_paper"]["figure"] = "Fig. 4"
    study, root = make_study(tmp_path, it), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: (mark / 400) ** 2)
    figure = over_paper.of_study(collect.collect(study, root), study)
    assert [axes.get_title() for axes in figure.axes] == ["3m, MAZero", "2m_vs_1z, MAZero"]
    axes = figure.axes[0]
    paper, ours = (line.get_xydata() for line in axes.get_lines())  # four evaluations are too few to be smoothed
    curve = paper_curve("3m", "MAZero", figure="Fig. 4")
    assert curve is not None and curve.unit == "hours" and axes.get_xscale() == "log"
    assert np.array_equal(paper[:, 0], curve.x[curve.x > 0]) and paper[-1, 0] == pytest.approx(12.9)
    hours = [0.6 * mark / 3600 for mark in (100, 200, 300, 400)]  # nothing before the first step has a place
    assert np.allclose(ours, np.stack([hours, [1 / 16, 1 / 4, 9 / 16, 1]], axis=1))
    assert any("theirs an A100" in text.get_text() for text in figure.texts)


def test_running_means() -> None:
    """Over three evaluations; first and last stand alone, so that nothing is won before it is learned."""
    assert over_paper.smoothed(np.array([0.0, 0.0, 0.6, 0.9, 0.0])).tolist() == pytest.approx([0, 0.2, 0.5, 0.5, 0])


def test_a_study_that_names_no_curve_is_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, root = make_study(tmp_path), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    collect.write(collect.collect(study, root), root / "evaluations.csv")
    assert not study.over_paper
    assert main(["over_paper", str(root), "--study", str(tmp_path / "toy.yaml")]) == 2
    assert "error: study toy names no curve of the paper that is on one of its maps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"figure": "Fig. 3", "curve": "MAZeroo"}, "in_paper: unknown curve 'MAZeroo'; nearest: 'MAZero'"),
        ({"figure": "Fig. 30", "curve": "MAZero"}, "in_paper.figure: 'Fig. 30' is not one of"),
        ({"figure": "Fig. 3"}, "'curve' is a required property"),
    ],
)
def test_a_curve_that_is_not_there_is_refused(tmp_path: Path, place: dict[str, str], message: str) -> None:
    it = document()
    it["algorithms"]["mazero"]["in_paper"] = place
    with pytest.raises(StudyError, match=message.replace(".", r"\.")):
        make_study(tmp_path, it)


def test_every_curve_of_the_data_is_whole() -> None:
    """From the start to the end of its budget, in order, win rates within their bands."""
    for figure in FIGURES:
        maps = {name for name in ("3m", "8m", "2m_vs_1z", "2c_vs_64zg", "5m_vs_6m", "10m_vs_11m")}
        found = [curve for curve in (paper_curve(m, n, figure=figure) for m in maps for n in names(figure)) if curve]
        assert found, figure
        for curve in found:
            assert curve.figure == figure and len(curve.x) > 40 and np.all(np.diff(curve.x) > 0)
            assert not np.any((curve.low > curve.win_rate + 0.02) | (curve.win_rate > curve.high + 0.02))


def test_studies_of_the_paper_have_a_panel_for_every_curve_they_name() -> None:
    studies, _ = load_studies(STUDIES)
    expected = {"fig3": 8 * 7, "fig4": 6 * 2, "table8": 8, "fig5": 2 * 4, "fig9": 2 * 2, "fig10": 2 * 2, "fig11": 7}
    assert {stem: len(over_paper.places_of(studies[stem])) for stem in expected} == expected
