"""The table as a file: what is written, what is read back, and every refusal word for word."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import collect, expected
from analysis.study import Study, StudyError
from tests.analysis.measured import measured
from tests.analysis.synthetic import Runs, digest, make_runs, make_study, study_document, write_json
from training.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> tuple[pd.DataFrame, Study]:
    frame, study = measured(tmp_path)
    return frame.sort_index(), study


def refusal(path: Path, study: Study) -> str:
    with pytest.raises(StudyError) as caught:
        collect.read(path, study)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_written_and_read_back(data: tuple[pd.DataFrame, Study], tmp_path: Path, kind: str) -> None:
    """Labels are those of the study, units stay texts, and empty ones stay empty."""
    frame, study = data
    path = tmp_path / "new" / "folder" / f"table.{kind}"
    for _ in range(2):
        collect.write(frame.assign(label="old"), path)
    pd.testing.assert_frame_equal(collect.read(path, study), frame)
    pd.testing.assert_frame_equal(collect.read(path, study).dtypes.to_frame(), frame.dtypes.to_frame())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_csv_is_what_a_page_is_tied_to(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    frame, _ = data
    collect.write(frame, tmp_path / "a.csv", tmp_path / "b.parquet")
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert text == collect.as_csv(frame) and "\r" not in text
    head, first, *rest = text.splitlines()
    row = dict(zip(head.split(","), first.split(","), strict=True))
    wanted = {"study": "measured", "backend": "skirmish", "unit_data": "4.10", "seed": "5", "win_rate": "0.0"}
    assert {name: row[name] for name in wanted} == wanted and len(rest) == 53
    assert len(pd.read_parquet(tmp_path / "b.parquet")) == 54


def test_what_made_a_result(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    smac, matrix = study.groups.values()
    assert (collect.unit_data(frame, smac), collect.unit_data(frame, matrix)) == ("4.10", "")
    assert collect.made_by(frame, smac) == "skirmish, unit data 4.10" and collect.made_by(frame, matrix) == "matrix"


def test_tables_that_are_refused(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    frame, study = data
    path = tmp_path / "table.csv"
    assert refusal(path, study) == f"{path}: no such table; make it with `python -m analysis collect`"
    collect.write(frame.drop(columns=["updates", "win_rate"]), path)
    assert refusal(path, study) == f"{path}: columns updates, win_rate are missing; collect the runs again"
    collect.write(frame.drop(columns=["backend", "unit_data"]), path)
    assert refusal(path, study) == f"{path}: columns backend, unit_data are missing; collect the runs again"
    expects, first = "study measured expects 54; first difference", "'smac', 'skirmish', '3m', 'mazero'"
    for changed, rows, example in (
        (frame.iloc[2:], 52, f"[({first}, 5, 0)]"),
        (pd.concat([frame, frame.iloc[[7]]]), 55, "a row given twice"),
        (pd.concat([frame.iloc[:-1], frame.iloc[[7]]]), 54, "[('matrix', 'matrix', 'matrix_2', 'qmix', 2, 200)]"),
        (frame.assign(seed=frame["seed"].replace({2: 1})), 54, "[('matrix', 'matrix', 'matrix_1', 'mazero', 1, 0)]"),
    ):
        collect.write(changed, path)
        assert refusal(path, study) == f"{path}: holds {rows} rows, {expects}: {example}"


def test_unit_data_of_a_group_are_of_one_kind(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    frame, study = data
    path = tmp_path / "table.csv"
    ending = "results of different unit data are never mixed: move the others away and make them again"
    other = frame["group"].eq("smac") & frame["algorithm"].eq("no_awpo") & frame["seed"].eq(2)
    collect.write(frame.assign(unit_data=frame["unit_data"].mask(other, "4.6.2")), path)
    assert refusal(path, study) == (
        f"{path}: group smac must have one kind of unit data, got '4.10' (3m/mazero/seed=5) and '4.6.2' "
        f"(3m/no_awpo/seed=2); {ending}"
    )
    collect.write(frame, path)
    asked = replace(study.groups["smac"], env={"game_version": "4.6.2", "obs_noise": 0.1})
    assert refusal(path, replace(study, groups={**study.groups, "smac": asked})) == (
        f"{path}: group smac must have one kind of unit data, '4.6.2', got '4.10' (3m/mazero/seed=5); {ending}"
    )
    for backend, version in (("skirmish", "4.10"), ("smac", "4.6.2")):  # of StarCraft itself nothing is asked
        group = replace(study.groups["smac"], backend=backend, env={"game_version": version})
        moved = frame.assign(backend=frame["backend"].replace({"skirmish": backend}))
        collect.write(moved, path)
        assert len(collect.read(path, replace(study, groups={**study.groups, "smac": group}))) == 54


def test_a_table_without_unit_data(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    """The simulator's are the old ones, and the column stands beside the backend."""
    frame, study = data
    collect.write(frame.drop(columns="unit_data"), tmp_path / "table.csv")
    read = collect.read(tmp_path / "table.csv", study)
    assert list(read.columns) == list(frame.columns)
    assert dict(zip(read["backend"], read["unit_data"])) == {"skirmish": "Liberty (superseded)", "matrix": ""}


@pytest.fixture
def small(tmp_path: Path) -> tuple[Study, Path]:
    """Four seeds of two algorithms on one matrix game; every number of an evaluation is written without a point."""
    document = study_document() | {"seeds": [3, 0, 1, 2]}
    del document["groups"]["smac"], document["algorithms"]["no_awpo"]
    document["groups"]["matrix"]["maps"] = ["matrix_1"]
    study = make_study(tmp_path, document)
    make_runs(study, tmp_path / "toy", lambda run, mark: int(mark > 0))
    return study, tmp_path / "toy"


