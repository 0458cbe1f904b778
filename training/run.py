"""A run directory: self-describing, append-only, readable after a kill at any moment.

config.json  provenance.json  metrics.jsonl  checkpoint.pt  done.json (written last, atomically)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.config import nearest
from training.errors import UserError

logger = logging.getLogger(__name__)


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically: the file is either the old or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(data, indent=2, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class RunDirectory:
    """Paths of one run, and the rule for who may write there.

    A directory belongs to the config it was started with: the same config continues it, another one is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.json"
        self.provenance_path = path / "provenance.json"
        self.metrics_path = path / "metrics.jsonl"
        self.checkpoint_path = path / "checkpoint.pt"
        self.done_path = path / "done.json"

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.done_path.is_file()

    def prepare(self, config: dict[str, Any]) -> None:
        """Create the directory, or check that the one that exists was started with the same config.

        Raises: UserError if it cannot be written, holds other files, or belongs to another config.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.path))
        except OSError as error:
            raise UserError(
                f"cannot write to output directory {self.path} ({error.strerror}): choose another --out"
            ) from error
        plain = json.loads(json.dumps(config))
        if not self.config_path.exists():
            foreign = sorted(p.name for p in self.path.iterdir() if p.suffix != ".tmp" and p.name != "run.lock")
            if foreign:
                raise UserError(
                    f"output directory {self.path} holds {foreign[0]!r} but no config.json: "
                    f"it is not a run of ours, choose an empty --out"
                )
            write_json(self.config_path, plain)
            return
        try:
            existing = json.loads(self.config_path.read_text())
        except ValueError as error:
            raise UserError(f"{self.config_path} is not readable JSON ({error}): move {self.path} away") from error
        difference = _first_difference(existing, plain)
        if difference:
            raise UserError(
                f"{self.path} was started with another config ({difference}): "
                f"give the same settings to continue it, or choose another --out"
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process works in a run directory; a second one waits (the first may have survived a kill)."""
        with open(self.path / "run.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                logger.warning("another process is working in %s: waiting for it to finish", self.path)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def finish(self, summary: dict[str, Any]) -> None:
        """Write done.json, the last file of a run."""
        write_json(self.done_path, summary)


def read_config(path: Path) -> dict[str, Any]:
    """The config.json of a run directory. Raises: UserError if there is none."""
    file = path / "config.json"
    if not file.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f" ({nearest(path.name, beside)})" if beside else ""
        raise UserError(f"{path} is not a run directory, it has no config.json{hint}: give the --out of a training run")
    return json.loads(file.read_text())


def _first_difference(old: Any, new: Any, where: str = "") -> str | None:
    """`key: old -> new` for the first setting that differs, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            inner = f"{where}.{key}" if where else key
            if key not in old or key not in new:
                return f"{inner}: {old.get(key, 'absent')!r} -> {new.get(key, 'absent')!r}"
            found = _first_difference(old[key], new[key], inner)
            if found:
                return found
        return None
    return None if old == new else f"{where}: {old!r} there, {new!r} here"
