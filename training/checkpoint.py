"""Checkpoints: one file, written atomically, checked before it is trusted, and never run.

Layout: 8-byte magic, 32-byte SHA-256 of the payload, payload (`torch.save` of plain containers, numbers and tensors;
numpy arrays go in as tensors; tables that only grow lie in files beside it, see `training.rows`). The checksum finds
damage, not malice: a payload is read as data only, so that somebody else's run directory cannot bring code of its own.
It goes to the file as it is made: large states are not held in memory a second time.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import torch

from training.errors import UserError
from training.files import replacing
from training.rows import Growing, RowFiles

MAGIC = b"MZBENCH4"
OLDER = (
    b"MZBENCH1",
    b"MZBENCH2",
    b"MZBENCH3",
)  # arrays pickled as objects, which nobody should load; replays inside; less in it
ARRAY, SCALAR, TABLE = "numpy array", "numpy scalar", "growing table"  # keys that mark them among the containers


class _Hashed(io.RawIOBase):
    """A file to write to that keeps the SHA-256 of what went through."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self.sha256 = file, hashlib.sha256()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        self.sha256.update(data)
        return self._file.write(data)


def save(path: Path, state: dict[str, Any], *, rows: RowFiles | None = None) -> None:
    """Write `state` to `path`; a kill at any moment leaves either the old checkpoint or the new one.

    Args: rows: where tables that only grow (`Growing`) go, as `load` left it for a run that is continued.
    Raises: TypeError naming where `state` holds anything but dicts with plain keys, lists, tuples, numbers, texts,
      None, arrays, tensors and, with `rows`, tables.
    """
    plain = _packed(state, rows)
    with replacing(path) as file:
        payload = _Hashed(file)
        file.write(MAGIC + bytes(payload.sha256.digest_size))  # the digest is known at the end
        torch.save(plain, cast(IO[bytes], payload))
        file.seek(len(MAGIC))
        file.write(payload.sha256.digest())
    if rows is not None:
        rows.keep()


def load(path: Path, *, run: Mapping[str, Any] | None = None, rows: RowFiles | None = None) -> dict[str, Any]:
    """Read a checkpoint written by `save`, to the CPU.

    Args:
      run: `training.identity.run_key` of the run whose checkpoint this must be, under the key "run".
      rows: files of its tables, which are read when somebody reads a table; without it that is not possible.
    Raises: UserError if the file is missing, is no checkpoint, was damaged, holds more than data or belongs to another
      run; the message names the remedy.
    """
    remedy = "restore it from a copy, or move the run directory away to start the run anew"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no checkpoint at {path}: give the run directory of a run that was started") from None
    if raw[: len(MAGIC)] in OLDER:
        raise UserError(f"checkpoint {path} is of an older version, whose files are not read any more: {remedy}")
    head = len(MAGIC) + hashlib.sha256().digest_size
    payload = memoryview(raw)[head:]
    if raw[: len(MAGIC)] != MAGIC or hashlib.sha256(payload).digest() != raw[len(MAGIC) : head]:
        raise UserError(f"checkpoint {path} is corrupt ({len(raw)} bytes, checksum differs): {remedy}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write: refused all the same
            state = _unpacked(torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True), rows)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, TypeError) as error:
        raise UserError(f"checkpoint {path} must hold data only, got more: do not trust its source") from error
    there = state.get("run") if isinstance(state, dict) else None
    if run is not None and there != run:
        raise UserError(
            f"checkpoint {path} must be one of run {dict(run)}, got one of {there}: put back the run's own, "
            f"or move the run directory away to start it anew"
        )
    return cast(dict[str, Any], state)


def _packed(value: Any, rows: RowFiles | None, where: str = "state") -> Any:
    """Containers of tensors and plain values that `weights_only` reads."""
    if isinstance(value, np.bool_ | np.number):  # a float64, though a float, rounds and divides in its own way
        return {SCALAR: torch.from_numpy(np.array(value))}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError(f"{where} must be an array of numbers, got one of objects")
        return {ARRAY: torch.from_numpy(value if value.flags.writeable and value.flags.c_contiguous else value.copy())}
    if isinstance(value, Growing) and rows is not None:
        return {TABLE: rows.write(where, value), "name": where}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | bool | None) or key in (ARRAY, SCALAR, TABLE):
                raise TypeError(f"{where} must have plain keys, got {key!r}")
        return {key: _packed(item, rows, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_packed(item, rows, f"{where}[{k}]") for k, item in enumerate(value)])
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, int | float | torch.Tensor):
        return value
    raise TypeError(f"{where} must be plain data, got {type(value).__name__}")


def _unpacked(value: Any, rows: RowFiles | None) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return value[ARRAY].numpy()
        if value.keys() == {SCALAR}:
            return value[SCALAR].numpy()[()]
        if value.keys() == {TABLE, "name"}:
            return rows.read(value["name"], value[TABLE]) if rows is not None else None
        return {key: _unpacked(item, rows) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_unpacked(item, rows) for item in value])
    return value
