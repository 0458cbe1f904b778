"""What a run must be: the record that its study resolves to now, presets, defaults and all.

The programs that train are asked, so that a value is read once and the same way: what a study trains today is what it
accepts tomorrow, and a preset that was edited since is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from analysis.study import Run, Study, StudyError
from training.errors import UserError

PROGRAMS = {"mazero": "mazero.cli", "baselines": "baselines.__main__"}  # module with `record_of`


def record(study: Study, run: Run) -> dict[str, Any]:
    """The config.json of a run of the study. Raises: StudyError if the program would refuse its arguments."""
    program, *arguments = study.train_arguments(run)
    seed = arguments.index("--seed") + 1
    arguments[seed] = "0"
    try:
        return {**_record(program, *arguments), "seed": run.seed}
    except UserError as error:
        raise StudyError(f"study {study.name}, {run.path.parent}: {error}") from error


def identity(study: Study, run: Run) -> str:
    """The identity of a run's configuration, equal for all seeds of an algorithm on a map."""
    return str(record(study, run)["identity"])


@cache
def _record(program: str, *arguments: str) -> dict[str, Any]:
    ask: Callable[[list[str]], dict[str, Any]] = import_module(PROGRAMS[program]).record_of
    return ask([*arguments, "--out", "-"])
