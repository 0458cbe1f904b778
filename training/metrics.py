"""Records of a run: their schema, an append-only JSON-lines writer, and running means.

Four kinds of record, one JSON object a line:
  run    identity, seed: whose records follow; the first line
  eval   mark, env_steps, updates, episodes, wall_seconds, num_episodes, win_rate, return_mean, return_std,
         length_mean, and whatever else an algorithm reports
  train  env_steps, updates, episodes, wall_seconds, and means of losses and throughput since the last train record
  absolute  mark, wall_seconds, num_episodes, win_rate, return_mean, return_std, length_mean: the policy of the best
         evaluation, the one at that mark, played again on other seeds; the last line of a finished run
Runs on StarCraft II add game_faults and episodes_lost, of the whole run so far, to eval and absolute records.
`mark` is the scheduled evaluation point, the same for all seeds and algorithms; `env_steps` is the exact count.
Keys that end in `_seconds` or `_per_second` are clock readings; all others depend on the seed and the config alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from training.errors import UserError

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
RUN_FIELDS = {"identity": str, "seed": int}
ABSOLUTE_FIELDS = {name: kind for name, kind in EVAL_FIELDS.items() if name not in ("env_steps", "updates", "episodes")}
FIELDS = {"run": RUN_FIELDS, "eval": EVAL_FIELDS, "train": TRAIN_FIELDS, "absolute": ABSOLUTE_FIELDS}
ABSOLUTE_TIMES = 10  # evaluations that make an absolute record (Gorsane et al. 2022, arXiv 2209.10485)
CLOCK_SUFFIXES = ("_seconds", "_per_second")


class Kept(NamedTuple):
    """The beginning of a metrics file that a checkpoint vouches for."""

    bytes: int
    sha256: str


def validate(record: Mapping[str, Any]) -> None:
    """Check a record against the schema. Raises: ValueError naming the field, what it holds and what it should."""
    fields: Mapping[str, type] | None = FIELDS.get(str(record.get("kind")))
    if fields is None:
        raise ValueError(f"record kind must be one of {', '.join(FIELDS)}, got {record.get('kind')!r}")
    for name, kind in fields.items():
        if name not in record:
            raise ValueError(f"{record['kind']} record lacks {name!r}: it has {', '.join(record)}")
        value = record[name]
        good = isinstance(value, int | float if kind is float else kind) and not isinstance(value, bool)
        if not good or (kind is not str and not math.isfinite(value)):
            wanted = "a text" if kind is str else f"a finite {kind.__name__}"
            raise ValueError(f"{record['kind']} record field {name!r} must be {wanted}, got {value!r}")
        if name == "win_rate" and not 0.0 <= value <= 1.0:
            raise ValueError(f"{record['kind']} record field 'win_rate' must lie in 0..1, got {value!r}")


def without_clock(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that the same seed and config must reproduce exactly."""
    return {key: value for key, value in record.items() if not key.endswith(CLOCK_SUFFIXES)}


class MetricsWriter:
    """Appends records to a JSON-lines file; each line is flushed as it comes."""

    def __init__(self, path: Path, *, kept: Kept | None = None) -> None:
        """Open the file, anew or, for a resumed run, with what its checkpoint vouches for.

        What came after that checkpoint is cut off. Raises: UserError, and nothing is changed, if the file does not
        begin with what the checkpoint says.
        """
        self._sha256 = hashlib.sha256()
        if kept is not None:
            self._sha256.update(_checked_head(path, kept))
        with open(path, "ab") as file:
            file.truncate(kept.bytes if kept else 0)
        self._file = open(path, "a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Validate and append one record."""
        validate(record)
        line = json.dumps(record, allow_nan=False) + "\n"
        self._file.write(line)
        self._file.flush()
        self._sha256.update(line.encode())

    def sync(self) -> Kept:
        """Force everything to disk. Returns: what a checkpoint written now vouches for."""
        os.fsync(self._file.fileno())
        return Kept(self._file.tell(), self._sha256.hexdigest())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _checked_head(path: Path, kept: Kept) -> bytes:
    """The first bytes of a metrics file, which a checkpoint vouches for. Raises: UserError if they are not those."""
    head = b""
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(kept.bytes)
    if len(head) == kept.bytes and hashlib.sha256(head).hexdigest() == kept.sha256:
        return head
    got = f"{len(head)} bytes" if len(head) < kept.bytes else "others of that number"
    raise UserError(
        f"{path} must begin with the {kept.bytes} bytes that this run's checkpoint was written after, got {got}: "
        f"restore it from a copy, or move {path.parent} away to start the run anew"
    )


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
                if not isinstance(record, dict):
                    raise ValueError(f"expected a JSON object, got {line[:60].rstrip()!r}")
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
