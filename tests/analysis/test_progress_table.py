"""A study while it runs: the state of every run, from whatever its files say so far, and the table for the terminal."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.progress import STALE_AFTER, RunProgress, progress, render
from analysis.store import place
from analysis.study import Run, Study
from tests.analysis.synthetic import make_study, study_document, write_json

NOW = 1_000_000.0
METRICS = """\
{"kind": "run", "identity": "x", "seed": 0}
{"kind": "eval", "env_steps": 0, "wall_seconds": 1.5, "win_rate": 0.25}
{"kind": "eval", "env_steps": 100, "wall_seconds": 30.5, "win_rate": 0.5}
[1, 2]
torn { line
{"kind": "train", "env_steps": 150, "wall_seconds": 40.5, "win_rate": 0.75}
{"kind": "note"}
{"kind": "tra"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Three algorithms and two seeds of one map, 400 steps."""
    document = study_document()
    del document["groups"]["matrix"]
    document["algorithms"]["no_awpo"]["label"] = "a label that is long"
    return make_study(tmp_path, document)


def write(directory: Path, name: str, text: str, *, age: float = 0) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text, encoding="utf-8")
    os.utime(directory / name, (NOW - age, NOW - age))


def rows(study: Study, root: Path) -> list[tuple[Any, ...]]:
    found = progress(study, root, now=NOW)
    assert [row.run for row in found] == list(study.runs()) and {row.budget for row in found} == {400}
    return [(row.state, row.env_steps, row.win_rate, row.wall_seconds) for row in found]


def test_every_state(study: Study, tmp_path: Path) -> None:
    """The youngest of the three files that a run writes to decides whether it still moves."""
    root = tmp_path / "toy"
    places = [place(study, run, root) for run in study.runs()]
    write_json_of = {"env_steps": 403, "wall_seconds": 99.5, "final": {"win_rate": 0.125}}
    places[0].mkdir(parents=True)
    write_json(places[0] / "done.json", write_json_of)
    write(places[1], "metrics.jsonl", METRICS, age=STALE_AFTER - 1)
    write(places[2], "metrics.jsonl", METRICS, age=STALE_AFTER)
    write(places[2], "config.json", "{}", age=STALE_AFTER + 5)
    write(places[3], "config.json", "{}", age=10)
    write(places[4], "metrics.jsonl", METRICS, age=STALE_AFTER + 1)
    write(places[4], "checkpoint.pt", "", age=1)
    write(places[5], "other.txt", "")
    assert rows(study, root) == [
        ("finished", 403, 0.125, 99.5),
        ("running", 150, 0.5, 40.5),
        ("stale", 150, 0.5, 40.5),
        ("running", 0, None, 0.0),
        ("running", 150, 0.5, 40.5),
        ("waiting", 0, None, 0.0),
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_summary_that_is_being_written_is_none(study: Study, tmp_path: Path, text: str) -> None:
    directory = place(study, next(study.runs()), tmp_path / "toy")
    write(directory, "done.json", text)
    write(directory, "metrics.jsonl", METRICS)
    assert rows(study, tmp_path / "toy")[0] == ("running", 150, 0.5, 40.5)


@pytest.mark.parametrize("final", [{}, {"final": None}, {"final": {}}])
def test_a_finished_run_without_a_last_evaluation(study: Study, tmp_path: Path, final: dict[str, Any]) -> None:
    directory = place(study, next(study.runs()), tmp_path / "toy")
    directory.mkdir(parents=True)
    write_json(directory / "done.json", {"env_steps": 3, "wall_seconds": 2, **final})
    assert rows(study, tmp_path / "toy")[0] == ("finished", 3, None, 2.0)


def test_the_clock_says_what_is_stale(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place(study, next(study.runs()), tmp_path / "toy"), "config.json", "{}")
    for passed, state in ((1, "running"), (STALE_AFTER + 1, "stale")):
        monkeypatch.setattr(time, "time", lambda passed=passed: NOW + passed)
        assert progress(study, tmp_path / "toy")[0].state == state


def test_table(study: Study) -> None:
    """Two columns at the left, numbers at the right; steps beyond the budget do not count for the share."""
    found = [
        RunProgress(Run("smac", "skirmish", "3m", "mazero", 0), "finished", 450, 400, 0.125, 36_061.4),
        RunProgress(Run("smac", "skirmish", "3m", "no_awpo", 11), "running", 1000, 20_000, None, 59.6),
        RunProgress(Run("smac", "skirmish", "10m_vs_11m", "qmix", 2), "stale", 0, 400, 1.0, 0.0),
    ]
    assert render(found, study) == (
        "map         algorithm             seed     env steps  win rate  wall time  state\n"
        "3m          MAZero                   0       450/400      0.12   10:01:01  finished\n"
        "3m          a label that is long    11  1,000/20,000         -    0:01:00  running\n"
        "10m_vs_11m  QMIX                     2         0/400      1.00    0:00:00  stale\n"
        "toy: 3 runs, 1 finished, 1 running, 1 stale; 7% of all environment steps\n"
    )
    waiting = replace(found[0], state="waiting", env_steps=0)
    assert render([waiting, waiting], study).splitlines()[-1] == "toy: 2 runs, 2 waiting; 0% of all environment steps"
