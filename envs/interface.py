"""The one interface through which learners see an environment: B episodes side by side, stepped together.

The arrays of a `VectorEnv` are allocated once and overwritten by every `reset`, `step` and `reset_done`; whoever
wants to keep a value copies it. `step` never starts a new episode by itself, so the last observation of an episode
can be read.

Episodes can be lost. A game outside this process may crash, hang, or be gone after a run was resumed: then the slot is
`discarded`, and to everything else it looks like one that the step limit has cut: `truncated` is True, `won` False, the
reward of the step 0, the observation the last one known, and no agent can do anything but action 0. `reset_done` starts
the next episode in it as in every finished slot. So nobody waits for a lost episode, and hidden states are reset as
usual; who learns from episodes or counts them leaves out those of discarded slots, whole. Steps of lost episodes count
as environment steps: they were played. Only `envs.smac` loses episodes.
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

    @property
    def discarded(self) -> np.ndarray:
        """(B,) bool: the slot's episode is lost, nobody may learn from it or count it; `truncated` is True there."""
        return np.zeros(self.num_envs, np.bool_)

    @property
    def losses(self) -> dict[str, int]:
        """What was lost so far: `game_faults`, `episodes_lost`; empty where nothing can be."""
        return {}

    @abstractmethod
    def reset(self, seed: int | None = None) -> None:
        """Start new episodes in every slot.

        A seed restarts slot b's stream at (seed, b); None goes on with the streams.
        """

    def reset_later(self, seed: int | None = None) -> None:
        """Start episodes in every slot that are not the first of a game: what evaluations play.

        In StarCraft II a game's first battle differs from all after it: these begin while the old units are removed,
        and the new enemies march a little earlier (`skirmish.Rules.respawn_loops`). Training plays one first battle a
        slot and then later ones, and so do the evaluations of PyMARL and of MAZero's authors, whose games stay open.
        Where episodes are all alike this is `reset`.

        Args: seed: as for `reset`; games that run are not seeded again (`envs.smac`).
        """
        self.reset(seed)

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
        """Copies of everything needed to go on exactly from here, or (`envs.smac`) with new episodes."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of an environment of the same name, options and number of slots.

        Where episodes cannot be restored all slots are discarded afterwards.
        """
