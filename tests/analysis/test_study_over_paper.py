"""A study over the paper's curves: which panels there are, what is drawn in them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import collect, over_paper
from analysis.__main__ import main
from analysis.paper_curves import FIGURES, names, paper_curve
from analysis.study import STUDIES, Study, StudyError, load_studies
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
    paper, ours = figure.axes[2].get_lines()
    curve = paper_curve("2m_vs_1z", "MAZero", figure="Fig. 3")
    assert curve is not None and np.array_equal(paper.get_xydata(), np.stack([curve.steps, curve.win_rate], axis=1))
    assert ours.get_xydata().tolist() == [[mark, 0.75 * mark / 400] for mark in (0, 100, 200, 300, 400)]
    labels = [line.get_label() for line in figure.axes[3].get_lines()]
    assert labels == ["QMIX, the paper", "QMIX", "QMIX (low data)"]  # both presets in one panel
    assert figure.axes[2].get_xlim() == pytest.approx((0, 1.02 * curve.steps[-1]))  # the paper's axis
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "over the paper's curves (Fig. 3)" in texts and "backend skirmish, unit data 4.10" in texts
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["the paper, StarCraft II, smoothed", "MAZero", "QMIX", "QMIX (low data)"]
    collect.write(frame, root / "evaluations.csv")
    assert main(["over_paper", str(root), "--study", str(tmp_path / "toy.yaml")]) == 0
    assert (root / "figures" / "over_paper.png").is_file() and (root / "figures" / "over_paper.pdf").is_file()


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
            assert curve.figure == figure and len(curve.steps) > 40 and np.all(np.diff(curve.steps) > 0)
            assert not np.any((curve.low > curve.win_rate + 0.02) | (curve.win_rate > curve.high + 0.02))


def test_studies_of_the_paper_have_a_panel_for_every_curve_they_name() -> None:
    studies, _ = load_studies(STUDIES)
    for stem, count in (("fig3", 8 * 4), ("fig5", 2 * 4), ("fig9", 2 * 2), ("fig10", 2 * 2), ("fig11", 7)):
        assert len(over_paper.places_of(studies[stem])) == count, stem
