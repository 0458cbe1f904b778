"""Run directories -> one tidy table of evaluations.

Refuses rather than repairs: a missing run, a run of another backend, configuration or budget, runs of one group with
different unit data, an unreadable line or a mark given twice ends the collection with one line that names it. What
comes out is a complete grid, so that nothing downstream has to ask.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import expected, job_cost, store
from analysis.study import STARCRAFT, Group, Run, Study, StudyError
from training import identity
from training.files import replacing
from training.metrics import ABSOLUTE_TIMES, validate

COLUMNS = (
    "study",
    "group",
    "backend",
    "unit_data",  # which the simulator fought with, e.g. 4.10; empty for backends that have none
    "map",
    "algorithm",
    "label",
    "preset",
    "seed",
    "mark",  # scheduled evaluation point, environment steps: the x axis
    "env_steps",  # steps really made, >= mark
    "updates",
    "episodes",
    "wall_seconds",
    "num_episodes",  # behind win_rate and the returns
    "win_rate",
    "return_mean",
    "return_std",
    "length_mean",
    # The same in all rows of a run: its best evaluation, by mark, and that policy played again on other seeds.
    "best_mark",
    "absolute_episodes",
    "absolute_win_rate",
    "absolute_return_mean",
    "policy_win_rate",  # of the same evaluation played without search; NaN for learners that play in one way only
    *job_cost.COLUMNS,  # the same in all rows of a run
)
RECORD = COLUMNS[9:19]
ABSOLUTE = dict(zip(COLUMNS[19:23], ("mark", "num_episodes", "win_rate", "return_mean"), strict=True))
BARE = "policy_win_rate"
SUPERSEDED = "Liberty (superseded)"  # unit data of runs of the simulator that do not name theirs
INTEGERS = ("mark", "env_steps", "updates", "episodes", "num_episodes")


def collect(study: Study, root: Path) -> pd.DataFrame:
    """Read every run of `study`, whose own folder is `root` (results/<study>).

    Returns: one row per run and mark with COLUMNS, ordered as in the study file.
    Raises: StudyError naming the run, or the file and line, that does not fit.
    """
    runs = {run: store.place(study, run, root) for run in study.runs()}
    missing = [run for run, directory in runs.items() if not (directory / "done.json").is_file()]
    if missing:
        names = ", ".join(str(run.path) for run in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise StudyError(
            f"{root}: {len(missing)} of {len(runs)} runs are missing or unfinished: {names}; "
            "run the study to its end first"
        )
    frame = pd.DataFrame(
        [row for run, directory in runs.items() for row in _rows(study, run, directory)], columns=list(COLUMNS)
    )
    _check_unit_data(frame, study, root)
    return frame


def write(frame: pd.DataFrame, *paths: Path) -> None:
    """Write the table as CSV or Parquet, by suffix, through a temporary name."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            if path.suffix == ".parquet":
                frame.to_parquet(file, index=False)
            else:
                file.write(as_csv(frame).encode())


def as_csv(frame: pd.DataFrame) -> str:
    """The table as `evaluations.csv` holds it."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def read(path: Path, study: Study) -> pd.DataFrame:
    """Read a collected table and check that it is a complete grid of `study`.

    Labels are taken from the study file, so that a renamed legend needs no new collection. In a table older than the
    column `unit_data`, runs of the simulator get `SUPERSEDED`; in one older than the absolute metric or than the column
    `policy_win_rate` these are NaN, as is what a job took; one older than the column `preset` gets the
    study's.
    Raises: StudyError if the file is missing, lacks columns, if its runs and marks are not those of the study, or if a
      group has runs with different unit data.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such table; make it with `python -m analysis collect`")
    texts = {"unit_data": str}  # 4.10 is no number
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=texts)
    if "unit_data" not in frame.columns and "backend" in frame.columns:
        frame.insert(frame.columns.get_loc("backend") + 1, "unit_data", frame["backend"].map(_unnamed))
    if BARE not in frame.columns:
        frame = frame.assign(**{BARE: np.nan})
    if not set(job_cost.COLUMNS) & set(frame.columns):
        frame = frame.assign(**dict.fromkeys(job_cost.COLUMNS, np.nan))
    if not set(ABSOLUTE) & set(frame.columns):
        frame = frame.assign(**dict.fromkeys(ABSOLUTE, np.nan))
    if "preset" not in frame.columns and {"group", "algorithm", "label"} <= set(frame.columns):
        presets = {(run.group, run.algorithm): study.preset(run) for run in study.runs()}
        places = frame[["group", "algorithm"]].itertuples(index=False, name=None)
        frame.insert(frame.columns.get_loc("label") + 1, "preset", [presets.get(place) for place in places])
    lacking = [column for column in COLUMNS if column not in frame.columns]
    if lacking:
        raise StudyError(f"{path}: columns {', '.join(lacking)} are missing; collect the runs again")
    found = set(frame[["group", "backend", "map", "algorithm", "seed", "mark"]].itertuples(index=False, name=None))
    wanted = {
        (run.group, run.backend, run.map, run.algorithm, run.seed, mark)
        for run in study.runs()
        for mark in study.groups[run.group].marks
    }
    if found != wanted or len(frame) != len(wanted):
        example = sorted(found ^ wanted)[:1] or "a row given twice"
        raise StudyError(
            f"{path}: holds {len(frame)} rows, study {study.name} expects {len(wanted)}; first difference: {example}"
        )
    frame["label"] = frame["algorithm"].map({key: item.label for key, item in study.algorithms.items()})
    frame["unit_data"] = frame["unit_data"].fillna("")
    _check_unit_data(frame, study, path)
    return frame


