"""Run directories -> table: what comes out, and everything that is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import collect, expected, tables
from analysis.study import Study, StudyError
from tests.analysis.synthetic import Runs, evaluation, make_runs, make_study, study_document
from training import identity

RUN = "skirmish/3m/no_awpo/seed=1"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


@pytest.fixture
def root(tmp_path: Path, study: Study) -> Path:
    directory = tmp_path / "results" / "toy"
    make_runs(study, directory, lambda run, mark: (mark / 400) * (1 - 0.1 * run.seed))
    return directory


def test_table_holds_every_evaluation(study: Study, root: Path) -> None:
    frame = collect.collect(study, root)
    assert list(frame.columns) == list(collect.COLUMNS)
    assert len(frame) == 6 * 5 + 12 * 3  # runs x marks: 3m has 0..400 by 100, the matrix games 0..200 by 100
    row = frame[
        (frame["map"] == "3m") & (frame["algorithm"] == "no_awpo") & (frame["seed"] == 1) & (frame["mark"] == 200)
    ].iloc[0]
    assert row.to_dict() == {
        "study": "toy",
        "group": "smac",
        "backend": "skirmish",
        "unit_data": "4.10",
        "map": "3m",
        "algorithm": "no_awpo",
        "label": "without AWPO",
        "preset": "laptop",
        "seed": 1,
        "mark": 200,
        "env_steps": 203,
        "updates": 100,
        "episodes": 20,
        "wall_seconds": 120.0,
        "num_episodes": 32,
        "win_rate": pytest.approx(0.45),
        "return_mean": pytest.approx(9.0),
        "return_std": 1.0,
        "length_mean": 25.0,
        "best_mark": 400,
        "absolute_episodes": 320,
        "absolute_win_rate": 0.45,
        "absolute_return_mean": 9.0,
        "policy_win_rate": pytest.approx(0.45 / 4),
        # No job of Snakemake's ended these runs.
        **{
            name: pytest.approx(math.nan, nan_ok=True)
            for name in ("job_wall_seconds", "job_cpu_seconds", "job_memory_mb")
        },
    }
    assert frame.loc[frame["algorithm"] == "qmix", "policy_win_rate"].isna().all()  # plays in one way only


def test_csv_and_parquet_read_back_the_same(study: Study, root: Path) -> None:
    frame = collect.collect(study, root)
    collect.write(frame, root / "evaluations.csv", root / "evaluations.parquet")
    for name in ("evaluations.csv", "evaluations.parquet"):
        pd.testing.assert_frame_equal(collect.read(root / name, study), frame)
    assert not list(root.glob(".*.tmp"))


def test_labels_follow_the_study_file(study: Study, root: Path, tmp_path: Path) -> None:
    collect.write(collect.collect(study, root), root / "evaluations.csv")
    document = study_document()
    document["algorithms"]["mazero"]["label"] = "Ours"
    frame = collect.read(root / "evaluations.csv", make_study(tmp_path, document))
    assert set(frame.loc[frame["algorithm"] == "mazero", "label"]) == {"Ours"}


def test_score_array_puts_seeds_maps_and_marks_in_their_places(study: Study, root: Path) -> None:
    frame = collect.collect(study, root).sample(frac=1, random_state=0)  # the order of rows does not matter
    scores = collect.score_array(frame, study, study.groups["matrix"], algorithm="qmix")
    assert scores.shape == (2, 2, 3)
    assert scores[1, 0] == pytest.approx(np.array([0, 100, 200]) / 400 * 0.9)


def test_runs_with_environment_options_are_held_against_the_study(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["env"] = {"obs_noise": 0.1}
    study, root = make_study(tmp_path, document), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    assert len(collect.collect(study, root)) == 6 * 5 + 12 * 3
    set_config(Runs(study, root), env={"obs_noise": 0.2})
    with pytest.raises(StudyError, match=r"env\.obs_noise is 0\.2, the study expects 0\.1"):
        collect.collect(study, root)


def rewrite(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)), encoding="utf-8")


def set_config(root: Runs, **changes: Any) -> None:
    path = root / RUN / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def append(root: Runs, text: str) -> None:
    with open(root / RUN / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(text)


def set_setting(root: Runs, section: str, name: str, value: Any) -> None:
    path = root / RUN / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["config"][section][name] = value
    path.write_text(json.dumps(config), encoding="utf-8")


def copy_run(root: Runs, other: str, *names: str) -> None:
    """Put another run's files, all of them if none are named, into the place of RUN."""
    for name in names or ("config.json", "metrics.jsonl", "done.json", "provenance.json"):
        shutil.copy(root / other / name, root / RUN / name)


