"""Ring of whole episodes, stored without padding; batches are packed, without padding too.

Rows of all episodes lie behind one another in flat arrays that are used as a ring: an episode of L steps takes L + 1
rows (the last one is what was seen at the end), and the oldest episodes make room for new ones. The arrays grow with
what is stored, so a short run on a small map stays small. One-hots are rebuilt when needed, never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from baselines.value_based.agent import NO_ACTION
from envs.interface import EnvInfo
from training.rows import Growing


@dataclass(frozen=True)
class Episode:
    """One finished episode of L steps."""

    obs: np.ndarray  # (L + 1, n, O) float32
    state: np.ndarray  # (L + 1, S) float32
    avail: np.ndarray  # (L + 1, n, A) bool
    actions: np.ndarray  # (L, n) integers
    reward: np.ndarray  # (L,) float32
    terminated: bool  # whether nothing is worth anything after the last step
    notes: dict[str, np.ndarray] = field(default_factory=dict)  # (L, n) each: what the policy noted beside the action


@dataclass(frozen=True)
class EpisodeBatch:
    """B episodes, packed: longest first, time first, no padding.

    The rows of step t are those of the first `counts[t]` episodes. An episode of L steps has L + 1 rows, the last one
    for what was seen at the end: R rows in all, of which M = R - B are steps. Row `now[m]` is a step, row `after[m]`
    what followed it.
    """

    obs: np.ndarray  # (R, n, O) float32
    state: np.ndarray  # (R, S) float32
    avail: np.ndarray  # (R, n, A) bool
    last_action: np.ndarray  # (R, n) int64, of the step before; NO_ACTION at the start
    counts: list[int]  # (T + 1,) rows of each step, not rising
    now: np.ndarray  # (M,) int64
    after: np.ndarray  # (M,) int64
    actions: np.ndarray  # (M, n) int64
    reward: np.ndarray  # (M,) float32
    terminated: np.ndarray  # (M,) bool
    notes: dict[str, np.ndarray] = field(default_factory=dict)  # (M, n) each


class EpisodeStore:
    """The last `capacity` episodes. notes: names and types of what the policy notes beside the actions."""

    def __init__(self, info: EnvInfo, capacity: int, notes: Mapping[str, Any] | None = None) -> None:
        n, actions = info.n_agents, info.n_actions
        self._rows: dict[str, np.ndarray] = {
            "obs": np.zeros((0, n, info.obs_size), np.float32),
            "state": np.zeros((0, info.state_size), np.float32),
            "avail": np.zeros((0, n, actions), bool),
            "actions": np.zeros((0, n), np.uint8 if actions <= 256 else np.int16),
            "reward": np.zeros(0, np.float32),
            **{name: np.zeros((0, n), kind) for name, kind in (notes or {}).items()},
        }
        self._notes = tuple(notes or ())
        self._first = np.zeros(capacity, np.int64)  # first row of each episode, as a position in the ring of rows
        self._length = np.zeros(capacity, np.int64)  # L of each episode
        self._terminated = np.zeros(capacity, bool)
        self._count = 0  # episodes ever added; episode k lies in entry k % capacity
        self._added = 0  # rows ever added

    def __len__(self) -> int:
        return min(self._count, len(self._length))

    @property
    def num_rows(self) -> int:
        """Rows in use."""
        return int(self._length[: len(self)].sum()) + len(self)

    def add(self, episode: Episode) -> None:
        """Append an episode; the oldest leaves if there are `capacity` already."""
        capacity, room = len(self._length), len(self._rows["reward"])
        entry = self._count % capacity
        kept = self.num_rows - (int(self._length[entry]) + 1 if self._count >= capacity else 0)
        steps = len(episode.reward)
        if kept + steps + 1 > room:
            # Growing drops nothing: the oldest episode is still in place while the rows are copied.
            self._grow(max(room + room // 2, self.num_rows + steps + 1, 1024))
            room = len(self._rows["reward"])
        newest = (self._count - 1) % capacity
        start = (int(self._first[newest]) + int(self._length[newest]) + 1) % room
        rows = (start + np.arange(steps + 1)) % room
        for name in ("obs", "state", "avail"):
            self._rows[name][rows] = getattr(episode, name)
        of_steps = {"actions": episode.actions, "reward": episode.reward}
        for name, values in (of_steps | {name: episode.notes[name] for name in self._notes}).items():
            self._rows[name][rows[:-1]] = values
            self._rows[name][rows[-1]] = 0
        self._first[entry], self._length[entry], self._terminated[entry] = start, steps, episode.terminated
        self._count += 1
        self._added += steps + 1

    def sample(self, generator: np.random.Generator, size: int) -> EpisodeBatch:
        """`size` distinct episodes, uniformly drawn. Raises: ValueError if fewer are stored."""
        if size > len(self):
            raise ValueError(f"cannot draw {size} distinct episodes from {len(self)}: collect more first")
        return self.batch(generator.choice(len(self), size=size, replace=False))

    def batch(self, entries: np.ndarray) -> EpisodeBatch:
        """The episodes in these entries, (B,) indices below `len(self)`."""
        entries = entries[np.argsort(-self._length[entries], kind="stable")]
        length = self._length[entries]
        exists = np.arange(length[0] + 1)[:, None] <= length  # (T + 1, B)
        time, episode = np.nonzero(exists)  # (R,) each: the packed order
        counts = exists.sum(1)
        rows = (self._first[entries][episode] + time) % len(self._rows["reward"])
        now = np.flatnonzero(time < length[episode])
        after = np.flatnonzero(time > 0)  # both are ordered by time, then episode: they correspond
        actions = self._rows["actions"][rows[now]].astype(np.int64)
        last_action = np.full((len(rows), actions.shape[1]), NO_ACTION, np.int64)
        last_action[after] = actions
        return EpisodeBatch(
            obs=self._rows["obs"][rows],
            state=self._rows["state"][rows],
            avail=self._rows["avail"][rows],
            last_action=last_action,
            counts=counts.tolist(),
            now=now,
            after=after,
            actions=actions,
            reward=self._rows["reward"][rows[now]],
            terminated=(time[now] == length[episode[now]] - 1) & self._terminated[entries][episode[now]],
            notes={name: self._rows[name][rows[now]] for name in self._notes},
        )

    def state_dict(self) -> dict[str, Any]:
        """The stored episodes only, without spare room; their rows as a growing table."""
        first, order = self._added - self.num_rows, self._in_order()

        def rows(since: int) -> dict[str, np.ndarray]:
            return {name: array[order[since - first :]] for name, array in self._rows.items()}

        return {
            "rows": Growing(first, self._added, rows),
            "length": self._length[self._age_order()],
            "terminated": self._terminated[self._age_order()],
            "count": self._count,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned. Entries keep their places, so the same draws give the same episodes."""
        self._count = state["count"]
        order = self._age_order()
        self._length[order], self._terminated[order] = state["length"], state["terminated"]
        self._lay_out()
        table = state["rows"]
        self._rows, self._added = table.read(table.first), table.end

    def _age_order(self) -> np.ndarray:
        """Entries from the oldest to the newest episode."""
        return np.arange(self._count - len(self), self._count) % len(self._length)

    def _in_order(self) -> np.ndarray:
        """Positions of all used rows, oldest first."""
        oldest = int(self._first[self._age_order()[0]]) if len(self) else 0
        return (oldest + np.arange(self.num_rows)) % max(1, len(self._rows["reward"]))

    def _grow(self, room: int) -> None:
        """Move the rows to the beginning of larger arrays."""
        order = self._in_order()
        for name, array in self._rows.items():
            larger = np.zeros((room, *array.shape[1:]), array.dtype)
            larger[: len(order)] = array[order]
            self._rows[name] = larger
        self._lay_out()

    def _lay_out(self) -> None:
        """First rows of all episodes when they lie behind one another from row 0 on."""
        order = self._age_order()
        used = self._length[order] + 1
        self._first[order] = np.cumsum(used) - used
