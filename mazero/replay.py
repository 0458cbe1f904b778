"""Prioritised replay of whole episodes with their searches.

All transitions of all episodes lie one behind the other in flat arrays that grow by doubling; `episode_start` and
`episode_end` of each transition say where its episode lies. Positions are drawn by proportional priority without
replacement (Schaul et al. 2015, arXiv 1511.05952; exponential races instead of a sum tree: exact, and one vector
operation at these sizes).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from skirmish.compiled import compiler_of
from training.rows import Growing

PRIORITY_FLOOR = 1e-6
njit = compiler_of(Path(__file__).parent)


@dataclass(frozen=True, eq=False)
class Episode:
    """One finished episode of T steps; all arrays have T rows."""

    obs: np.ndarray  # (T, n, O) float32, unstacked
    available: np.ndarray  # (T, n, A) bool
    action: np.ndarray  # (T, n) int16
    reward: np.ndarray  # (T,) float32
    search_value: np.ndarray  # (T,) float32, V(root)
    predicted_value: np.ndarray  # (T,) float32, value of the network that searched
    num_children: np.ndarray  # (T,) int32
    joint_actions: np.ndarray  # (T, K, n) int16
    visit_counts: np.ndarray  # (T, K) int32
    q: np.ndarray  # (T, K) float32
    importance: np.ndarray  # (T, K) float32, weight of each child in an estimate of the policy without noise


FIELDS = tuple(f.name for f in fields(Episode))
SEARCH_FIELDS = ("search_value", "predicted_value", "num_children", "joint_actions", "visit_counts", "q", "importance")


def reserve(arrays: dict[str, np.ndarray], rows: dict[str, np.ndarray], used: int, size: int) -> None:
    """Makes room for `size` rows like `rows` in arrays of the same names, which double and keep the first `used`."""
    for name, value in rows.items():
        old = arrays.get(name)
        if old is None or len(old) < size:
            grown = np.zeros((max(1024, 2 * size), *value.shape[1:]), value.dtype)
            if old is not None:
                grown[:used] = old[:used]
            arrays[name] = grown


class Replay:
    """Episodes in flat arrays, and who is drawn.

    Args:
      priority_alpha: exponent of priorities.    capacity: most transitions kept, None: all.
      searches_change: whether `write_search` will be called: searches then are part of every checkpoint.
    """

    def __init__(self, *, priority_alpha: float, capacity: int | None = None, searches_change: bool = False) -> None:
        self.priority_alpha, self.capacity = priority_alpha, capacity
        self._lasting = tuple(name for name in FIELDS if not (searches_change and name in SEARCH_FIELDS))
        self.size = 0
        self.dropped = 0  # transitions that were forgotten
        self._arrays: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self.size

    def __getattr__(self, name: str) -> np.ndarray:
        """Flat array of a field, first axis = transition."""
        arrays = self.__dict__.get("_arrays", {})
        if name in arrays:
            return arrays[name][: self.size]
        raise AttributeError(f"replay has no field {name!r}")

    def add(self, episode: Episode) -> None:
        """Append an episode of at least one step at the highest priority seen so far (1 at first)."""
        length = len(episode.reward)
        new = {name: getattr(episode, name) for name in FIELDS}
        top = float(self.priority.max()) if self.size else 1.0
        new["priority"] = np.full(length, top)
        new["episode_start"] = np.full(length, self.size)
        new["episode_end"] = np.full(length, self.size + length)
        reserve(self._arrays, new, self.size, self.size + length)
        for name, rows in new.items():
            self._arrays[name][self.size : self.size + length] = rows
        self.size += length
        if self.capacity is not None and self.size > self.capacity:
            self._forget()

    def sample(self, batch: int, *, beta: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions by priority.

        Args:
          batch: how many; if fewer are stored, positions repeat.    beta: exponent of the importance weights.
        Returns: positions (batch,) int64, importance weights (batch,) float32, divided by their maximum.
        """
        mass = self.priority**self.priority_alpha
        if batch <= self.size:
            race = rng.standard_exponential(self.size) / mass
            positions = np.sort(np.argpartition(race, batch - 1)[:batch])
        else:
            positions = rng.choice(self.size, batch, p=mass / mass.sum())
        weights = (self.size * mass[positions] / mass.sum()) ** -beta
        return positions, (weights / weights.max()).astype(np.float32)

    def set_priorities(self, positions: np.ndarray, errors: np.ndarray) -> None:
        """Priority = |error| + 1e-6 at `positions`."""
        self.priority[positions] = np.abs(errors) + PRIORITY_FLOOR

    def age(self, positions: np.ndarray) -> np.ndarray:
        """Transitions collected since those at `positions`, themselves included; both (B,) int64."""
        return self.size - positions

    def stacked_obs(self, positions: np.ndarray, depth: int) -> np.ndarray:
        """Last `depth` observations, oldest first, the first of an episode repeated at its start.

        Args: positions: (...,) int64.    Returns: (..., n, depth * O) float32.
        """
        flat = positions.reshape(-1)
        _, n, width = self.obs.shape
        out = np.empty((len(flat), n, depth * width), np.float32)
        _stack(self.obs, flat, self.episode_start[flat], out)
        return out.reshape(*positions.shape, n, depth * width)

    def write_search(self, positions: np.ndarray, search: dict[str, np.ndarray]) -> None:
        """Replace stored searches; `search` holds SEARCH_FIELDS with one row a position."""
        changing = set(SEARCH_FIELDS).isdisjoint(self._lasting)
        assert changing, "a replay whose searches change must be made with searches_change"
        for name in SEARCH_FIELDS:
            self._arrays[name][positions] = search[name]

    def state_dict(self) -> dict[str, Any]:
        """What never changes as a growing table, copies of the rest."""
        first, end = self.dropped, self.dropped + self.size

        def rows(since: int) -> dict[str, np.ndarray]:
            return {name: self._arrays[name][since - first : end - first] for name in self._lasting if self._arrays}

        changing = {k: v[: self.size].copy() for k, v in self._arrays.items() if k not in self._lasting}
        return {"rows": Growing(first, end, rows), "changing": changing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        table = state["rows"]
        self.dropped, self.size = table.first, table.end - table.first
        self._arrays = {k: v.copy() for k, v in (table.read(table.first) | state["changing"]).items()}

    def _forget(self) -> None:
        """Drop the oldest episodes until a tenth of the capacity is free again (so that copying stays rare)."""
        assert self.capacity is not None
        surplus = self.size - int(0.9 * self.capacity)
        cut = int(self.episode_end[surplus - 1])
        for name, array in self._arrays.items():
            array[: self.size - cut] = array[cut : self.size].copy()
            if name in ("episode_start", "episode_end"):
                array[: self.size - cut] -= cut
        self.size -= cut
        self.dropped += cut


@njit(cache=True, nogil=True)
def _stack(obs, positions, starts, out):
    """One pass over what numpy would copy three times: these rows are megabytes a batch.

    Args:
      obs: (T, n, O).    positions, starts: (M,), of episodes.    out: (M, n, depth * O), filled oldest first.
    """
    _, n, width = obs.shape
    depth = out.shape[2] // width
    for m in range(len(positions)):
        for d in range(depth):
            position = max(positions[m] - (depth - 1 - d), starts[m])
            for i in range(n):
                for c in range(width):
                    out[m, i, d * width + c] = obs[position, i, c]


class Beside:
    """One entry for each position of a replay: grows with it, and loses what it drops.

    Args:
      dtype: of an entry.    fill: entry of a position that is new, a number or a row of numbers.
    """

    def __init__(self, dtype: type[np.generic], fill: float | list[int]) -> None:
        self._fill = np.array([fill], dtype)
        self.forget()

    def forget(self) -> None:
        """Every position is new again."""
        self._first = 0  # absolute number of the position whose entry stands first
        self._entries = self._fill[:0]

    def follow(self, replay: Replay) -> np.ndarray:
        """The entries of the positions that `replay` holds now, (replay.size, ...), to read and to write."""
        gone = min(max(0, replay.dropped - self._first), len(self._entries))
        missing = replay.size - (len(self._entries) - gone)
        if gone or missing:
            self._entries = np.concatenate((self._entries[gone:], np.repeat(self._fill, missing, axis=0)))
            self._first = replay.dropped
        return self._entries

    def state_dict(self) -> dict[str, Any]:
        """A copy of all entries."""
        return {"first": self._first, "entries": self._entries.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._first, self._entries = state["first"], state["entries"].copy()