def edit(root: Runs, old: str, new: str) -> None:
    path = root / RUN / "metrics.jsonl"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8", errors="surrogateescape")


FAULTS: list[tuple[Callable[[Runs], object], str]] = [
    (
        lambda root: (root / RUN / "done.json").unlink(),
        f"1 of 18 runs are missing or unfinished: {RUN}; run the study to its end",
    ),
    (lambda root: shutil.rmtree((root / RUN).parents[3] / "matrix"), "12 of 18 runs are missing or unfinished"),
    (lambda root: (root / RUN / "config.json").unlink(), "seed=1/config.json: missing"),
    (lambda root: (root / RUN / "metrics.jsonl").unlink(), "seed=1/metrics.jsonl: missing"),
    (
        lambda root: set_config(root, backend="smac"),
        "backend is 'smac', the study expects 'skirmish'; backends are never mixed",
    ),
    (lambda root: set_config(root, seed=0), "seed is 0, the study expects 1"),
    (lambda root: set_config(root, env={"obs_noise": 0.1}), "env.obs_noise is 0.1, the study expects 'absent'"),
    (lambda root: set_config(root, budget={"env_steps": 800}), "budget.env_steps is 800, the study expects 400"),
    (lambda root: set_config(root, device="cuda"), "device is 'cuda', the study expects 'cpu'"),
    (lambda root: set_setting(root, "optimiser", "learning_rate", 7e-4), "config.optimiser.learning_rate is 0.0007, "),
    (lambda root: set_setting(root, "loss", "awpo", True), "config.loss.awpo is True, the study expects False"),
    (lambda root: set_config(root, config={}), "is 'absent', the study expects"),
    (lambda root: copy_run(root, "skirmish/3m/mazero/seed=1"), "config.loss.awpo is True, the study expects False"),
    (lambda root: copy_run(root, "skirmish/3m/no_awpo/seed=0"), "seed is 0, the study expects 1"),
    (lambda root: copy_run(root, "skirmish/3m/mazero/seed=1", "done.json"), "done.json: identity is"),
    (lambda root: copy_run(root, "skirmish/3m/no_awpo/seed=0", "done.json"), "done.json: seed is 0, the run's is 1"),
    (
        lambda root: copy_run(root, "skirmish/3m/no_awpo/seed=0", "metrics.jsonl"),
        "metrics.jsonl: not what the run wrote",
    ),
    (lambda root: (root / RUN / "done.json").write_text(""), "done.json:1: not valid JSON"),
    (lambda root: (root / RUN / "done.json").write_text("{}"), "done.json: identity is None"),
    (lambda root: edit(root, '"win_rate": 0.9', '"win_rate": 0.8'), "metrics.jsonl: not what the run wrote"),
    (lambda root: edit(root, '"win_rate": 0.9', '"win_rate": NaN'), "metrics.jsonl:10: eval record field 'win_rate'"),
    (lambda root: edit(root, '"win_rate": 0.9', '"win_rate": 1.9'), "must lie in 0..1, got 1.9"),
    (lambda root: edit(root, '"mark": 100', '"mark": 100.5'), "field 'mark' must be a finite int, got 100.5"),
    (
        lambda root: (root / RUN / "done.json").write_bytes(b'{"seed": "\xff"}'),
        "done.json: not valid JSON ('utf-8' codec",
    ),
    (lambda root: (root / RUN / "done.json").write_text("[" * 100_000), "done.json: not valid JSON (maximum recursion"),
    (lambda root: append(root, "[" * 100_000), "metrics.jsonl:12: not valid JSON (maximum recursion"),
    (lambda root: edit(root, '"extra"', '"\udcff"'), "metrics.jsonl:2: not valid JSON ('utf-8' codec"),
    (lambda root: (root / RUN / "config.json").write_text("{"), "config.json:1: not valid JSON"),
    (lambda root: (root / RUN / "config.json").write_text("[]"), "expected one JSON object, got list"),
    (lambda root: append(root, '{"kind": "ev'), "metrics.jsonl:12: not valid JSON"),
    (lambda root: append(root, "[1]\n"), "metrics.jsonl:12: expected a JSON object with a `kind`"),
    (
        lambda root: append(root, json.dumps(evaluation(32, 400, 1.0))),
        "metrics.jsonl:12: mark 400 was already on line 10",
    ),
    (
        lambda root: append(root, json.dumps(evaluation(32, 500, 1.0))),
        "must run from 0 to 400 in steps of 100; differs at 500",
    ),
    (
        lambda root: append(root, '{"kind": "eval", "mark": 500}'),
        "metrics.jsonl:12: eval record lacks 'env_steps'",
    ),
    (lambda root: rewrite(root / RUN / "metrics.jsonl", lambda lines: lines[:5] + lines[7:]), "differs at 200"),
    (
        lambda root: rewrite(
            root / RUN / "metrics.jsonl", lambda lines: [lines[0], lines[1] | {"num_episodes": 8}, *lines[2:]]
        ),
        "mark 0 has 8 episodes, the study asks for 32",
    ),
    (
        lambda root: rewrite(root / RUN / "metrics.jsonl", lambda lines: lines[:-1]),
        "must end with an absolute record of one of the marks with 10 x 32 episodes, got {'mark': None, ",
    ),
    (
        lambda root: rewrite(root / RUN / "metrics.jsonl", lambda lines: [*lines[:-1], lines[-1] | {"mark": 350}]),
        "got {'mark': 350, 'num_episodes': 320}",
    ),
    (
        lambda root: rewrite(
            root / RUN / "metrics.jsonl", lambda lines: [*lines[:-1], lines[-1] | {"num_episodes": 32}]
        ),
        "got {'mark': 400, 'num_episodes': 32}",
    ),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_fault_is_named(study: Study, root: Path, fault: Callable[[Runs], object], message: str) -> None:
    fault(Runs(study, root))
    with pytest.raises(StudyError) as caught:
        collect.collect(study, root)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_incomplete_table_is_refused(study: Study, root: Path) -> None:
    frame = collect.collect(study, root)
    collect.write(frame.iloc[1:], root / "evaluations.csv")
    with pytest.raises(
        StudyError, match=r"holds 65 rows, study toy expects 66; first difference: .*'3m', 'mazero', 0, 0"
    ):
        collect.read(root / "evaluations.csv", study)
    collect.write(pd.concat([frame, frame.iloc[:1]]), root / "evaluations.csv")
    with pytest.raises(StudyError, match="holds 67 rows, study toy expects 66; first difference: a row given twice"):
        collect.read(root / "evaluations.csv", study)
    collect.write(frame.drop(columns="updates"), root / "evaluations.csv")
    with pytest.raises(StudyError, match="columns updates are missing"):
        collect.read(root / "evaluations.csv", study)
    with pytest.raises(StudyError, match="no such table"):
        collect.read(root / "nothing.csv", study)


def change_config(root: Runs, run: str, **values: Any) -> None:
    """Set, or with None remove, keys of a run's config.json."""
    path = root / run / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize("other", ["4.6.2", None])
def test_unit_data_are_never_mixed_in_a_group(study: Study, root: Path, other: str | None) -> None:
    change_config(Runs(study, root), RUN, unit_data=other)
    with pytest.raises(StudyError, match=f"unit_data is {other or 'absent'!r}, the study expects '4.10'"):
        collect.collect(study, root)


def test_a_study_that_names_a_game_version_gets_no_other(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["env"] = {"game_version": "4.6.2"}
    study = make_study(tmp_path, document)
    make_runs(study, tmp_path / "toy", lambda run, mark: 0.0)
    assert collect.made_by(collect.collect(study, tmp_path / "toy"), study.groups["smac"]).endswith("unit data 4.6.2")
    for run in study.runs():
        if run.backend == "skirmish":
            change_config(Runs(study, tmp_path / "toy"), run.path.as_posix(), unit_data="4.10")
    with pytest.raises(StudyError, match=r"unit_data is '4\.10', the study expects '4\.6\.2'"):
        collect.collect(study, tmp_path / "toy")


@pytest.mark.parametrize("written", ["3e-3", "3E-3", "0.003", 3e-3, 0.003])
def test_a_number_is_one_number_however_it_is_written(study: Study, tmp_path: Path, written: Any) -> None:
    """What the study trains with it is what it accepts, and the same configuration as with any other spelling."""
    document = study_document()
    document["algorithms"]["mazero"]["overrides"] = {"optimiser.learning_rate": written}
    other, root = make_study(tmp_path, document), tmp_path / "results" / "spelled"
    make_runs(other, root, lambda run, mark: 0.5)
    assert len(collect.collect(other, root)) == 6 * 5 + 12 * 3
    run = next(run for run in other.runs() if run.algorithm == "mazero")
    document["algorithms"]["mazero"]["overrides"] = {"optimiser.learning_rate": 0.003}
    assert expected.identity(other, run) == expected.identity(make_study(tmp_path, document), run)
    assert expected.identity(other, run) != expected.identity(study, run)


def test_runs_of_a_preset_that_was_edited_since_are_missing(
    study: Study, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = expected._record

    def edited(program: str, *arguments: str) -> dict[str, Any]:
        record = json.loads(json.dumps(known(program, *arguments)))
        if program == "baselines":
            record["config"]["learning"]["learning_rate"] *= 2
        return {**record, "identity": identity.identity(record)}

    collect.collect(study, root)
    monkeypatch.setattr(expected, "_record", edited)
    with pytest.raises(StudyError, match="6 of 18 runs are missing or unfinished: skirmish/3m/qmix/seed=0, "):
        collect.collect(study, root)


def test_what_a_program_would_refuse_is_refused_with_the_study(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["presets"]["mazero"] = "labtop"
    study = make_study(tmp_path, document)
    with pytest.raises(StudyError, match=r"study toy, skirmish/3m/mazero: unknown preset 'labtop': did you mean"):
        expected.record(study, next(study.runs()))


def test_a_table_older_than_the_absolute_metric_has_none(study: Study, root: Path) -> None:
    frame = collect.collect(study, root)
    younger = [*collect.ABSOLUTE, collect.BARE]
    collect.write(frame.drop(columns=younger), root / "old.csv")
    old = collect.read(root / "old.csv", study)
    assert {*old.columns} == {*collect.COLUMNS} and old[younger].isna().all(axis=None)
    pd.testing.assert_frame_equal(old[list(collect.COLUMNS[:19])], frame[list(collect.COLUMNS[:19])])


def twice(document: dict[str, Any]) -> dict[str, Any]:
    """The study with QMIX once more, on the SMAC group alone, with a preset of its own."""
    own = {"program": "baselines", "algorithm": "qmix", "label": "QMIX (low data)", "preset": "low_data"}
    document["algorithms"]["qmix_low_data"] = own
    document["groups"]["matrix"]["algorithms"] = ["mazero", "no_awpo", "qmix"]
    return document


def test_the_preset_of_every_run_stands_in_the_table(tmp_path: Path) -> None:
    study, root = make_study(tmp_path, twice(study_document())), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    frame = collect.collect(study, root)
    found = frame[["group", "algorithm", "preset"]].drop_duplicates().itertuples(index=False, name=None)
    assert sorted(found) == [
        *(("matrix", key, "matrix") for key in ("mazero", "no_awpo", "qmix")),
        *(("smac", key, "laptop") for key in ("mazero", "no_awpo")),
        ("smac", "qmix", "published"),
        ("smac", "qmix_low_data", "low_data"),
    ]
    collect.write(frame.drop(columns="preset"), root / "old.csv")
    pd.testing.assert_frame_equal(collect.read(root / "old.csv", study), frame)
    # The two are told apart by what their presets say, not by their keys.
    runs = Runs(study, root)
    published, low_data = runs / "skirmish/3m/qmix/seed=0", runs / "skirmish/3m/qmix_low_data/seed=0"
    shutil.copy(published / "config.json", low_data / "config.json")
    with pytest.raises(StudyError, match=r"seed=0/config\.json: config\.\S+ is .*, the study expects "):
        collect.collect(study, root)


def test_a_group_with_seeds_of_its_own(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["matrix"]["seeds"] = [7, 3, 0]
    study, root = make_study(tmp_path, document), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: run.seed / 10)
    frame = collect.collect(study, root)
    assert len(frame) == 6 * 5 + 18 * 3
    seven_three_zero = collect.score_array(frame, study, study.groups["matrix"], algorithm="qmix")[:, 1, 2]
    assert seven_three_zero.tolist() == [0.7, 0.3, 0.0]
    assert collect.score_array(frame, study, study.groups["smac"], algorithm="qmix").shape == (2, 1, 5)
    shutil.rmtree(Runs(study, root) / "matrix/matrix_2/qmix/seed=7")
    with pytest.raises(StudyError, match="1 of 24 runs are missing or unfinished: matrix/matrix_2/qmix/seed=7"):
        collect.collect(study, root)


def test_one_map_in_two_groups_is_two_environments(tmp_path: Path) -> None:
    """Told apart by their options: nothing of one group is counted in the other."""
    document = study_document()
    document["groups"]["noisy"] = {**document["groups"]["smac"], "title": "Noise", "env": {"obs_noise": 0.1}}
    study, root = make_study(tmp_path, document), tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.25 if run.group == "noisy" else 0.75)
    frame = collect.collect(study, root)
    assert len(frame) == 6 * 5 + 12 * 3 + 6 * 5
    for key, win_rate in (("noisy", 0.25), ("smac", 0.75)):
        scores = collect.score_array(frame, study, study.groups[key], algorithm="qmix")
        assert scores.shape == (2, 1, 5) and set(scores.ravel()) == {win_rate}
    rows = tables.runs(frame, study).groupby("group")["final_win_rate"]
    assert rows.size().to_dict() == {"matrix": 12, "noisy": 6, "smac": 6}
    assert rows.unique().to_dict() == {"matrix": [0.75], "noisy": [0.25], "smac": [0.75]}


def test_a_table_older_than_the_column_is_read_as_superseded(study: Study, root: Path) -> None:
    frame = collect.collect(study, root)
    collect.write(frame.drop(columns="unit_data"), root / "old.csv", root / "old.parquet")
    for name in ("old.csv", "old.parquet"):
        old = collect.read(root / name, study)
        assert list(old.columns) == list(collect.COLUMNS)
        assert set(old.loc[old["backend"] == "skirmish", "unit_data"]) == {collect.SUPERSEDED}
        assert set(old.loc[old["backend"] == "matrix", "unit_data"]) == {""}
    frame.loc[frame["seed"] == 1, "unit_data"] = "4.6.2"
    collect.write(frame, root / "mixed.csv")
    with pytest.raises(StudyError, match="never mixed"):
        collect.read(root / "mixed.csv", study)
