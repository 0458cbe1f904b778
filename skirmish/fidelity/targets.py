"""What real StarCraft II games pin down, read from the data files beside this package (`data/README.md`).

Runs are the training runs of the SMAC paper (game 4.6.2). Their first tests happen before anything was learned: after
one episode of uniformly random play (COMA: eight episodes), with untrained networks.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from skirmish.checks import require_known

DATA = Path(__file__).parent / "data"
COMA_EPISODES = 8  # COMA plays that many episodes side by side before its first test


@dataclass(frozen=True)
class ScriptTarget:
    """Scripted play in the real game: so many of so many battles won."""

    episodes: int
    wins: int
    source: str = "real_scripts.csv"

    @property
    def win_rate(self) -> float:
        """In [0, 1]."""
        return self.wins / self.episodes


@dataclass(frozen=True)
class Published:
    """A published win rate; `recalled` ones were written down from memory and never checked."""

    win_rate: float
    recalled: bool
    source: str


def _rows(name: str) -> list[dict[str, str]]:
    path = DATA / name
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8"))))


@cache
def _targets() -> tuple[dict[str, str], ...]:
    return tuple(_rows("real_targets.csv"))


def target_maps() -> tuple[str, ...]:
    """Maps with training runs of the real game, sorted."""
    return tuple(sorted({row["map"] for row in _targets()}))


def _values(name: str, kind: str) -> np.ndarray:
    require_known("map with real runs", name, target_maps())
    found = [float(row["value"]) for row in _targets() if row["map"] == name and row["kind"] == kind]
    return np.sort(np.array(found))


def random_lengths(name: str) -> np.ndarray:
    """(k,) lengths in steps of single episodes of uniformly random play, one per run, sorted.

    They are the `env_steps` of the first tests of IQL, VDN, QMIX and QTRAN.
    """
    return _values(name, "random_episode_length_value")


@cache
def _first_tests() -> dict[tuple[str, str, str], float]:
    """{(map, algorithm, run): env_steps of the first test}."""
    first: dict[tuple[str, str, str], float] = {}
    for row in _rows("real_runs.csv.gz"):
        key = row["map"], row["algorithm"], row["run"]
        first[key] = min(first.get(key, np.inf), float(row["env_steps"]))
    return first


def random_lengths_of_eight(name: str) -> np.ndarray:
    """(k,) means over eight episodes of nearly uniform play, one per COMA run: env_steps of its first test / 8."""
    require_known("map with real runs", name, target_maps())
    found = [v for (m, algorithm, _), v in _first_tests().items() if m == name and algorithm == "COMA"]
    return np.sort(np.array(found)) / COMA_EPISODES


def untrained_returns(name: str) -> np.ndarray:
    """(k,) mean returns over 32 greedy episodes of untrained networks, one per run, sorted."""
    return _values(name, "first_test_return_value")


@cache
def scripts(script: str) -> dict[str, ScriptTarget]:
    """{map: target} of "AC" (attack the closest enemy) or "AF" (alternating fire).

    Raises: ValueError for another script.
    """
    rows = _rows("real_scripts.csv")
    require_known("script", script, sorted({row["script"] for row in rows}))
    return {r["map"]: ScriptTarget(int(r["episodes"]), int(r["wins"])) for r in rows if r["script"] == script}


@cache
def heuristic() -> dict[str, Published]:
    """{map: published win rate} of SMAC's `heuristic_ai`."""
    return {
        row["map"]: Published(float(row["win_rate"]), row["recalled"] == "1", row["source"])
        for row in _rows("heuristic.csv")
    }


@cache
def plateaus() -> dict[str, tuple[float, float]]:
    """{map: (lowest, highest)} return of real runs whose agents shoot, standing, until they die."""
    return {row["map"]: (float(row["low"]), float(row["high"])) for row in _rows("plateaus.csv")}
