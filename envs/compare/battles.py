"""Whole battles, step by step: what `--record` keeps, and what everything else is measured on.

A file is an .npz with these arrays, for E episodes of U units (agents first), of which episode e has the rows
`start[e]` to `start[e + 1]`: one for every step, and a last one for how it ended.

| array | shape | what |
|---|---|---|
| `start` | (E + 1,) int64 | first row of each episode |
| `states` | (rows, 6, U) float32 | x, y, health, shield, weapon cooldown in game loops (agents only), energy |
| `kinds` | (E, U) int16 | unit types, by position in the header's `kinds` |
| `health_max` | (E, U) float32 | as the game tells it |
| `actions` | (rows, n) int16 | SMAC's action ids given in this state, orders of a script; -1 in the last row |
| `reward` | (rows,) float32 | of the step from this state; 0 in the last row |
| `won`, `truncated` | (E,) bool | how it ended; neither: lost, or both sides died |
| `header` | text | JSON: format, map, backend, game, policy, seed, step_mul, n_agents, kinds |

Units of health 0 are dead; what else is told of them then means nothing. No battle is the first one of its game.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from training.errors import UserError
from training.files import replacing

FORMAT = "mazero-bench battles 1"
ARRAYS = ("start", "states", "kinds", "health_max", "actions", "reward", "won", "truncated")
ROWS = 6  # of unit states that a game tells
X, Y, HEALTH, SHIELD, COOLDOWN, ENERGY = range(ROWS)


@dataclass(frozen=True, eq=False)
class Battles:
    """E whole episodes; arrays as in the table above."""

    start: np.ndarray
    states: np.ndarray
    kinds: np.ndarray
    health_max: np.ndarray
    actions: np.ndarray
    reward: np.ndarray
    won: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.won)

    @property
    def lengths(self) -> np.ndarray:
        """(E,) environment steps."""
        return np.diff(self.start) - 1

    def first(self, count: int) -> Battles:
        """The first `count` episodes."""
        rows = int(self.start[count])
        parts = {"start": self.start[: count + 1]}
        parts |= {name: getattr(self, name)[:rows] for name in ("states", "actions", "reward")}
        parts |= {name: getattr(self, name)[:count] for name in ("kinds", "health_max", "won", "truncated")}
        return Battles(**parts)

    def save(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write the file, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with replacing(path) as file:
            np.savez_compressed(file, header=np.array(json.dumps({"format": FORMAT, **header})), **arrays)


def load(path: Path) -> tuple[Battles, dict[str, Any]]:
    """Battles and header of a file. Raises: UserError for anything that is none."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} must hold recorded battles, got {type(error).__name__} ({error}): delete it, or get it again"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{path} must be of the format {FORMAT!r}, got {header!r:.80}: use the program that wrote it")
    return Battles(**arrays), header


def join(parts: Iterable[Battles]) -> Battles:
    """Battles of one map, one after another."""
    all_of = list(parts)
    rows = np.cumsum([0, *(int(part.start[-1]) for part in all_of)])
    start = [part.start[:-1] + row for part, row in zip(all_of, rows, strict=False)]
    arrays = {name: np.concatenate([getattr(part, name) for part in all_of]) for name in ARRAYS[1:]}
    return Battles(start=np.concatenate([*start, rows[-1:]]), **arrays)


class Recorder:
    """Collects the episodes of B slots; `take` gives those that are whole.

    Args: n_agents: n.
    """

    def __init__(self, num_envs: int, n_agents: int) -> None:
        self._n = n_agents
        self._kinds: list[np.ndarray] = [np.zeros(0)] * num_envs
        self._health: list[np.ndarray] = [np.zeros(0)] * num_envs
        self._states: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        self._actions: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        self._rewards: list[list[float]] = [[] for _ in range(num_envs)]
        self._done: dict[int, tuple[bool, bool]] = {}

    def begin(self, slot: int, kinds: np.ndarray, health_max: np.ndarray, state: np.ndarray) -> None:
        """An episode begins. Args: kinds, health_max: (U,); state: (6, U)."""
        self._kinds[slot], self._health[slot] = kinds.astype(np.int16), health_max.astype(np.float32)
        self._states[slot], self._actions[slot], self._rewards[slot] = [state.astype(np.float32)], [], []

    def step(self, slot: int, actions: np.ndarray, reward: float, state: np.ndarray) -> None:
        """A step. Args: actions: (n,) given before it; state: (6, U) after it."""
        self._actions[slot].append(actions.astype(np.int16))
        self._rewards[slot].append(float(reward))
        self._states[slot].append(state.astype(np.float32))

    def end(self, slot: int, *, won: bool, truncated: bool) -> None:
        """The slot's episode is whole, and is kept."""
        self._done[slot] = (won, truncated)

    def take(self) -> Battles:
        """The whole episodes by slot."""
        slots = sorted(self._done)
        nothing = np.full(self._n, -1, np.int16)
        return Battles(
            start=np.cumsum([0, *(len(self._states[b]) for b in slots)]).astype(np.int64),
            states=np.stack([state for b in slots for state in self._states[b]]),
            kinds=np.stack([self._kinds[b] for b in slots]),
            health_max=np.stack([self._health[b] for b in slots]),
            actions=np.stack([a for b in slots for a in (*self._actions[b], nothing)]),
            reward=np.array([r for b in slots for r in (*self._rewards[b], 0.0)], np.float32),
            won=np.array([self._done[b][0] for b in slots]),
            truncated=np.array([self._done[b][1] for b in slots]),
        )
