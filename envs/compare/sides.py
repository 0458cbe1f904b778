"""One policy on one backend, as a comparison keeps it, and the JSON file in which several of them lie.

The file is described by `comparison.schema.json`, against which every file that is read is checked. It holds a value
of every measure for every episode, and each episode's curve at the marks, so that a side can be compared with others
later: that is what people with the game can contribute.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from envs.compare.difference import Difference
from envs.compare.measures import CURVES, MEASURES, Measured
from training.errors import UserError
from training.files import write_text

FORMAT = "mazero-bench comparison 1"
SCHEMA = Path(__file__).with_name("comparison.schema.json")


@dataclass(frozen=True, eq=False)
class Side:
    """Episodes of one policy on one backend."""

    facts: Mapping[str, Any]  # backend, game, env, seed, slots, step_mul, episodes, discarded, faults, provenance
    measured: Measured

    @property
    def label(self) -> str:
        """Game and options, for people."""
        game = f"skirmish {self.facts['game']}" if self.facts["backend"] == "skirmish" else str(self.facts["game"])
        options = [f"{key}={value}" for key, value in self.facts["env"].items() if key != "factory"]
        return ", ".join([game, *options])


@dataclass(frozen=True, eq=False)
class Comparison:
    """One policy on one map on several backends; every side but the first is tested against the first."""

    map: str
    policy: Mapping[str, Any]
    marks: np.ndarray
    sides: Sequence[Side]
    tests: Sequence[Sequence[Difference]]

    def write(self, path: Path) -> None:
        """Write the file."""
        write_text(path, _compact(self.as_json()) + "\n")

    def as_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "format": FORMAT,
            "map": self.map,
            "policy": dict(self.policy),
            "marks": self.marks.tolist(),
            "sides": [
                {
                    **side.facts,
                    "values": {name: _numbers(values) for name, values in side.measured.values.items()},
                    "curves": {name: [_numbers(row) for row in rows] for name, rows in side.measured.curves.items()},
                }
                for side in self.sides
            ],
            "tests": [
                [{**vars(d), "counts": list(d.counts), "differs": d.differs} for d in tests] for tests in self.tests
            ],
        }


def read_sides(path: Path, *, map_name: str, policy: Mapping[str, Any], marks: np.ndarray, step_mul: int) -> list[Side]:
    """The sides of a file. Raises: UserError for a damaged file, or one of another map, policy or step."""
    remedy = "choose a file of the same comparison, or run it again"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    except (OSError, ValueError, RecursionError, jsonschema.ValidationError) as error:
        reason = error.message if isinstance(error, jsonschema.ValidationError) else str(error)
        raise UserError(f"{path} must be a comparison, got {reason:.200}: {remedy}") from error
    for what, there, here in (
        ("map", document["map"], map_name),
        ("policy", document["policy"], dict(policy)),
        ("marks", document["marks"], marks.tolist()),
    ):
        if there != here:
            raise UserError(f"{path} must be of {what} {here}, got {there}: {remedy}")
    found = []
    for side in document["sides"]:
        if side["step_mul"] != step_mul:
            raise UserError(f"{path} must have steps of {step_mul} game loops, got {side['step_mul']}: {remedy}")
        values = {name: _array(side["values"][name]) for name in MEASURES}
        curves = {name: np.array([_array(row) for row in side["curves"][name]]) for name in CURVES}
        sizes = {len(v) for v in (*values.values(), *curves.values())}
        if sizes != {side["episodes"]} or any(rows.shape[1:] != marks.shape for rows in curves.values()):
            raise UserError(f"{path} must have a value for each of {side['episodes']} episodes, got {sizes}: {remedy}")
        facts = {key: value for key, value in side.items() if key not in ("values", "curves")}
        found.append(Side(facts, Measured(values, curves)))
    return found


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(v) else float(v) for v in values]


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if v is None else v for v in values], np.float64)


def _compact(document: Any, depth: int = 0) -> str:
    """JSON with a line for every entry, but lists of numbers on one line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(document, dict) and document:
        rows = [f"{inner}{json.dumps(key)}: {_compact(value, depth + 1)}" for key, value in document.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(document, list) and any(isinstance(value, dict | list) for value in document):
        return "[\n" + ",\n".join(inner + _compact(value, depth + 1) for value in document) + f"\n{outer}]"
    return json.dumps(document, allow_nan=False)
