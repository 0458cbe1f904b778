"""Messages between the run and the processes that hold a game: one JSON head and raw arrays, in one frame.

A frame is 4 magic bytes, the lengths of head and body (two big-endian uint32), the head, the body. The head is a JSON
mapping; its key `arrays` lists (name, dtype, shape) of the arrays whose bytes follow each other in the body. Nothing
that is read is run, and whatever is no frame is refused: a process that has gone wrong may send anything.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

MAGIC = b"MZG1"
LENGTHS = struct.Struct(">4sII")
MOST_BYTES = 64 * 2**20  # of a frame; the largest map's is below 1 MB
KINDS = "biuf"  # dtypes that are nothing but numbers
PIECE = 2**16  # bytes asked of a socket at once

Message = tuple[dict[str, Any], dict[str, np.ndarray]]


class BadFrame(ValueError):
    """Bytes that are no frame of this format."""


def pack(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """One frame. Args: head: JSON-ready, without the key `arrays`; arrays: numbers or bools, any shape."""
    parts, entries = [], []
    for name, array in (arrays or {}).items():
        array = np.ascontiguousarray(array)
        entries.append([name, array.dtype.str, array.shape])
        parts.append(array.tobytes())
    text = json.dumps({**head, "arrays": entries}).encode()
    body = b"".join(parts)
    return LENGTHS.pack(MAGIC, len(text), len(body)) + text + body


class Reader:
    """Bytes as they come, cut into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._bytes += data

    def next(self) -> Message | None:
        """The next whole message: its head without `arrays`, and the arrays. None: it is not complete yet.

        Raises: BadFrame as soon as the bytes cannot be a frame.
        """
        start = bytes(self._bytes[: len(MAGIC)])
        if start != MAGIC[: len(start)]:
            raise BadFrame(f"a frame begins with {MAGIC!r}, got {start!r}")
        if len(self._bytes) < LENGTHS.size:
            return None
        _, text, body = LENGTHS.unpack_from(self._bytes)
        if text + body > MOST_BYTES:
            raise BadFrame(f"a frame has at most {MOST_BYTES} bytes, got one of {text + body}")
        end = LENGTHS.size + text + body
        if len(self._bytes) < end:
            return None
        message = _read(bytes(self._bytes[LENGTHS.size : end]), text)
        del self._bytes[:end]
        return message


def receive(connection: socket.socket, reader: Reader) -> Message | None:
    """The next message from a blocking socket; None when the other side has closed it. Raises: BadFrame."""
    while (message := reader.next()) is None:
        data = connection.recv(PIECE)
        if not data:
            return None
        reader.feed(data)
    return message


def _read(frame: bytes, text: int) -> Message:
    try:
        head = json.loads(frame[:text])
        entries = [(str(name), np.dtype(kind), tuple(shape)) for name, kind, shape in head.pop("arrays")]
        good = all(
            kind.kind in KINDS and all(isinstance(s, int) and s >= 0 for s in shape) for _, kind, shape in entries
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadFrame(f"a frame's head must be JSON that lists its arrays, got {frame[:80]!r}") from error
    sizes = [kind.itemsize * prod(shape) for _, kind, shape in entries]
    if not good or sum(sizes) != len(frame) - text:
        raise BadFrame(f"a frame's arrays must fill its {len(frame) - text} bytes with numbers, got {entries}")
    arrays, at = {}, text
    for (name, kind, shape), size in zip(entries, sizes, strict=True):
        arrays[name] = np.frombuffer(frame, kind, prod(shape), at).reshape(shape)
        at += size
    return head, arrays
