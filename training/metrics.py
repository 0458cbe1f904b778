"""Records of a run: their schema, an append-only JSON-lines writer, and running means. Standard library only.

Two kinds of record, one JSON object a line:
  eval   mark, env_steps, updates, episodes, wall_seconds, num_episodes, win_rate, return_mean, return_std,
         length_mean, and whatever else an algorithm reports
  train  env_steps, updates, episodes, wall_seconds, and means of losses and throughput since the last train record
`mark` is the scheduled evaluation point, the same for all seeds and algorithms; `env_steps` is the exact count.
Keys that end in `_seconds` or `_per_second` are clock readings; all others depend on the seed and the config alone.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EVAL_FIELDS = {
    "mark": int,
    "env_steps": int,
    "updates": int,
    "episodes": int,
    "wall_seconds": float,
    "num_episodes": int,
    "win_rate": float,
    "return_mean": float,
    "return_std": float,
    "length_mean": float,
}
TRAIN_FIELDS = {"env_steps": int, "updates": int, "episodes": int, "wall_seconds": float}
CLOCK_SUFFIXES = ("_seconds", "_per_second")


def validate(record: Mapping[str, Any]) -> None:
    """Check a record against the schema. Raises: ValueError naming the field, what it holds and what it should."""
    fields = {"eval": EVAL_FIELDS, "train": TRAIN_FIELDS}.get(str(record.get("kind")))
    if fields is None:
        raise ValueError(f"record kind must be 'eval' or 'train', got {record.get('kind')!r}")
    for name, kind in fields.items():
        if name not in record:
            raise ValueError(f"{record['kind']} record lacks {name!r}: it has {', '.join(record)}")
        value = record[name]
        good = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value):
            raise ValueError(f"{record['kind']} record field {name!r} must be a finite {kind.__name__}, got {value!r}")


def without_clock(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that the same seed and config must reproduce exactly."""
    return {key: value for key, value in record.items() if not key.endswith(CLOCK_SUFFIXES)}


class MetricsWriter:
    """Appends records to a JSON-lines file; each line is flushed as it comes.

    Args:
      path: the file.
      keep_bytes: what to keep of an existing file (a resumed run cuts off what came after its checkpoint).
    """

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        with open(path, "ab") as file:
            file.truncate(keep_bytes)
        self._file = open(path, "a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Validate and append one record."""
        validate(record)
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> int:
        """Force everything to disk; returns the file's length in bytes."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_records(path: Path, kind: str | None = None) -> Iterator[dict[str, Any]]:
    """Records of a metrics file. A last line without newline (cut by a kill) is left out.

    Raises: ValueError naming file and line for anything else that is not a valid record.
    """
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                record = json.loads(line)
                validate(record)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not a metrics record: {error}") from error
            if kind is None or record["kind"] == kind:
                yield record


class RunningMeans:
    """Means of named scalars since the last `drain`, in order of first appearance. Part of a checkpoint."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Count each value once."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
            self._counts[name] = self._counts.get(name, 0) + 1

    def drain(self) -> dict[str, float]:
        """The means, and start anew."""
        means = {name: self._sums[name] / self._counts[name] for name in self._sums}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
