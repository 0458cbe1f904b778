"""Searches from real observations, and from replay positions: anew at every draw, or once per target network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from mazero.config import MAZeroConfig
from mazero.inference import Model
from mazero.replay import Beside, Replay, reserve
from mazero.search import SearchResult, Workspace, draws, search
from training.errors import Diverged


def search_fields(result: SearchResult) -> dict[str, np.ndarray]:
    """A search as the replay stores it: one row a root, SEARCH_FIELDS as keys."""
    return {
        "search_value": result.value.astype(np.float32),
        "predicted_value": result.predicted_value.astype(np.float32),
        "num_children": result.num_children,
        "joint_actions": result.joint_actions,
        "visit_counts": result.visit_counts,
        "q": result.q.astype(np.float32),
        "importance": result.importance.astype(np.float32),
    }


def search_observations(
    model: Model,
    obs: np.ndarray,
    available: np.ndarray,
    config: MAZeroConfig,
    *,
    seeds: np.ndarray,
    noise: bool,
    num_simulations: int | None = None,
    workspace: Workspace | None = None,
) -> SearchResult:
    """Encode real observations and search from them.

    Args:
      obs: (B, n, S * O) float32.    available: (B, n, A) bool.    seeds: (B,) uint64.
      num_simulations: N, if other than the config's.
    Raises: Diverged if the network's policy is not finite.
    """
    settings = config.search
    if num_simulations is not None:
        settings = replace(settings, num_simulations=num_simulations)
    roots = model.roots(obs, available)
    if not torch.isfinite(roots.policy_logits).all():
        raise Diverged("a logit of the policy is not finite")
    return search(
        model.recurrent,
        roots,
        settings,
        seeds,
        noise=noise,
        workspace=workspace,
        threads=torch.get_num_threads(),
    )


class Searches(Protocol):
    """Searches of replay positions with the target network, with root noise."""

    def find(self, replay: Replay, positions: np.ndarray) -> dict[str, np.ndarray]:
        """SEARCH_FIELDS of positions (M,) int64, ascending and all different: one row each."""
        ...


class FreshSearches:
    """A new search at every draw, as released.

    Args:
      model: the target network's.    config: of the run.    rng: draws the seeds of searches.    workspace: memory.
    """

    def __init__(
        self, model: Model, config: MAZeroConfig, *, rng: np.random.Generator, workspace: Workspace | None = None
    ) -> None:
        self._model, self._config, self._rng, self._workspace = model, config, rng, workspace

    def find(self, replay: Replay, positions: np.ndarray) -> dict[str, np.ndarray]:
        """SEARCH_FIELDS, one row a position."""
        seeds = self._rng.integers(0, 2**64, len(positions), dtype=np.uint64)
        return _search_positions(replay, positions, seeds, self._model, self._config, self._workspace)


class PeriodSearches:
    """`period_searches` searches per position and target network, made when first asked for, kept until `renew`.

    A position that is asked for more often gets them in turn: the first, ..., the last, the first again.
    The seed of a search is a hash of run, period, position and turn, so what is found does not depend on what is
    searched together. A resumed run searches again what it is asked for and finds the same: kept searches need no place
    in a checkpoint. They take memory for at most as many positions as one period draws, batch x (U + 1) x period.
    Where a model searches many roots at the cost of one, on a GPU, searches are made ahead to fill its batches.

    Args:
      model: the target network's.    config: of the run.    seed: of the run's searches.    workspace: memory.
    """

    def __init__(self, model: Model, config: MAZeroConfig, *, seed: int, workspace: Workspace | None = None) -> None:
        self._model, self._config, self._workspace = model, config, workspace
        self._seed = np.uint64(seed)
        self.period = 0
        self._each = config.targets.period_searches
        self._asked = self._made = 0  # positions asked for, and how many of them got a search that nobody had before
        self._rows: dict[str, np.ndarray] = {}
        self._count = 0  # of searches kept
        self._row = Beside(np.int32, fill=[-1] * self._each)  # row of each search of a position in `_rows`, or -1
        self._times = Beside(np.int32, fill=0)  # how often a position was asked for in this period

    def renew(self) -> None:
        """The target network has changed."""
        self.period += 1
        self._count = 0
        self._row.forget()
        self._times.forget()

    def find(self, replay: Replay, positions: np.ndarray) -> dict[str, np.ndarray]:
        """SEARCH_FIELDS, one row a position."""
        row, times = self._row.follow(replay), self._times.follow(replay)
        new = positions[row[positions, times[positions] % self._each] < 0]
        if new.size:
            new = self._filled_up(replay, new, row, times)
            turn = times[new] % self._each
            seeds = position_seeds(self._seed, self.period, replay.dropped + new, turn)
            found = _search_positions(replay, new, seeds, self._model, self._config, self._workspace)
            end = self._count + new.size
            reserve(self._rows, found, self._count, end)
            for name, rows in found.items():
                self._rows[name][self._count : end] = rows
            row[new, turn] = np.arange(self._count, end)
            self._count = end
        kept = row[positions, times[positions] % self._each]
        self._asked += len(positions)
        self._made += int((times[positions] < self._each).sum())
        times[positions] += 1
        return {name: rows[kept] for name, rows in self._rows.items()}

    def _filled_up(self, replay: Replay, new: np.ndarray, row: np.ndarray, times: np.ndarray) -> np.ndarray:
        """With `new`, as many positions as are searched at no cost: the likeliest to be drawn later in this period."""
        together = self._model.roots_per_search * torch.get_num_threads()
        room = -len(new) % together
        if not room:
            return new
        others = row[np.arange(replay.size), times % self._each] < 0
        others[new] = False
        free = np.flatnonzero(others)
        if len(free) > room:
            free = free[np.argpartition(-replay.priority[free], room - 1)[:room]]
        return np.sort(np.concatenate((new, free)))

    def drain_counts(self) -> dict[str, float]:
        """Positions asked for since the last call (`searches_asked`) and searched for them (`searches_made`)."""
        counts = {"searches_asked": float(self._asked), "searches_made": float(self._made)}
        self._asked = self._made = 0
        return counts

    def state_dict(self) -> dict[str, Any]:
        """The period, how often positions were asked for in it, and the counts: not the searches."""
        return {"period": self.period, "times": self._times.state_dict(), "counts": (self._asked, self._made)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._count = 0
        self._row.forget()
        self._times.load_state_dict(state["times"])
        self.period = state["period"]
        self._asked, self._made = state["counts"]


def position_seeds(seed: np.uint64, period: int, positions: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Seeds of searches (M,) uint64: two rounds of splitmix64's finaliser over run, period, position and turn (M,)."""
    mix = getattr(draws.mix, "py_func", draws.mix)  # as Python, it takes arrays
    of_period = mix(np.array([seed]) + draws.GOLDEN * np.array([period + 1], np.uint64))
    number = positions.astype(np.uint64) + (turn.astype(np.uint64) << np.uint64(40))  # a run has fewer positions
    return mix(of_period + draws.GOLDEN * (number + np.uint64(1)))


def _search_positions(
    replay: Replay,
    positions: np.ndarray,
    seeds: np.ndarray,
    model: Model,
    config: MAZeroConfig,
    workspace: Workspace | None,
) -> dict[str, np.ndarray]:
    obs = replay.stacked_obs(positions, config.network.stacked_observations)
    found = search_observations(
        model, obs, replay.available[positions], config, seeds=seeds, noise=True, workspace=workspace
    )
    return search_fields(found)
