"""Random numbers that are found by where they belong, not by what was drawn before.

A `CounterStreams` gives one numpy generator for every place (seed, purpose, slot, episode, step): Philox 4x64 with the
first two as key and the others as counter. Nothing has to be saved with a snapshot but the counters themselves, and
slots do not influence each other.
"""

from __future__ import annotations

import numpy as np

# Purposes: no two users of the same seed may share one.
ACTION_FAILURES, OBS_DROPOUTS, OBS_NOISE, BATTLES, TRAITS = 1, 2, 3, 4, 5


class CounterStreams:
    """Generators for the places of one purpose."""

    def __init__(self, purpose: int) -> None:
        self._purpose = purpose
        self._bits = np.random.Philox(key=np.zeros(2, np.uint64))
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state

    def at(self, seed: int, *, slot: int, episode: int, step: int = 0) -> np.random.Generator:
        """The generator of one place, at its beginning.

        It is the same object every time (making one takes longer than most draws): use it before the next call.
        """
        inner = self._state["state"]
        inner["key"][0], inner["key"][1] = seed, self._purpose
        inner["counter"][:] = 0, step, episode, slot
        self._state["buffer_pos"], self._state["has_uint32"] = 4, 0  # nothing left over from another place
        self._bits.state = self._state
        return self._generator


def require_seed(seed: int) -> None:
    """Raises: ValueError for a seed outside [0, 2^64)."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must lie in [0, 2**64), got {seed!r}: pass a non-negative integer")
