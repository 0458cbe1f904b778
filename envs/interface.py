"""The one interface through which learners see an environment: B episodes side by side, stepped together.

The arrays of a `VectorEnv` are allocated once and overwritten by every `reset`, `step` and `reset_done`; whoever
wants to keep a value copies it. `step` never starts a new episode by itself, so the last observation of an episode
can be read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from skirmish.checks import Snapshot, require_known, restore_arrays
from skirmish.faces.slots import EnvInfo, Slots

__all__ = ["EnvInfo", "Snapshot", "VectorEnv", "require_known", "restore_arrays"]


class VectorEnv(Slots, ABC):
    """B independent episodes. Slot b's episodes come from the random stream (seed, b)."""

    idle_action: int | None = None  # of an agent that can act and does nothing; None: there is no such action

    @abstractmethod
    def reset(self, seed: int | None = None) -> None:
        """Start new episodes in every slot.

        A seed restarts slot b's stream at (seed, b); None goes on with the streams.
        """

    @abstractmethod
    def step(self, actions: np.ndarray) -> None:
        """Advance every unfinished slot by one step; finished slots keep everything and get reward 0.

        Args: actions: (B, n) integers.
        Raises: ValueError for an unavailable action in an unfinished slot, before anything has changed.
        """

    @abstractmethod
    def reset_done(self) -> None:
        """Start new episodes in the finished slots; their flags and rewards are cleared."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Copies of everything needed to go on exactly from here."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of an environment of the same name, options and number of slots."""