def test_rows_of_a_run(small: tuple[Study, Path]) -> None:
    frame = collect.collect(*small)
    assert len(frame) == 8 * 3 and frame["seed"].tolist()[::3] == [3, 0, 1, 2] * 2
    kinds = {name: frame[name].dtype for name in collect.RECORD}
    assert [name for name, kind in kinds.items() if kind == np.int64] == list(collect.INTEGERS)
    floats = {"wall_seconds", "win_rate", "return_mean", "return_std", "length_mean"}
    assert floats <= {name for name, kind in kinds.items() if kind == np.float64}
    texts = {
        name: frame.loc[4, name] for name in ("study", "group", "backend", "unit_data", "map", "algorithm", "label")
    }
    assert texts == {
        "study": "toy",
        "group": "matrix",
        "backend": "matrix",
        "unit_data": "",
        "map": "matrix_1",
        "algorithm": "mazero",
        "label": "MAZero",
    }
    numbers = {"seed": 0, "mark": 100, "env_steps": 103, "updates": 50, "episodes": 10, "wall_seconds": 60.0}
    numbers |= {"num_episodes": 8, "win_rate": 1.0, "return_mean": 20.0, "return_std": 1.0, "length_mean": 25.0}
    assert {name: frame.loc[4, name] for name in numbers} == numbers


def fault(study: Study, root: Path) -> str:
    with pytest.raises(StudyError) as caught:
        collect.collect(study, root)
    return str(caught.value)


def test_missing_runs_are_named_up_to_five(small: tuple[Study, Path]) -> None:
    study, root = small
    paths = [run.path for run in study.runs()]
    for count, path in enumerate(paths[:6], start=1):
        (Runs(study, root) / path / "done.json").unlink()
        names = ", ".join(str(path) for path in paths[: min(count, 5)]) + (", ..." if count > 5 else "")
        assert fault(study, root) == (
            f"{root}: {count} of 8 runs are missing or unfinished: {names}; run the study to its end first"
        )


def change(path: Path, **values: Any) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **values})


def test_what_does_not_fit_is_named_whole(small: tuple[Study, Path]) -> None:
    study, root = small
    run = next(study.runs())
    config, done, metrics = (
        Runs(study, root) / run.path / name for name in ("config.json", "done.json", "metrics.jsonl")
    )
    kept = {path: path.read_bytes() for path in (config, done, metrics)}
    away = "move the run away and make it again"

    def restored() -> None:
        for path, content in kept.items():
            path.write_bytes(content)

    change(config, backend="smac")
    message = f"{config}: backend is 'smac', the study expects 'matrix'; backends are never mixed; {away}"
    assert fault(study, root) == message
    restored()
    change(config, seed=8)
    assert fault(study, root) == f"{config}: seed is 8, the study expects 3; {away}"
    restored()
    change(config, map="matrix_2")
    assert fault(study, root) == f"{config}: map is 'matrix_2', the study expects 'matrix_1'; {away}"
    restored()
    change(done, seed=8)
    assert fault(study, root) == f"{done}: seed is 8, the run's is 3; {away}"
    restored()
    identity = json.loads(kept[done])["identity"]
    change(done, identity="other")
    assert fault(study, root) == f"{done}: identity is 'other', the run's is {identity!r}; {away}"
    restored()
    metrics.write_bytes(kept[metrics] + b"\n" + kept[metrics].splitlines(keepends=True)[0])
    assert fault(study, root).startswith(f"{metrics}:8: not valid JSON (Expecting value)")
    restored()
    lines = kept[metrics].decode().splitlines(keepends=True)
    metrics.write_text("".join([*lines[:-1], lines[0], lines[-1]]), encoding="utf-8")
    assert fault(study, root).startswith(f"{metrics}: not what the run wrote when it ended (its checksum in done.json")
    change(done, metrics_sha256=digest(metrics.parent))
    assert len(collect.collect(study, root)) == 24
    metrics.write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    marks = f"{metrics}: evaluation marks must run from 0 to 200 in steps of 100; differs at "
    assert fault(study, root) == f"{marks}200"  # all there, but in another order
    metrics.write_text("".join(line for line in lines if '"mark": 100' not in line), encoding="utf-8")
    assert fault(study, root) == f"{marks}100"


def test_what_a_program_refuses_is_told_with_the_runs_of_the_study(
    small: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = small

    def refuse(program: str, *arguments: str) -> dict[str, Any]:
        raise UserError(f"{program} dislikes {arguments[0]}")

    runs = list(study.runs())
    records = [expected.record(study, run) for run in runs]
    assert [record["seed"] for record in records] == [3, 0, 1, 2] * 2
    assert [{**record, "seed": None} for record in records[:4]] == [{**records[0], "seed": None}] * 4
    assert records[0]["algorithm"] != records[4]["algorithm"]
    assert [expected.identity(study, run) for run in runs] == [record["identity"] for record in records]
    monkeypatch.setattr(expected, "_record", refuse)
    with pytest.raises(StudyError) as caught:
        expected.record(study, runs[5])
    assert str(caught.value) == "study toy, matrix/matrix_1/qmix: baselines dislikes train"


def test_a_program_is_asked_with_the_arguments_of_the_study(
    small: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 0 for all, so that every seed has one record."""
    study, _ = small
    asked: list[tuple[str, ...]] = []

    def ask(program: str, *arguments: str) -> dict[str, Any]:
        asked.append((program, *arguments))
        return {"identity": "i", "seed": 0, "map": "m"}

    monkeypatch.setattr(expected, "_record", ask)
    run = next(study.runs())
    assert run.seed == 3 and expected.record(study, run) == {"identity": "i", "seed": 3, "map": "m"}
    assert asked == [tuple(study.train_arguments(replace(run, seed=0)))]
