"""Studies that show the runs of another one: which runs, over which curves, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import store
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_studies, load_study
from analysis.variants import variant
from tests.analysis.synthetic import make_study, study_document, write_study


@pytest.fixture
def base(tmp_path: Path) -> Study:
    """MAZero over Fig. 3 on two of its maps, and QMIX there and on games."""
    document = study_document() | {"reproduces": "Fig. 3"}
    document["groups"]["smac"]["maps"] = ["3m", "8m", "2m_vs_1z"]
    document["groups"]["matrix"]["algorithms"] = ["qmix"]
    document["algorithms"]["mazero"]["in_paper"] = {"figure": "Fig. 3", "curve": "MAZero"}
    document["algorithms"]["qmix"]["in_paper"] = {"figure": "Fig. 3", "curve": "QMIX"}
    return make_study(tmp_path, document)


def view(tmp_path: Path, **wanted: Any) -> Study:
    document = {"name": "view", "description": "A view.", "runs_of": {"study": "toy", **wanted}}
    return load_study(write_study(tmp_path, document))


def test_all_runs_unless_fewer_are_named(base: Study, tmp_path: Path) -> None:
    everything = view(tmp_path)
    assert [*everything.runs()] == [*base.runs()] and everything.groups == base.groups
    assert (everything.name, everything.runs_of, everything.reproduces) == ("view", "toy", None)
    some = view(tmp_path, algorithms=["mazero", "no_awpo"], maps=["2m_vs_1z", "3m"])
    [group] = some.groups.values()  # none of them plays games
    assert (group.maps, group.title, group.algorithms) == (("3m", "2m_vs_1z"), "3m, 2m_vs_1z", ("mazero", "no_awpo"))
    assert [*some.algorithms] == ["mazero", "no_awpo"] and set(some.runs()) < set(base.runs())


def test_over_another_figure(base: Study, tmp_path: Path) -> None:
    fig4 = view(tmp_path, in_paper="Fig. 4").algorithms
    assert fig4["mazero"].in_paper is not None and fig4["mazero"].in_paper.figure == "Fig. 4"
    assert fig4["qmix"].in_paper is None  # which that figure lacks
    bars = view(tmp_path, in_paper="Figs. 7 and 8", algorithms=["mazero", "qmix"], maps=["3m"])
    assert bars.all_maps and not bars.over_paper and not base.all_maps
    apart = view(tmp_path, in_paper="Figs. 7 and 8")
    assert apart.all_maps and apart.shared("algorithms") == ("qmix",)  # the games have no other


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"algorithms": ["qmixx"]}, "runs_of.algorithms: study toy has no 'qmixx'; nearest: 'qmix'"),
        ({"maps": ["3mm"]}, "runs_of.maps: study toy has no '3mm'; nearest: '3m'"),
        ({"algorithms": ["mazero"], "maps": ["matrix_1"]}, "none of them runs on these maps in study toy"),
        ({"study": "view"}, "runs_of.study: 'view' is the study itself"),
        ({"study": "other"}, "other.yaml: no such study file"),
        ({"in_paper": "Fig. 30"}, "runs_of.in_paper: 'Fig. 30' is not one of"),
        ({"seeds": [0]}, "runs_of: unknown key 'seeds'"),
    ],
)
def test_what_is_refused(base: Study, tmp_path: Path, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as refused:
        view(tmp_path, **wanted)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_what_the_other_study_says_cannot_be_said_again(base: Study, tmp_path: Path) -> None:
    view(tmp_path)
    second = {"name": "second", "description": "A view of a view.", "runs_of": {"study": "view"}}
    with pytest.raises(StudyError, match="'view' shows runs of 'toy' itself; name that one"):
        load_study(write_study(tmp_path, second))
    second |= {"runs_of": {"study": "toy"}, "seeds": [0]}
    with pytest.raises(StudyError, match="unknown key 'seeds'; known: name, description, reproduces, runs_of"):
        load_study(write_study(tmp_path, second))
    with pytest.raises(StudyError, match="name: got 'second', expected 'third'"):
        (tmp_path / "third.yaml").write_text((tmp_path / "second.yaml").read_text().replace("seeds:\n- 0\n", ""))
        load_study(tmp_path / "third.yaml")


@pytest.mark.parametrize("scale", ["laptop", "paper", "tiny"])
def test_figures_of_the_paper_that_share_runs_make_none_of_their_own(scale: str) -> None:
    studies, faults = load_studies(STUDIES)
    assert not faults
    fig3 = variant(studies["fig3"], scale=scale)
    made = {store.directory(fig3, run) for run in fig3.runs()}
    for stem in ("fig4", "fig7_fig8", "table8"):
        shown = variant(studies[stem], scale=scale)
        assert {store.directory(shown, run) for run in shown.runs()} <= made and shown.reproduces
    assert len(list(studies["fig7_fig8"].runs())) == len(list(studies["fig3"].runs()))
