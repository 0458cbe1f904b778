"""Ring of single steps, episode behind episode, from which sequences of a fixed length are drawn, across their ends.

An episode that ended by itself (not by the step limit) is followed by two absorbing steps: observation 0, everything
legal, any actions, reward 0, over, and marked as fake. The last step of an episode, absorbing or not, is marked `last`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.mamba.world_model import NO_ACTION
from envs.interface import EnvInfo
from training.rows import Growing

ABSORBING_STEPS = 2


@dataclass(frozen=True)
class Episode:
    """One finished episode of L steps, absorbing ones included."""

    obs: np.ndarray  # (L, n, O) float32
    avail: np.ndarray  # (L, n, A) bool
    action: np.ndarray  # (L, n) integers
    reward: np.ndarray  # (L,) float32
    done: np.ndarray  # (L,) bool, the episode is over after this step
    fake: np.ndarray  # (L,) bool, an absorbing step


@dataclass(frozen=True)
class SequenceBatch:
    """B sequences, time first. Entry t: observation o_t and what the action a_{t-1} before it had brought.

    A sequence of S stored steps makes T = S - 1 entries: a reward belongs to the action, so to the step before.
    """

    obs: Tensor  # (T, B, n, O)
    last_action: Tensor  # (T, B, n) int64
    avail: Tensor  # (T, B, n, A) float, at o_t
    reward: Tensor  # (T, B) of a_{t-1}
    done: Tensor  # (T, B) float, a_{t-1} ended the episode
    fake: Tensor  # (T, B) float, o_t is absorbing
    last: Tensor  # (T, B) float, o_t is the last of its episode


class StepStore:
    """The last `capacity` steps. The arrays grow with what is stored."""

    def __init__(self, info: EnvInfo, capacity: int) -> None:
        n, actions = info.n_agents, info.n_actions
        self._capacity = capacity
        self._added = 0  # steps ever added; step k lies in row k % capacity
        self._rows: dict[str, np.ndarray] = {
            "obs": np.zeros((0, n, info.obs_size), np.float32),
            "avail": np.zeros((0, n, actions), bool),
            "action": np.zeros((0, n), np.uint8 if actions <= 256 else np.int16),
            "reward": np.zeros(0, np.float32),
            "done": np.zeros(0, bool),
            "fake": np.zeros(0, bool),
            "last": np.zeros(0, bool),
        }

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, episode: Episode) -> None:
        """Append an episode's steps; the oldest steps leave where there is no room."""
        last = np.zeros(len(episode.reward), bool)
        last[-1] = True
        steps = {name: getattr(episode, name) for name in self._rows if name != "last"} | {"last": last}
        end = self._added + len(last)
        self._grow(min(end, self._capacity))
        kept = np.arange(max(self._added, end - self._capacity), end)
        for name, array in self._rows.items():
            array[kept % self._capacity] = steps[name][kept - self._added]
        self._added = end

    def sample(
        self, generator: np.random.Generator, count: int, length: int, *, reset_action: bool, device: str
    ) -> SequenceBatch:
        """`count` sequences of `length` steps, as `starts` draws them; see `batch`."""
        starts = self.starts(generator, count, length)
        return self.batch(starts, length, reset_action=reset_action, device=device)

    def starts(self, generator: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Uniformly drawn rows at which sequences begin, (count,).

        Until the ring is full they lie in [0, size - length), as in the reference (the newest step is never drawn
        then); thereafter anywhere such that the sequence does not run from the newest step into the oldest.

        Raises: ValueError if there are not more than `length` steps.
        """
        size = len(self)
        if size <= length:
            raise ValueError(f"cannot draw sequences of {length} steps from {size}: collect more first")
        if size < self._capacity:
            return generator.integers(0, size - length, count)
        return (self._added + generator.integers(0, size - length + 1, count)) % size

    def batch(self, starts: np.ndarray, length: int, *, reset_action: bool, device: str) -> SequenceBatch:
        """The sequences that begin at these rows.

        Args: reset_action: the first step of an episode has no last action, instead of that of the episode before.
        """
        rows = (starts + np.arange(length)[:, None]) % self._capacity  # (S, B)
        now, before = rows[1:], rows[:-1]
        action = self._rows["action"][before].astype(np.int64)
        if reset_action:
            action[self._rows["last"][before]] = NO_ACTION

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        def number(name: str, at: np.ndarray) -> Tensor:
            return tensor(self._rows[name][at].astype(np.float32))

        return SequenceBatch(
            obs=tensor(self._rows["obs"][now]),
            last_action=tensor(action),
            avail=number("avail", now),
            reward=number("reward", before),
            done=number("done", before),
            fake=number("fake", now),
            last=number("last", now),
        )

    def state_dict(self) -> dict[str, Any]:
        """The stored steps, as a growing table."""

        def rows(since: int) -> dict[str, np.ndarray]:
            at = np.arange(since, self._added) % self._capacity
            return {name: array[at] for name, array in self._rows.items()}

        return {"rows": Growing(self._added - len(self), self._added, rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned. Rows keep their places, so the same draws give the same sequences."""
        table: Growing = state["rows"]
        self._added = table.end
        self._rows = {name: array[:0] for name, array in self._rows.items()}
        self._grow(table.end - table.first)
        at = np.arange(table.first, table.end) % self._capacity
        for name, array in table.read(table.first).items():
            self._rows[name][at] = array

    def _grow(self, needed: int) -> None:
        """Room for so many rows, at the same places."""
        room = len(self._rows["reward"])
        if needed <= room:
            return
        larger = min(self._capacity, max(needed, room + room // 2, 1024))
        for name, array in self._rows.items():
            grown = np.zeros((larger, *array.shape[1:]), array.dtype)
            grown[:room] = array
            self._rows[name] = grown