def unit_data(frame: pd.DataFrame, group: Group) -> str:
    """Unit data of a group's runs; empty for backends that have none. `frame`: as `collect` or `read` returns it."""
    return str(frame.loc[frame["group"] == group.key, "unit_data"].iloc[0])


def made_by(frame: pd.DataFrame, group: Group) -> str:
    """What a result must say about its origin: `skirmish, unit data 4.10`, `smac, StarCraft II 4.10`; or the backend.

    What a stand-in played through the official packages says so here, and nowhere is it called StarCraft II.
    """
    data = unit_data(frame, group)
    own = "" if group.backend in STARCRAFT else "unit data "
    return f"{group.backend}, {own}{data}" if data else group.backend


def study_made_by(frame: pd.DataFrame, study: Study) -> str:
    """The same of all its groups."""
    return "; ".join(dict.fromkeys(made_by(frame, group) for group in study.groups.values()))


def score_array(
    frame: pd.DataFrame, study: Study, group: Group, *, algorithm: str, column: str = "win_rate"
) -> NDArray[np.float64]:
    """Scores of one algorithm in one group, (R, M, T): seeds x maps x marks, each in the order of the group.

    Args:
      frame: a table that `read` or `collect` has checked.
    """
    rows = frame[(frame["group"] == group.key) & (frame["algorithm"] == algorithm)]
    cube = rows.set_index(["seed", "map", "mark"])[column]
    grid = pd.MultiIndex.from_product([group.seeds, group.maps, group.marks])
    shape = (len(group.seeds), len(group.maps), len(group.marks))
    return cube.reindex(grid).to_numpy(dtype=np.float64).reshape(shape)


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises: StudyError naming the file if it is missing or unreadable."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StudyError(f"{path}: missing; run the study again, it continues where it stopped") from error
    except json.JSONDecodeError as error:
        raise StudyError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path}: not valid JSON ({error}); restore it from a copy or make the run again") from error
    if not isinstance(document, dict):
        raise StudyError(f"{path}: expected one JSON object, got {type(document).__name__}")
    return document


