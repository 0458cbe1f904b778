"""The exchange format of marl-eval: every run, every step, its absolute metrics, names that it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import collect, export
from analysis.__main__ import main
from analysis.study import Study
from tests.analysis.synthetic import make_runs, make_study, study_document


@pytest.fixture
def data(tmp_path: Path) -> tuple[pd.DataFrame, Study, Path]:
    document = study_document()
    document["algorithms"]["no_awpo"]["label"] = "K 5, N 50"
    study, root = make_study(tmp_path, document), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: mark / 400 * (1 - 0.5 * run.seed))
    return collect.collect(study, root), study, root


def test_every_run_and_step_is_there(data: tuple[pd.DataFrame, Study, Path]) -> None:
    frame, study, _ = data
    (environment, tasks), = export.document(frame, study, study.groups["smac"]).items()  # fmt: skip
    assert environment == "skirmish, unit data 4.10" and [*tasks] == ["3m"]
    assert [*tasks["3m"]] == ["MAZero", "K 5; N 50", "QMIX"]  # a comma would be refused
    run = tasks["3m"]["QMIX"]["seed_1"]
    assert [*run] == [*(f"step_{number}" for number in range(5)), "absolute_metrics"]
    assert run["step_2"] == {"step_count": 200, "win_rate": [0.25], "return": [5.0]}
    assert run["absolute_metrics"] == {"win_rate": [0.25], "return": [5.0]}  # half of the best
    games = export.document(frame, study, study.groups["matrix"])["matrix"]
    assert {name: {key: [*runs] for key, runs in task.items()} for name, task in games.items()} == {
        name: {key: ["seed_0", "seed_1"] for key in ("MAZero", "K 5; N 50", "QMIX")}
        for name in ("matrix_1", "matrix_2")
    }


def test_the_command_writes_a_file_a_group(data: tuple[pd.DataFrame, Study, Path], tmp_path: Path) -> None:
    frame, study, root = data
    collect.write(frame, root / "evaluations.csv")
    assert main(["export", str(root), "--study", str(tmp_path / "toy.yaml")]) == 0
    for key, group in study.groups.items():
        found: dict[str, Any] = json.loads((root / "marl_eval" / f"{key}.json").read_text(encoding="utf-8"))
        assert found == export.document(frame, study, group)


def test_a_table_without_absolute_metrics_is_exported_without(data: tuple[pd.DataFrame, Study, Path]) -> None:
    frame, study, _ = data
    old = frame.assign(**dict.fromkeys(collect.ABSOLUTE, np.nan))
    run = export.document(old, study, study.groups["matrix"])["matrix"]["matrix_1"]["MAZero"]["seed_0"]
    assert [*run] == ["step_0", "step_1", "step_2"]
