"""A run directory: self-describing, append-only, readable after a kill at any moment.

config.json  provenance.json  metrics.jsonl  checkpoint.pt  rows/ (until the end)  done.json (the last, atomically)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.config import nearest
from training.errors import UserError
from training.files import clear_leftovers, write_json
from training.identity import first_difference, run_key, settings

RECORD = ("program", "algorithm", "map", "backend", "seed", "budget", "config")  # what playing a run needs

logger = logging.getLogger(__name__)


class RunDirectory:
    """Paths of one run, and the rule for who may write there.

    A directory belongs to the run it was started for: the same configuration and seed continue it, others are refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.json"
        self.provenance_path = path / "provenance.json"
        self.metrics_path = path / "metrics.jsonl"
        self.checkpoint_path = path / "checkpoint.pt"
        self.rows_path = path / "rows"
        self.done_path = path / "done.json"
        self.key: dict[str, Any] = {}  # identity and seed, once the directory is claimed

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.done_path.is_file()

    @contextlib.contextmanager
    def claim(self, record: Mapping[str, Any]) -> Iterator[None]:
        """Work here as the run that `record` describes: create the directory, or check that it is that run's.

        Nothing is read or written before the directory's lock is held; a second process waits (the first may have
        survived a kill). Threads may differ from those the run was started with.

        Raises: UserError if it cannot be written, holds other files, or belongs to another run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.path))
        except OSError as error:
            raise UserError(
                f"cannot write to output directory {self.path} ({error.strerror}): choose another --out"
            ) from error
        self._refuse_foreign()
        with self._lock():
            self._refuse_foreign()
            clear_leftovers(self.path)
            self._check(record)
            yield

    def _refuse_foreign(self) -> None:
        """Raises: UserError if there are files but no run; nothing is added to what is not ours."""
        names = sorted(p.name for p in self.path.iterdir() if p.suffix != ".tmp" and p.name != "run.lock")
        foreign = [] if self.config_path.name in names else names
        if foreign:
            raise UserError(
                f"output directory {self.path} holds {foreign[0]!r} but no config.json: "
                f"it is not a run of ours, choose an empty --out"
            )

    def _check(self, record: Mapping[str, Any]) -> None:
        """Write the record of a new run, or hold that of the one that is there against it."""
        plain = json.loads(json.dumps(record))
        self.key = run_key(plain)
        if not self.config_path.exists():
            write_json(self.config_path, plain)
            return
        try:
            existing = json.loads(self.config_path.read_text())
            there = run_key(existing)
        except (ValueError, RecursionError, AttributeError) as error:
            raise UserError(f"{self.config_path} is not a readable record ({error}): move {self.path} away") from error
        if there == self.key:
            return
        found = first_difference({**settings(existing), **there}, {**settings(plain), **self.key})
        assert found is not None
        key, old, new = found
        raise UserError(
            f"{self.path} was started with another config ({key}: {old!r} there, {new!r} here): "
            f"give the same settings to continue it, or choose another --out"
        )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with open(self.path / "run.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                logger.warning("another process is working in %s: waiting for it to finish", self.path)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def finish(self, summary: dict[str, Any]) -> None:
        """Write done.json, the last file of a run, and in it whose it is."""
        write_json(self.done_path, {**self.key, **summary})


def read_config(path: Path) -> dict[str, Any]:
    """The config.json of a run directory. Raises: UserError if there is none, or it is not the record of a run."""
    file = path / "config.json"
    if not file.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f" ({nearest(path.name, beside)})" if beside else ""
        raise UserError(f"{path} is not a run directory, it has no config.json{hint}: give the --out of a training run")
    try:
        record = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not readable JSON ({error}): restore it from a copy") from error
    lacking = [key for key in RECORD if not isinstance(record, dict) or key not in record]
    if lacking:
        raise UserError(
            f"{file} must be the record of a run, got one without {', '.join(lacking)}: restore it from a copy"
        )
    return dict(record)
