"""Tables that only grow, written once: a checkpoint adds the rows that are new and says which rows count.

A replay is by far the largest part of a run's state, and what a step saw never changes. So its rows do not lie in the
checkpoint but beside it, in files `rows/0.rows`, `rows/1.rows`, ... that are only ever appended to. The checkpoint
holds an index of chunks: file, place, SHA-256. Bytes that no chunk names were written by a process that was killed
before its checkpoint was complete; they are written over. A file goes once no chunk lies in it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import UserError

FILE_BYTES = 64 * 2**20  # no chunk begins behind this place of a file: dropped rows give their room back in such pieces
PLAIN_KINDS = "biuf"  # dtypes that are nothing but numbers


@dataclass(frozen=True, eq=False)
class Growing:
    """A table in a state: rows are added at its end and may be dropped at its beginning, but never change.

    It is read while the owner of the rows does nothing else: later rows may have been dropped.
    """

    first: int
    """Number of the oldest row that is wanted, counted from the first one ever added."""
    end: int
    """How many rows were ever added."""
    read: Callable[[int], dict[str, np.ndarray]]
    """`read(since)`: arrays of rows since..end by column; first <= since <= end."""


class Chunk(NamedTuple):
    """Rows that were written together, column by column."""

    file: int
    offset: int
    bytes: int
    sha256: str
    first: int
    end: int


class RowFiles:
    """The files of one run's tables.

    Args: folder: where they lie; made when there is something to write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, list[Chunk]] = {}  # as the checkpoint on disk has them
        self._written: dict[str, list[Chunk]] = {}  # as the one that is being written will
        self._files = 0  # names in use or used

    def write(self, table: str, growing: Growing) -> dict[str, Any]:
        """Append the rows of a table that are not in its files yet, and force them to disk.

        Returns: what `read` needs, plain data for the checkpoint; once that is in place, call `keep`.
        Raises: TypeError for columns that are not numbers.
        """
        before = self._tables.get(table, [])
        chunks = [chunk for chunk in before if chunk.end > growing.first]
        since = max(growing.first, before[-1].end if before else 0)
        rows = growing.read(min(since, growing.end))  # no rows at all still tell the columns
        for name, column in rows.items():
            if column.dtype.kind not in PLAIN_KINDS:
                raise TypeError(f"column {name} of {table} must hold numbers, got {column.dtype}")
        if growing.end > since:
            chunks.append(self._append(before, rows, since, growing.end))
        self._written[table] = chunks
        columns = {name: (column.dtype.str, column.shape[1:]) for name, column in rows.items()}
        return {"first": growing.first, "end": growing.end, "columns": columns, "chunks": [tuple(c) for c in chunks]}

    def keep(self) -> None:
        """The checkpoint that names what was written is in place: remove the files it has no use for."""
        self._tables, self._written = self._written, {}
        used = {chunk.file for chunks in self._tables.values() for chunk in chunks}
        for path in self._folder.glob("*.rows"):
            if path.stem.isdigit() and int(path.stem) not in used:
                path.unlink(missing_ok=True)

    def read(self, table: str, index: Mapping[str, Any]) -> Growing:
        """The table that `write` returned `index` for; its files are opened, and checked, when it is read."""
        chunks = [Chunk(*chunk) for chunk in index["chunks"]]
        columns = {name: (np.dtype(kind), tuple(shape)) for name, (kind, shape) in index["columns"].items()}
        self._tables[table] = chunks
        self._files = max([self._files, *(chunk.file + 1 for chunk in chunks)])
        first, end = index["first"], index["end"]

        def rows(since: int) -> dict[str, np.ndarray]:
            found = {name: np.empty((end - since, *shape), kind) for name, (kind, shape) in columns.items()}
            for chunk in chunks:
                if chunk.end <= since:
                    continue
                for name, column in self._columns(chunk, columns).items():
                    skipped = max(0, since - chunk.first)
                    found[name][chunk.first + skipped - since : chunk.end - since] = column[skipped:]
            return found

        return Growing(first, end, rows)

    def remove(self) -> None:
        """Remove all files: the run is over."""
        self._written = {}
        self.keep()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _append(self, before: list[Chunk], rows: dict[str, np.ndarray], first: int, end: int) -> Chunk:
        last = before[-1] if before else None
        offset = 0 if last is None else last.offset + last.bytes
        if last is None or offset >= FILE_BYTES:
            file, offset = self._files, 0
            self._files += 1
        else:
            file = last.file
        self._folder.mkdir(exist_ok=True)
        path, sha256 = self._path(file), hashlib.sha256()
        with open(path, "r+b" if offset else "wb") as target:
            target.seek(offset)
            target.truncate()
            for column in rows.values():
                data = np.ascontiguousarray(column).reshape(-1).view(np.uint8).data
                sha256.update(data)
                target.write(data)
            target.flush()
            size = target.tell() - offset
            os.fsync(target.fileno())
        return Chunk(file, offset, size, sha256.hexdigest(), first, end)

    def _columns(self, chunk: Chunk, columns: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> dict[str, np.ndarray]:
        """Raises: UserError if the file does not hold what the checkpoint says."""
        path = self._path(chunk.file)
        raw = b""
        if path.is_file():
            with open(path, "rb") as file:
                file.seek(chunk.offset)
                raw = file.read(chunk.bytes)
        if len(raw) != chunk.bytes or hashlib.sha256(raw).hexdigest() != chunk.sha256:
            raise UserError(
                f"{path} must hold {chunk.bytes} bytes from byte {chunk.offset} on that this run's checkpoint was "
                f"written after, got {'others' if len(raw) == chunk.bytes else len(raw)}: restore it from a copy, or "
                f"move {path.parent.parent} away to start the run anew"
            )
        found, at, count = {}, 0, chunk.end - chunk.first
        for name, (kind, shape) in columns.items():
            values = np.frombuffer(raw, kind, count * prod(shape), at)
            found[name] = values.reshape(count, *shape)
            at += values.nbytes
        return found

    def _path(self, file: int) -> Path:
        return self._folder / f"{file:d}.rows"
