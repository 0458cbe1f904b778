"""Tables by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import collect, tables
from analysis.study import TABLES, Study
from tests.analysis.synthetic import make_runs, make_study, study_document
from tests.analysis.test_figures import win_rate


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    directory = tmp_path_factory.mktemp("tables")
    study = make_study(directory)
    make_runs(study, directory / "toy", win_rate)
    return collect.collect(study, directory / "toy"), study


def row(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_runs(data: tuple[pd.DataFrame, Study]) -> None:
    table = tables.runs(*data)
    assert len(table) == 18
    one = row(table, map="3m", algorithm="mazero", seed=1)
    assert one["final_win_rate"] == 0.75 and one["final_return"] == 15
    assert one["late_win_rate"] == pytest.approx(0.65625)  # marks 300 and 400, on the way from 0 to 0.75
    assert (one["absolute_win_rate"], one["absolute_return"], one["best_mark"]) == (0.375, 7.5, 400)
    assert one["area_under_curve"] == pytest.approx(0.375)  # a straight line from 0 to 0.75
    assert (one["env_steps"], one["updates"], one["episodes"]) == (403, 200, 40)
    assert one["wall_minutes"] == pytest.approx(4.0)  # 0.6 s a step


def test_final(data: tuple[pd.DataFrame, Study]) -> None:
    table = tables.final(*data)
    assert len(table) == 9
    one = row(table, map="3m", algorithm="mazero")
    assert [one[f"final_win_rate{part}"] for part in ("_low", "", "_high")] == [0.75, 0.875, 1.0]
    assert [one[f"late_win_rate{part}"] for part in ("_low", "", "_high")] == pytest.approx([0.65625, 0.765625, 0.875])
    assert [one[f"area_under_curve{part}"] for part in ("_low", "", "_high")] == pytest.approx([0.375, 0.4375, 0.5])
    assert [one[f"absolute_win_rate{part}"] for part in ("_low", "", "_high")] == [0.375, 0.4375, 0.5]
    assert (one["seeds"], one["eval_episodes"], one["backend"]) == (2, 32, "skirmish")
    assert one["solved"] == 0.5  # seed 0 ends at 1.0
    assert one["wall_minutes_per_run"] == pytest.approx(4.0)
    assert row(table, map="matrix_1", algorithm="mazero")["solved"] == 1.0
    assert row(table, map="matrix_2", algorithm="mazero")["solved"] == 0.5
    assert row(table, map="matrix_1", algorithm="qmix")["solved"] == 0.0


def test_search_stands_beside_table_8(data: tuple[pd.DataFrame, Study]) -> None:
    """Without search a quarter is won; QMIX has no search, and an ablation no published figure."""
    table = tables.search(*data)
    assert set(table["algorithm"]) == {"mazero", "no_awpo"} and len(table) == 6
    one = row(table, map="3m", algorithm="mazero")
    assert [one[f"with_search{part}"] for part in ("_low", "", "_high")] == [0.75, 0.875, 1.0]
    assert [one[f"without_search{part}"] for part in ("_low", "", "_high")] == [0.1875, 0.21875, 0.25]
    assert (one["published_with_search"], one["published_without_search"], one["published_steps"]) == (
        0.985,
        0.936,
        50000,
    )
    rest = table[(table["map"] != "3m") | (table["algorithm"] != "mazero")]
    assert rest[["published_with_search", "published_steps"]].isna().all(axis=None)
    frame, study = data
    old = frame.assign(policy_win_rate=np.nan)  # a table from before it was recorded
    assert tables.search(old, study).empty and [*tables.search(old, study).columns] == [*table.columns]


def test_aggregate(data: tuple[pd.DataFrame, Study]) -> None:
    one = row(tables.aggregate(*data), group="matrix", algorithm="mazero")
    assert (one["runs"], one["maps"]) == (4, 2)
    assert (one["iqm"], one["mean"], one["median"], one["optimality_gap"]) == (1.0, 0.75, 0.75, 0.25)
    assert (one["mean_low"], one["mean_high"]) == (0.5, 1.0)  # matrix_2 is resampled, matrix_1 always 1
    assert one["area_under_curve_iqm"] == pytest.approx(0.75)
    assert one["absolute_iqm"] == 0.5  # half of 0, 1, 1 and 1 without the least and the largest


def test_tables_of_runs_older_than_the_absolute_metric_leave_it_out(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    old = frame.assign(**dict.fromkeys(collect.ABSOLUTE, np.nan))
    for name, column in (("runs", "absolute_win_rate"), ("final", "absolute_win_rate"), ("aggregate", "absolute_iqm")):
        table = tables.make(name, old, study)
        assert table[column].isna().all()
        without, whole = (t.drop(columns=[c for c in t if "absolute" in c or c == "best_mark"])
                          for t in (table, tables.make(name, frame, study)))  # fmt: skip
        pd.testing.assert_frame_equal(without, whole)


def test_improvement(data: tuple[pd.DataFrame, Study]) -> None:
    table = tables.improvement(*data)
    assert table["algorithm"].tolist() == ["no_awpo", "qmix", "no_awpo", "qmix"]
    one = row(table, group="matrix", algorithm="qmix")
    assert one["by_final_win_rate"] == 0.875 and one["reference"] == "MAZero"
    # 3m: 1.0 and 0.75 against 0.5 and 0.375
    assert row(table, group="smac", algorithm="no_awpo")["by_final_win_rate"] == 1.0


def test_steps_to(data: tuple[pd.DataFrame, Study]) -> None:
    table = tables.steps_to(*data)
    one = row(table, map="3m", algorithm="mazero", win_rate=0.5)
    assert (one["reached"], one["median_steps"], one["fastest"], one["slowest"]) == (2, 250, 200, 300)
    assert one["median_hours"] == pytest.approx(0.6 * 250 / 3600)
    most = row(table, map="3m", algorithm="mazero", win_rate=0.8)
    assert (most["reached"], most["fastest"]) == (1, 400) and np.isnan(most["median_steps"])
    half = row(table, map="3m", algorithm="no_awpo", win_rate=0.5)
    assert (half["reached"], half["fastest"]) == (1, 400) and np.isnan(half["median_hours"])
    never = row(table, map="3m", algorithm="qmix", win_rate=0.5)
    assert never["reached"] == 0 and np.isnan(never["fastest"])


def test_published(data: tuple[pd.DataFrame, Study]) -> None:
    table = tables.published(*data)
    assert set(table["algorithm"]) == {"mazero", "qmix"}  # nobody published our ablations
    assert set(table["map"]) == {"3m"}  # nor matrix games as win rates
    low_data = row(table, algorithm="qmix", source="MATWM, arXiv 2506.18537")
    assert (low_data["published_win_rate"], low_data["published_steps"], low_data["published_seeds"]) == (
        0.61,
        5e4,
        "4",
    )
    assert low_data["steps_here"] == 400  # the end of our budget is nearest
    final = row(tables.final(*data), map="3m", algorithm="qmix")
    assert low_data["win_rate_here"] == final["final_win_rate"] and low_data["confidence"] == "verified text"


def test_published_figures_within_our_budget_meet_the_nearest_evaluation(tmp_path: Path) -> None:
    document = study_document("wide")
    document["groups"]["smac"] |= {"maps": ["2s3z"], "env_steps": 200_000, "eval_every": 20_000}
    study = make_study(tmp_path, document)
    make_runs(study, tmp_path / "wide", lambda run, mark: min(1.0, mark / 80_000))
    table = tables.published(collect.collect(study, tmp_path / "wide"), study)
    low_data = row(table, algorithm="qmix", source="MATWM, arXiv 2506.18537")
    assert (low_data["published_steps"], low_data["steps_here"], low_data["win_rate_here"]) == (5e4, 40_000, 0.5)
    at_the_end = table[table["published_steps"].isna()]
    assert len(at_the_end) and (at_the_end["steps_here"] == 200_000).all()


def test_files(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    written = tables.write_all(*data, tmp_path)
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")
    )
    assert (
        pd.read_csv(tmp_path / "final.csv")["final_win_rate"].tolist() == tables.final(*data)["final_win_rate"].tolist()
    )
    page = (tmp_path / "final.md").read_text(encoding="utf-8").splitlines()
    assert page[0].startswith(
        "| group | backend | unit data | map | algorithm | seeds | eval episodes | final win rate | late win rate | "
        "absolute win rate | "
    )
    assert page[2].startswith(
        "| smac | skirmish | 4.10 | 3m | MAZero | 2 | 32 | 0.88 [0.75, 1.00] | 0.77 [0.66, 0.88] | 0.44 [0.38, 0.50] |"
    )
    assert "| QMIX | 0.50 | 2 | 0 | - | - | - |" in (tmp_path / "steps_to.md").read_text(encoding="utf-8")


def test_markdown_escapes_and_shortens() -> None:
    table = pd.DataFrame({"label": ["a|b"], "x": [12345.678], "n": [7]})
    assert tables.markdown(table) == "| algorithm | x | n |\n| --- | --- | --- |\n| a\\|b | 12,346 | 7 |\n"


def test_unit_data_stand_beside_the_backend(data: tuple[pd.DataFrame, Study]) -> None:
    for name in TABLES:
        table = tables.make(name, *data)
        assert list(table.columns[1:3]) == ["backend", "unit_data"], name
        assert set(table.loc[table["backend"] == "skirmish", "unit_data"]) <= {"4.10"}
        assert set(table.loc[table["backend"] == "matrix", "unit_data"]) <= {""}
    frame, study = data
    without = frame.assign(unit_data="")
    assert "unit_data" not in tables.make("final", without, study).columns
