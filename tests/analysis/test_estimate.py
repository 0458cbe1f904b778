"""What studies will take: rates from finished runs, by map and by relatives, and the plan that is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import envs
from analysis import collect, costs, estimate
from analysis.memory import memory_mb
from analysis.store import place
from analysis.study import Study
from analysis.study_files import STUDIES, load_study
from tests.analysis.synthetic import make_runs, make_study, study_document

COSTS = """\
family,preset,map,seconds_per_1000_steps,runs,source
mazero,laptop,3m,10.0,5,a
mazero,laptop,8m,20.0,3,a
mazero,matrix,matrix_1,5.0,3,a
qmix,published,3m,1.0,2,a
qmix,low_data,8m,4.0,2,a
vdn,published,8m,2.0,2,a
"""


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "costs.csv"
    path.write_text(COSTS, encoding="utf-8")
    monkeypatch.setattr(estimate, "DATA", path)
    estimate._seconds_per_1000.cache_clear()


@pytest.mark.parametrize(
    ("family", "preset", "name", "seconds"),
    [
        ("mazero", "laptop", "8m", 20.0),  # was run
        ("mazero", "laptop", "27m_vs_30m", (10 * 29 / 5 + 20 * 29 / 10) / 2),  # 3, 8 and 27 agents
        ("mazero", "paper", "3m", 10.0),  # the method with another preset
        ("qmix", "published", "8m", 2.0),  # 8 agents instead of 3
        ("qmix", "low_data", "3m", 2.0),
        ("vdn", "low_data", "8m", 2.0),
        ("iql", "published", "3m", 1.0),  # another baseline with that preset, on that map
        ("ippo", "other", "8m", 3.0),  # any baseline
        ("mazero", "matrix", "matrix_4", 5.0),  # matrix games by matrix games
    ],
)
def test_rates_of_what_was_run_and_of_its_relatives(family: str, preset: str, name: str, seconds: float) -> None:
    assert estimate._seconds_per_1000(family, preset, name) == pytest.approx(seconds)


def test_networks_that_learn_more_slowly_take_longer(tmp_path: Path) -> None:
    document = study_document()
    del document["groups"]["matrix"]
    document["algorithms"]["no_awpo"]["overrides"] = {"network.sharing": "none"}
    study = make_study(tmp_path, document)
    standard, own, *_ = (estimate.run_seconds(study, run) for run in study.runs() if run.seed == 0)
    assert own - estimate.START_SECONDS == pytest.approx(2 * (standard - estimate.START_SECONDS))


def test_the_plan_counts_a_shared_run_once_and_no_finished_one(tmp_path: Path) -> None:
    document = study_document()
    del document["groups"]["matrix"]
    study = make_study(tmp_path, document)
    document |= {"name": "other", "seeds": [0, 1, 2]}
    other = make_study(tmp_path, document)
    first = next(study.runs())
    done = place(study, first, tmp_path / "results" / "toy") / "done.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}", encoding="utf-8")
    pairs = [(s, run) for s in (study, other) for run in s.runs()]
    lines = estimate.plan(pairs, tmp_path / "results", slowness=2.0)
    assert [(line.study, line.runs, line.finished) for line in lines] == [("toy", 6, 1), ("other", 3, 0)]
    # 400 steps: 3 runs of MAZero at 10 s and 2 of QMIX at 1 s a thousand; then 2 and 1. All twice as slow here.
    start = estimate.START_SECONDS
    expected = [5 * start + 0.4 * (3 * 10 + 2), 3 * start + 0.4 * (2 * 10 + 1)]
    assert [line.seconds / 2 for line in lines] == pytest.approx(expected)
    assert [line.memory_mb for line in lines] == [max(memory_mb(s, run) for s, run in pairs)] * 2
    assert [line.longest / 2 for line in lines] == pytest.approx([start + 4.0, start + 4.0])


def test_the_table_for_the_terminal() -> None:
    lines = [estimate.Line("fig3", 300, 10, 36_000.0, 7_200.0, 2000), estimate.Line("matrix", 10, 0, 360.0, 90.0, 700)]
    text = estimate.render(lines, cores=4, slowness=1.25)
    assert text.splitlines()[:4] == [
        "study                     runs  finished  core hours  longest run",
        "fig3                       300        10        10.0        2.0 h",
        "matrix                      10         0         0.1      1.5 min",
        "in all                     310        10        10.1        2.0 h",
    ]
    assert "4 cores: about 2.5 hours, up to 8 GB of memory" in text and "about 1.8 GB of disk, and while" in text
    assert "1.25 times as long here" in text and "(the largest run 2,000 MB; " in text
    # Many cores do not make the longest run shorter.
    assert "500 cores: about 2.0 hours, up to 600 GB" in estimate.render(lines, cores=500, slowness=1.0)


def test_this_machine_is_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over threads that work at once."""
    monkeypatch.setattr(estimate, "fixed_work", lambda: 3 * estimate.FIXED_WORK_SECONDS)
    assert estimate.slowness(2) == pytest.approx(3.0)
    monkeypatch.undo()
    assert 0.05 < estimate.slowness(1) < 50