def read_evaluations(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The evaluation records of a metrics.jsonl, in order, and the absolute record it ends with, {} if there is none.

    Raises: StudyError naming file and line for an unreadable line, a record that does not fit `training.metrics`, such
      as one with a number that is not finite, or a mark given twice.
    """
    if not path.is_file():
        raise StudyError(f"{path}: missing; run the study again, it continues where it stopped")
    records: list[dict[str, Any]] = []
    record: Any = {}
    seen: dict[int, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise StudyError(
                f"{path}:{number}: not valid JSON ({reason}); cut the line off or make the run again"
            ) from error
        if not isinstance(record, dict) or "kind" not in record:
            raise StudyError(f"{path}:{number}: expected a JSON object with a `kind`, got {line[:60].decode()!r}")
        try:
            validate(record)
        except ValueError as error:
            raise StudyError(f"{path}:{number}: {error}; make the run again") from error
        if record["kind"] != "eval":
            continue
        mark = int(record["mark"])
        if mark in seen:
            raise StudyError(f"{path}:{number}: mark {mark} was already on line {seen[mark]}; make the run again")
        seen[mark] = number
        records.append(record)
    return records, record if record.get("kind") == "absolute" else {}


def _rows(study: Study, run: Run, directory: Path) -> Iterable[dict[str, Any]]:
    group, algorithm = study.groups[run.group], study.algorithms[run.algorithm]
    config = _check_config(study, run, directory / "config.json")
    records, absolute = read_evaluations(directory / "metrics.jsonl")
    marks = tuple(int(record["mark"]) for record in records)
    if marks != group.marks:
        odd = sorted(set(marks) ^ set(group.marks)) or list(marks)
        raise StudyError(
            f"{directory}/metrics.jsonl: evaluation marks must run from 0 to {group.env_steps} in steps of "
            f"{group.eval_every}; differs at {odd[0]}"
        )
    fixed: dict[str, Any] = {
        "study": study.name,
        "group": group.key,
        "algorithm": run.algorithm,
        "label": algorithm.label,
    }
    fixed |= {"backend": run.backend, "map": run.map, "seed": run.seed}
    fixed |= {"unit_data": config.get("unit_data", ""), "preset": study.preset(run)}
    for record in records:
        if record["num_episodes"] != group.eval_episodes:
            raise StudyError(
                f"{directory}/metrics.jsonl: mark {record['mark']} has {record['num_episodes']} episodes, "
                f"the study asks for {group.eval_episodes}"
            )
    again = {"mark": absolute.get("mark"), "num_episodes": absolute.get("num_episodes")}
    if again["mark"] not in marks or again["num_episodes"] != ABSOLUTE_TIMES * group.eval_episodes:
        raise StudyError(
            f"{directory}/metrics.jsonl: must end with an absolute record of one of the marks with {ABSOLUTE_TIMES} x "
            f"{group.eval_episodes} episodes, got {again}; make the run again"
        )
    _check_records(directory, config)
    fixed |= {column: absolute[name] for column, name in ABSOLUTE.items()}
    cost = job_cost.read(directory.with_name(f"{directory.name}.tsv"))
    for record in records:
        numbers = {key: int(record[key]) if key in INTEGERS else float(record[key]) for key in RECORD}
        yield {**fixed, **numbers, BARE: float(record.get(BARE, np.nan)), **cost}


def _unnamed(backend: str) -> str:
    """Unit data of a run that does not name them."""
    return SUPERSEDED if backend == "skirmish" else ""


def _check_unit_data(frame: pd.DataFrame, study: Study, where: Path) -> None:
    """Raises: StudyError if the runs of a group have different unit data, or others than the study asks for."""
    for group in study.groups.values():
        examples = frame[frame["group"] == group.key].drop_duplicates("unit_data")
        found = dict(zip(examples["unit_data"], examples[["map", "algorithm", "seed"]].itertuples(index=False)))
        wanted = group.env.get("game_version") if group.backend == "skirmish" else None
        if len(found) > 1 or (wanted and wanted not in found):
            got = " and ".join(f"{data!r} ({run.map}/{run.algorithm}/seed={run.seed})" for data, run in found.items())
            raise StudyError(
                f"{where}: group {group.key} must have one kind of unit data{f', {wanted!r}' if wanted else ''}, got "
                f"{got}; results of different unit data are never mixed: move the others away and make them again"
            )


def _check_config(study: Study, run: Run, path: Path) -> dict[str, Any]:
    """Hold a run's record of what it is against what the study resolves to now. Returns: the record.

    Raises: StudyError for the first difference: which run, which key, which values.
    """
    found, wanted = read_json(path), expected.record(study, run)
    if identity.run_key(found) != identity.run_key(wanted):
        there = {**identity.settings(found), "seed": found.get("seed")}
        difference = identity.first_difference(there, {**identity.settings(wanted), "seed": run.seed})
        assert difference is not None  # keys are made of what is compared
        key, old, new = difference
        hint = "; backends are never mixed" if key == "backend" else ""
        raise StudyError(
            f"{path}: {key} is {old!r}, the study expects {new!r}{hint}; move the run away and make it again"
        )
    return found


def _check_records(directory: Path, config: dict[str, Any]) -> None:
    """Hold metrics and summary of a finished run against its record. Raises: StudyError if they are not of one run."""
    metrics, key = directory / "metrics.jsonl", identity.run_key(config)
    done = read_json(directory / "done.json")
    for name in ("identity", "seed"):
        if done.get(name) != key[name]:
            raise StudyError(
                f"{directory}/done.json: {name} is {done.get(name)!r}, the run's is {key[name]!r}; "
                "move the run away and make it again"
            )
    if hashlib.sha256(metrics.read_bytes()).hexdigest() != done.get("metrics_sha256"):
        raise StudyError(
            f"{metrics}: not what the run wrote when it ended (its checksum in done.json differs); restore it from a "
            "copy, or move the run away and make it again"
        )
