"""Checkpoints: one file, written atomically, checked before it is trusted.

Layout: 8-byte magic, 32-byte SHA-256 of the payload, payload (`torch.save` of plain containers, arrays and tensors).
The payload goes to the file as it is made: a replay of gigabytes is not held in memory a second time.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from training.errors import UserError

MAGIC = b"MZBENCH1"
PROTOCOL = 5  # of pickle: older ones write arrays as text, which takes three times as long and a third more space


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


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`; a kill at any moment leaves either the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        payload = _Hashed(file)
        file.write(MAGIC + bytes(payload.sha256.digest_size))  # the digest is known at the end
        torch.save(state, cast(IO[bytes], payload), pickle_protocol=PROTOCOL)
        file.seek(len(MAGIC))
        file.write(payload.sha256.digest())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path, *, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint written by `save`.

    Raises: UserError if the file is missing, is no checkpoint, or was damaged; the message names the remedy.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no checkpoint at {path}: give the run directory of a run that was started") from None
    head = len(MAGIC) + hashlib.sha256().digest_size
    payload = memoryview(raw)[head:]
    if raw[: len(MAGIC)] != MAGIC or hashlib.sha256(payload).digest() != raw[len(MAGIC) : head]:
        raise UserError(
            f"checkpoint {path} is corrupt ({len(raw)} bytes, checksum differs): restore it from a copy, "
            f"or move the run directory away to start the run anew"
        )
    # Our own file, verified above: it holds numpy arrays and generator states, which weights_only refuses.
    return torch.load(io.BytesIO(payload), map_location=device, weights_only=False)