def test_the_command_names_every_study_that_reproduces_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate.main(["--maps", "8m", "--seeds", "0", "--cores", "2"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]]
    assert names == ["fig10_maps_8m_seeds_0", "fig11_seeds_0", "fig5_maps_8m_seeds_0"]  # fig11 has no other map
    assert estimate.main(["fig33"]) == 2
    assert "error: no study fig33; there are: " in capsys.readouterr().err


def test_sizes_of_maps_are_those_of_the_environments() -> None:
    sizes = pd.read_csv(estimate.SIZES).set_index("map")
    ours = set(envs.BACKENDS) - set(envs.STARCRAFT)  # the others play the same maps
    assert sorted(sizes.index) == sorted(name for backend in ours for name in envs.available(backend))
    for name in sizes.index:
        info = envs.make(name, num_envs=1).info
        assert (info.n_agents, info.n_enemies) == tuple(sizes.loc[name])


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def test_what_runs_took_comes_from_collected_tables(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Synthetic runs take 0.6 s a step of their mark and stop 3 steps after it."""
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    collect.write(collect.collect(study, root), root / "evaluations.csv")
    monkeypatch.setattr(costs, "STUDIES", tmp_path)
    out = tmp_path / "out.csv"
    assert costs.main([str(root / "evaluations.csv"), "--out", str(out)]) == 0
    table = pd.read_csv(out).set_index(["family", "preset", "map"])
    assert table.loc[("mazero", "laptop", "3m"), "seconds_per_1000_steps"] == pytest.approx(240 / 0.403, rel=1e-4)
    assert table.loc[("mazero", "laptop", "3m"), "runs"] == 4  # with its ablation
    assert len(table) == 2 * 3 and "6 settings and maps, 18 runs" in capsys.readouterr().out


def test_what_runs_took_comes_from_tables_of_tried_runs(tmp_path: Path) -> None:
    """A stopped run counts as far as it went; an absolute record has no time."""
    path = tmp_path / "tried.csv"
    path.write_text(
        "name,algorithm,preset,map,seed,kind,env_steps,wall_seconds\n"
        "a,mazero,paper,3m,0,eval,0,1.0\na,mazero,paper,3m,0,eval,2000,40.0\na,mazero,paper,3m,0,eval,4000,100.0\n"
        "a,mazero,paper,3m,0,absolute,4000,\n"
        "b,mazero,paper,3m,0,eval,1000,35.0\n",
        encoding="utf-8",
    )
    (row,) = costs.table([path]).to_dict("records")
    assert (row["family"], row["preset"], row["map"], row["runs"]) == ("mazero", "paper", "3m", 2)
    assert row["seconds_per_1000_steps"] == pytest.approx((25 + 35) / 2)


def test_a_table_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    assert costs.main([str(path), "--out", str(tmp_path / "out.csv")]) == 2
    assert "neither a collected table nor one of analysis.tried" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_the_committed_rates_cover_what_the_studies_run() -> None:
    """Every method and preset of the studies that reproduce the paper has a relative that was run."""
    monkeypatched, estimate.DATA = estimate.DATA, costs.DATA
    try:
        estimate._seconds_per_1000.cache_clear()
        for path in STUDIES.glob("*.yaml"):
            assert all(estimate.run_seconds(study, run) > 0 for study in (load_study(path),) for run in study.runs())
    finally:
        estimate.DATA = monkeypatched
