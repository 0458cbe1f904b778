"""Returns on LunarLander beside Table 9: which rows there are, and what stands in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import report, tables
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_study
from tests.analysis.measured import table
from tests.analysis.synthetic import make_study, study_document


def document() -> dict[str, Any]:
    """Both methods of Table 9, one ablation and one rival that it lacks, on the lander and on a matrix game."""
    it = study_document("lander")
    it["algorithms"]["neither"] = {
        "program": "mazero",
        "label": "without both",
        "overrides": {"loss.awpo": False, "search.os_lambda": False},
    }
    it["groups"]["lander"] = {
        **it["groups"]["smac"],
        "title": "LunarLander",
        "backend": "gymnasium",
        "maps": ["lunar_lander"],
        "env_steps": 600_000,
        "eval_every": 200_000,
        "presets": {"mazero": "lander", "qmix": "published"},
    }
    return it


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path, document())


def returns_of(study: Study) -> pd.DataFrame:
    """Returns are 10 x share of the budget - seed, see `measured.table`."""
    return tables.make("returns", table(study, lambda name, algorithm, seed, mark: mark / 600_000), study)


def test_each_published_return_stands_beside_ours_at_the_nearest_evaluation(study: Study) -> None:
    found = returns_of(study)
    columns = ["label", "steps_here", "return_here", "published_steps", "published_return", "published_spread"]
    rows = [tuple(row) for row in found[columns].itertuples(index=False)]
    assert [(label, *map(pytest.approx, rest)) for label, *rest in rows] == [
        ("MAZero", 200_000, 10 / 3 - 0.5, 250_000, 184.6, 22.8),
        ("MAZero", 400_000, 20 / 3 - 0.5, 500_000, 259.8, 12.9),
        ("MAZero", 600_000, 10 - 0.5, 1_000_000, 276.9, 2.9),  # the end of our budget is nearest
        ("without both", 200_000, 10 / 3 - 0.5, 250_000, 104.0, 87.5),
        ("without both", 400_000, 20 / 3 - 0.5, 500_000, 227.7, 56.3),
        ("without both", 600_000, 10 - 0.5, 1_000_000, 274.1, 3.5),
    ]
    assert (found["return_here_low"] == found["return_here"] - 0.5).all()  # two seeds, one apart
    assert set(found["backend"]) == {"gymnasium"} and set(found["unit_data"]) == {""} and set(found["seeds"]) == {2}


def test_other_settings_than_the_papers_and_other_maps_have_no_row(tmp_path: Path) -> None:
    it = document()
    it["algorithms"]["neither"]["overrides"]["search.rho"] = 0.5
    it["algorithms"]["mazero"]["overrides"] = {"targets.write_back": False}
    assert returns_of(make_study(tmp_path, it)).empty
    del it["groups"]["lander"]
    nothing = returns_of(make_study(tmp_path, it))
    assert nothing.empty and "published_return" in nothing.columns


def test_the_lander_is_no_map_of_another_backend(tmp_path: Path) -> None:
    for backend, maps in (("skirmish", ["lunar_lander"]), ("gymnasium", ["3m"]), ("gymnasium", ["matrix_1"])):
        it = document()
        it["groups"]["lander"] |= {"backend": backend, "maps": maps}
        with pytest.raises(StudyError, match=f"{maps[0]} do not all belong to backend '{backend}'; use one group"):
            make_study(tmp_path, it)


def test_the_study_of_table_9_has_both_of_its_methods_and_a_support_for_the_returns() -> None:
    study = load_study(STUDIES / "table9.yaml")
    found = returns_of(study)
    assert found.groupby("label")["published_steps"].count().to_dict() == {"MAZero": 3, "without both": 3}
    for run in study.runs():
        assert study.overrides(run)["network.support"] == 20


def test_a_page_says_what_a_win_is_and_what_to_compare(study: Study) -> None:
    said = report._protocol(study.groups["lander"], study, "")
    assert "on backend `gymnasium`: lunar_lander;" in said
    assert said.endswith(
        "A win is a return of at least 200, from where Gymnasium calls the task solved; compare the returns."
    )
    assert "A win is" not in report._protocol(study.groups["matrix"], study, "")
