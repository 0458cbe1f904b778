"""Progress of runs in every state, also while their files are being written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from analysis.progress import FINISHED, RUNNING, STALE, STALE_AFTER, WAITING, progress, render
from analysis.study import Study
from tests.analysis.synthetic import Runs, evaluation, make_runs, make_study

NOW = 1_000_000.0


def prepare(tmp_path: Path) -> tuple[Study, Path]:
    study = make_study(tmp_path)
    make_runs(study, tmp_path / "toy", lambda run, mark: 0.5)
    return study, tmp_path / "toy"


def unfinished(directory: Path, *, age: float) -> None:
    """Half of the evaluations, the last line torn, last written `age` seconds before NOW."""
    (directory / "done.json").unlink()
    lines = [json.dumps(evaluation(32, 0, 0.0)), json.dumps(evaluation(32, 100, 0.25)), '{"kind": "tra']
    (directory / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for file in directory.iterdir():
        os.utime(file, (NOW - age, NOW - age))


def test_every_state(tmp_path: Path) -> None:
    study, root = prepare(tmp_path)
    unfinished(Runs(study, root) / "skirmish/3m/mazero/seed=0", age=10)
    unfinished(Runs(study, root) / "skirmish/3m/mazero/seed=1", age=STALE_AFTER + 1)
    shutil.rmtree(Runs(study, root) / "skirmish/3m/qmix/seed=0")
    rows = {row.run.path.as_posix(): row for row in progress(study, root, now=NOW)}
    assert len(rows) == 18
    running = rows["skirmish/3m/mazero/seed=0"]
    assert (running.state, running.env_steps, running.budget, running.win_rate) == (RUNNING, 103, 400, 0.25)
    assert running.wall_seconds == 60
    assert rows["skirmish/3m/mazero/seed=1"].state == STALE
    assert rows["skirmish/3m/qmix/seed=0"].state == WAITING
    finished = rows["matrix/matrix_1/qmix/seed=1"]
    assert (finished.state, finished.env_steps, finished.win_rate) == (FINISHED, 203, 0.5)


def test_table_for_the_terminal(tmp_path: Path) -> None:
    study, root = prepare(tmp_path)
    unfinished(Runs(study, root) / "skirmish/3m/mazero/seed=0", age=10)
    shutil.rmtree(Runs(study, root) / "skirmish/3m/qmix/seed=0")
    lines = render(progress(study, root, now=NOW), study).splitlines()
    assert lines[0].split() == ["map", "algorithm", "seed", "env", "steps", "win", "rate", "wall", "time", "state"]
    assert lines[1].split() == ["3m", "MAZero", "0", "103/400", "0.25", "0:01:00", "running"]
    assert lines[5].split() == ["3m", "QMIX", "0", "0/400", "-", "0:00:00", "waiting"]
    # (103 + 4 * 400 + 12 * 200) / (6 * 400 + 12 * 200)
    assert lines[-1] == "toy: 18 runs, 16 finished, 1 running, 1 waiting; 85% of all environment steps"


def test_study_that_has_not_begun(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert {row.state for row in progress(study, tmp_path / "nowhere", now=NOW)} == {WAITING}
