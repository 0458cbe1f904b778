"""All maps together: numbers by hand, the paper's bars beside them, the figure, the command and both reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import all_maps, collect, paper_bars
from analysis.__main__ import main
from analysis.paper_curves import paper_curve
from analysis.study import Study
from tests.analysis.synthetic import make_runs, make_study, study_document

MAPS = ("3m", "2m_vs_1z", "so_many_baneling", "2s_vs_1sc", "2c_vs_64zg", "5m_vs_6m", "8m_vs_9m", "10m_vs_11m")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two groups of one and two maps, three seeds and two; MAZero and QMIX are in the paper, the ablation is not."""
    document = study_document()
    for key, curve in (("mazero", "MAZero"), ("qmix", "QMIX")):
        document["algorithms"][key]["in_paper"] = {"figure": "Figs. 7 and 8", "curve": curve}
    document["groups"]["smac"]["seeds"] = [2, 0, 1]
    return make_study(tmp_path, document)


@pytest.fixture
def root(study: Study, tmp_path: Path) -> Path:
    """MAZero ends at 1 on 3m and at 0.8 and 0.6 on the games, by seed; the ablation at 0.5, QMIX at 0.7."""

    def win_rate(run: object, mark: int) -> float:
        if not mark:
            return 0.0
        own = {"no_awpo": 0.5, "qmix": 0.7}.get(run.algorithm)
        return own or (1.0 if run.map == "3m" else 0.8 - 0.2 * run.seed)

    root = tmp_path / "results" / "toy"
    make_runs(study, root, win_rate)
    collect.write(collect.collect(study, root), root / "evaluations.csv")
    return root


def test_numbers_by_hand(study: Study, root: Path) -> None:
    """Seeds 0 and 1, which both groups have: MAZero 1, 1, 0.8, 0.8, 0.6, 0.6; it beats QMIX on 4 of 6 pairs of runs."""
    frame = collect.read(root / "evaluations.csv", study)
    rows = all_maps.table(frame, study).set_index(["metric", "algorithm"])
    assert (set(rows["maps"]), set(rows["seeds"])) == ({3}, {2})
    assert np.allclose(all_maps.scores(frame, study, "mazero", "win_rate"), [[1.0, 0.8, 0.8], [1.0, 0.6, 0.6]])
    last = rows["last"]
    assert last["mean", "mazero"] == pytest.approx(4.8 / 6) and last["optimality_gap", "mazero"] == pytest.approx(0.2)
    assert last["median", "mazero"] == pytest.approx(0.7)  # of the means of maps: 1, 0.7, 0.7
    assert last["iqm", "mazero"] == pytest.approx((0.6 + 0.8 + 0.8 + 1.0) / 4)
    assert last["improvement", "qmix"] == pytest.approx(4 / 6) and last["improvement", "no_awpo"] == 1.0
    assert ("improvement", "mazero") not in rows.index  # it beats itself as often as not
    assert rows.loc[("mean", "mazero"), "last_low"] < 0.8 < rows.loc[("mean", "mazero"), "last_high"]
    assert rows["absolute"]["mean", "mazero"] == pytest.approx(0.4)  # half of the best evaluation, in these runs
    published = rows["published"]
    assert published["iqm", "mazero"] == 0.959 and published["improvement", "qmix"] == 0.957
    assert rows.loc[("iqm", "qmix"), ["published_low", "published_high"]].tolist() == [0.099, 0.355]
    assert published[["iqm"]].xs("no_awpo", level="algorithm").isna().all()


def test_scores_that_a_table_lacks_are_left_out(study: Study, root: Path) -> None:
    frame = collect.read(root / "evaluations.csv", study).assign(absolute_win_rate=np.nan)
    rows = all_maps.table(frame, study)
    assert rows["absolute"].isna().all() and rows["last"].notna().all()
    all_maps.draw(rows, study, made_by="skirmish").draw_without_rendering()


def test_the_figure(study: Study, root: Path) -> None:
    rows = all_maps.table(collect.read(root / "evaluations.csv", study), study)
    figure = all_maps.draw(rows, study, made_by="skirmish, unit data 4.10")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Median", "IQM", "Mean", "Optimality gap", "P(MAZero > other)"]
    ours = [line.get_xdata()[0] for line in figure.axes[2].get_lines() if not str(line.get_label()).startswith("_")]
    assert ours == pytest.approx([0.8, 0.5, 0.7])
    grey = [line.get_xdata() for line in figure.axes[2].get_lines() if line.get_label() == "_the paper"]
    assert [list(x) for x in grey] == [[0.923, 0.95], [0.938], [0.245, 0.405], [0.324]]
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "toy: 3 maps together" in texts and "2 seeds a map, win rates after 200 to 400 steps" in texts
    assert "8 maps after 50k to 1M steps, ten seeds" in texts


def test_command_redraw_and_reports(study: Study, root: Path, tmp_path: Path) -> None:
    where = [str(root), "--study", str(tmp_path / "toy.yaml")]
    assert main(["collect", *where]) == 0 and main(["all_maps", *where]) == 0
    files = [f"tables/all_maps.{kind}" for kind in ("csv", "md", "tex")]
    files += [f"figures/all_maps.{kind}" for kind in ("png", "pdf", "svg")]
    before = {name: (root / name).read_bytes() for name in files}
    expected = all_maps.table(collect.read(root / "evaluations.csv", study), study)
    pd.testing.assert_frame_equal(pd.read_csv(root / files[0]), expected)
    out = tmp_path / "again"
    assert main(["redraw", *where, "--out", str(out)]) == 0
    for name, content in before.items():
        assert (out / name).read_bytes() == content, name
    page = (out / "report.md").read_text(encoding="utf-8")
    assert "figures/all_maps.png" in page and "over_paper" not in page
    assert all_maps.CAPTION in (out / "report.html").read_text(encoding="utf-8")


def test_groups_that_share_nothing_are_not_taken_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = study_document()
    document["algorithms"]["mazero"]["in_paper"] = {"figure": "Figs. 7 and 8", "curve": "MAZero"}
    document["groups"]["smac"]["seeds"], document["groups"]["matrix"]["seeds"] = [0, 1], [2, 3]
    study, root = make_study(tmp_path, document), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    collect.write(collect.collect(study, root), root / "evaluations.csv")
    assert not study.all_maps
    assert main(["all_maps", str(root), "--study", str(tmp_path / "toy.yaml")]) == 2
    assert "error: study toy: its groups share no algorithm or no seed" in capsys.readouterr().err


def test_what_the_bars_of_the_paper_are_of() -> None:
    """Means of Fig. 7 are those of the ends of the curves of Fig. 3, which are win rates; intervals hold estimates."""
    assert paper_bars.names() == ["MAZero", "QMIX", "CDS", "RODE", "QPLEX", "MAPPO", "MAMBA"]
    for name in paper_bars.names():
        ends = [curve.win_rate[-1] for m in MAPS if (curve := paper_curve(m, name, figure="Fig. 3"))]
        assert len(ends) == paper_bars.MAPS
        assert paper_bars.bar("mean", name).value == pytest.approx(np.mean(ends), abs=0.04), name
        for metric in all_maps.PANELS:
            bar = paper_bars.bar(metric, name)
            itself = (metric, name) == ("improvement", "MAZero")
            assert np.isnan(bar.value) if itself else bar.low < bar.value < bar.high
    assert np.isnan(paper_bars.bar("iqm", "VDN").value) and np.isnan(paper_bars.bar("iqm", None).value)
