"""Run directories as training would leave them, with curves that the test chooses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from analysis import expected
from analysis.store import place
from analysis.study import Group, Run, Study
from analysis.study_files import load_study
from training.identity import run_key

Curve = Callable[[Run, int], float]  # run, mark -> win rate


def study_document(name: str = "toy") -> dict[str, Any]:
    """A study of two groups, three algorithms and two seeds; tests change single keys of it."""
    return {
        "name": name,
        "description": "A toy study.",
        "seeds": [0, 1],
        "algorithms": {
            "mazero": {"program": "mazero", "label": "MAZero"},
            "no_awpo": {"program": "mazero", "label": "without AWPO", "overrides": {"loss.awpo": False}},
            "qmix": {"program": "baselines", "algorithm": "qmix", "label": "QMIX"},
        },
        "groups": {
            "smac": {
                "title": "SMAC",
                "backend": "skirmish",
                "maps": ["3m"],
                "env_steps": 400,
                "eval_every": 100,
                "eval_episodes": 32,
                "presets": {"mazero": "laptop", "qmix": "published"},
                "overrides": {"mazero": {"replay.start": 100}},  # learning starts within these budgets
            },
            "matrix": {
                "title": "Matrix games",
                "backend": "matrix",
                "maps": ["matrix_1", "matrix_2"],
                "env_steps": 200,
                "eval_every": 100,
                "eval_episodes": 8,
                "presets": {"mazero": "matrix", "qmix": "matrix"},
                "overrides": {"mazero": {"replay.start": 100}},
                "thresholds": [1.0],
            },
        },
    }


def write_study(directory: Path, document: dict[str, Any]) -> Path:
    """Write a study file under its own name."""
    path = directory / f"{document['name']}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def make_study(directory: Path, document: dict[str, Any] | None = None) -> Study:
    """Write and load a study file."""
    return load_study(write_study(directory, document or study_document()))


def make_runs(study: Study, root: Path, win_rate: Curve) -> None:
    """Every run of the study whose own folder is `root`, where `analysis.store` expects it."""
    root.mkdir(parents=True, exist_ok=True)
    for run in study.runs():
        make_run(study, run, place(study, run, root), win_rate)


class Runs:
    """Where the runs of a study lie: `Runs(study, root) / "skirmish/3m/mazero/seed=0"`."""

    def __init__(self, study: Study, root: Path) -> None:
        self._places = {run.path.as_posix(): place(study, run, root) for run in study.runs()}

    def __truediv__(self, name: str | Path) -> Path:
        return self._places[Path(name).as_posix()]


def make_run(study: Study, run: Run, directory: Path, win_rate: Curve) -> None:
    """One finished run directory."""
    directory.mkdir(parents=True)
    group, config = study.groups[run.group], expected.record(study, run)
    key = run_key(config)
    records = [evaluation(group.eval_episodes, mark, win_rate(run, mark)) for mark in group.marks]
    if study.algorithms[run.algorithm].program == "mazero":  # which plays without search too, here a quarter as well
        records = [{**record, "policy_win_rate": record["win_rate"] / 4} for record in records]
    lines: list[dict[str, Any]] = [{"kind": "run", **key}, records[0]]
    for record in records[1:]:
        train = {
            "kind": "train",
            "env_steps": record["env_steps"] - 1,
            "updates": 1,
            "episodes": 1,
            "wall_seconds": 1.0,
        }
        lines += [train, record]
    last = records[-1]
    best = max(records, key=lambda record: (record["win_rate"], record["mark"]))
    again = absolute(best)
    lines.append(again)
    write_json(directory / "config.json", config)
    write_json(
        directory / "provenance.json",
        {
            "sessions": [
                {
                    "backend": run.backend,
                    "unit_data": unit_data(group) if run.backend == "skirmish" else None,
                    "command": ["python", "-m", *study.train_arguments(run)],
                    "git_commit": "0123abc",
                    "git_dirty": False,
                    "sources_sha256": "feed",
                    "python": "3.11.2",
                    "platform": "Linux",
                    "cpu": "Test CPU",
                    "cpu_count": 2,
                    "gpu": None,
                    "threads": 1,
                    "device": "cpu",
                    "versions": {"numpy": "2.4.6"},
                }
            ]
        },
    )
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    counters = {key: last[key] for key in ("env_steps", "updates", "episodes", "wall_seconds")}
    write_json(
        directory / "done.json",
        {**key, **counters, "final": last, "absolute": again, "metrics_sha256": digest(directory)},
    )


def digest(directory: Path) -> str:
    """What done.json says of the metrics beside it."""
    return hashlib.sha256((directory / "metrics.jsonl").read_bytes()).hexdigest()


def unit_data(group: Group) -> str:
    """What the simulator says it fights with."""
    return str(group.env.get("game_version", "4.10"))


def evaluation(episodes: int, mark: int, win_rate: float) -> dict[str, Any]:
    """An evaluation 3 steps late; an update per 2 steps, 10 steps an episode, 0.6 s a step; return 20 x win rate."""
    return {
        "kind": "eval",
        "mark": mark,
        "env_steps": mark + 3 if mark else 0,
        "updates": mark // 2,
        "episodes": mark // 10,
        "wall_seconds": 0.6 * mark,
        "num_episodes": episodes,
        "win_rate": win_rate,
        "return_mean": 20 * win_rate,
        "return_std": 1.0,
        "length_mean": 25.0,
        "extra": 1.5,
    }


def absolute(best: dict[str, Any]) -> dict[str, Any]:
    """The policy of an evaluation again: ten times the episodes, half the win rate."""
    fields = ("mark", "wall_seconds", "return_std", "length_mean")
    return {
        "kind": "absolute",
        **{name: best[name] for name in fields},
        "num_episodes": 10 * best["num_episodes"],
        "win_rate": best["win_rate"] / 2,
        "return_mean": 10 * best["win_rate"],
    }


def write_json(path: Path, document: Any) -> None:
    """Write one JSON file."""
    path.write_text(json.dumps(document), encoding="utf-8")
