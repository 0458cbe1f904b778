"""Word of long compilations on stderr, because a minute of silence looks like a hang.

Two lines when kernels must be compiled, none when they are found on disk. SKIRMISH_QUIET=1 in the environment leaves
them out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event


class Announcer(event.Listener):
    """Hears of everything that numba compiles and reports what was announced with `watch`."""

    def __init__(self) -> None:
        """Silent until something is watched."""
        self._watched: set[int] = set()
        self._began: float | None = None
        self._held = 0

    def watch(self, dispatcher: Any) -> None:
        """Report compilations of this kernel; what it calls is part of it."""
        self._watched.add(id(dispatcher))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Report everything that is compiled inside as one."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._held == 0:
                self._end()

    def on_start(self, event: Any) -> None:
        """numba begins to compile a function."""
        if self._began is None and id(event.data["dispatcher"]) in self._watched:
            self._began = time.perf_counter()
            _say("compiling kernels, once for this version on this machine (about a minute) ...")

    def on_end(self, event: Any) -> None:
        """numba has compiled a function."""
        if self._held == 0 and id(event.data["dispatcher"]) in self._watched:
            self._end()

    def _end(self) -> None:
        if self._began is not None:
            _say(f"... compiled in {time.perf_counter() - self._began:.0f} s")
            self._began = None


def _say(text: str) -> None:
    if os.environ.get("SKIRMISH_QUIET", "") in ("", "0") and sys.stderr is not None:
        sys.stderr.write(f"skirmish: {text}\n")
        sys.stderr.flush()


announcer = Announcer()
event.register("numba:compile", announcer)
