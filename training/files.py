"""Files that are whole at any moment."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` once it is complete and on disk.

    A kill at any moment leaves the old file or the new one; an error, a full disk for instance, leaves the old one and
    nothing else. Temporary names are of their own, so that two processes do not write into one file.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())  # mkstemp's own mode is for nobody else to read
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """Write JSON, indented, as `replacing` does. Raises: ValueError for numbers that are not finite."""
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())


def write_text(path: Path, text: str) -> Path:
    """Write a text file, its folders included, as `replacing` does. Returns: the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())
    return path


def clear_leftovers(directory: Path) -> None:
    """Remove what a killed process left of files it was writing; call it while nobody else writes there."""
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
