"""Checkpoints: one file, written atomically, checked before it is trusted.

Layout: 8-byte magic, 32-byte SHA-256 of the payload, payload (`torch.save` of plain containers, arrays and tensors).
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from training.errors import UserError

MAGIC = b"MZBENCH1"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`; a kill at any moment leaves either the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(MAGIC)
        file.write(hashlib.sha256(payload).digest())
        file.write(payload)
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
    if raw[: len(MAGIC)] != MAGIC or hashlib.sha256(raw[head:]).digest() != raw[len(MAGIC) : head]:
        raise UserError(
            f"checkpoint {path} is corrupt ({len(raw)} bytes, checksum differs): restore it from a copy, "
            f"or move the run directory away to start the run anew"
        )
    # Our own file, verified above: it holds numpy arrays and generator states, which weights_only refuses.
    return torch.load(io.BytesIO(raw[head:]), map_location=device, weights_only=False)
