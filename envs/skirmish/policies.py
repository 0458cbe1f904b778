"""Scripted policies: yardsticks for learners and probes of the simulator.

The heuristic is SMAC's built-in script (`heuristic_ai`). Scripts see all unit states, not only observations. `act`
returns one action id per agent; `play_step` acts and steps, with or without the availability check as the script asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from envs.interface import require_known
from envs.skirmish.contract import HEALTH, X, Y
from envs.skirmish.env import SkirmishEnv
from envs.skirmish.kernels import EAST, FIRST_TARGET, NO_OP, NORTH, SOUTH, STOP, WEST


class Policy(ABC):
    """Chooses joint actions for all slots of one environment; made anew for every set of episodes."""

    checked = True  # False: orders from any distance, not bound by availability

    def __init__(self, env: SkirmishEnv, seed: int = 0) -> None:
        """Bind to an environment; the seed matters to random policies only."""
        self.env = env
        self.n = env.info.n_agents
        self.rng = np.random.default_rng(seed)

    @abstractmethod
    def act(self) -> np.ndarray:
        """(B, n) int64 actions for the current unit states."""

    def play_step(self) -> None:
        """Act and step once."""
        actions = self.act()
        if self.checked:
            self.env.step(actions)
        else:
            self.env.step_scripted(actions)

    def _offsets(self) -> tuple[np.ndarray, np.ndarray]:
        """(B, n, m) x and y from each agent to each enemy."""
        x, y = self.env.units[:, X], self.env.units[:, Y]
        return x[:, None, self.n :] - x[:, : self.n, None], y[:, None, self.n :] - y[:, : self.n, None]


class RandomPolicy(Policy):
    """Uniform over the available actions."""

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        return random_actions(self.env.available_actions, self.rng)


class StopPolicy(Policy):
    """Everybody stands still."""

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        return np.where(self.env.alive[:, : self.n], STOP, NO_OP)


class HeuristicPolicy(Policy):
    """SMAC's script: attack the nearest enemy, from any distance, until it is dead."""

    checked = False

    def __init__(self, env: SkirmishEnv, seed: int = 0) -> None:
        """Targets are forgotten whenever a slot's episode begins."""
        super().__init__(env, seed)
        self.target = np.full((env.num_envs, self.n), -1, np.int64)  # (B, n) enemy index or -1

    def act(self) -> np.ndarray:
        """(B, n) int64; 0 where no enemy is left."""
        self._choose_targets()
        return np.where(self.target >= 0, FIRST_TARGET + self.target, NO_OP)

    def _choose_targets(self) -> None:
        env = self.env
        self.target[env.t == 0] = -1
        alive = env.alive[:, self.n :]  # (B, m)
        lost = (self.target < 0) | ~np.take_along_axis(alive, np.maximum(self.target, 0), 1)
        dx, dy = self._offsets()
        distance = np.where(alive[:, None, :], np.hypot(dx, dy), np.inf)
        width, height = env.spec.terrain.size
        nearest = distance.argmin(2)  # first index wins ties
        found = distance.min(2) < np.hypot(width, height)
        self.target[:] = np.where(lost, np.where(found, nearest, -1), self.target)


class RestrictedHeuristicPolicy(HeuristicPolicy):
    """The same with SMAC's heuristic_rest: walk towards the target where attacking it is not available.

    As in SMAC the walk is not checked, and dead agents still name a target (a void order).
    """

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        self._choose_targets()
        return _attack_or_approach(self.env.available_actions, self.target, *self._offsets())


class FocusFirePolicy(Policy):
    """Everybody attacks the living enemy with least health, the one nearest to the team's centre among equals.

    Only available actions: who is out of range walks towards it, and stands where the way is blocked.
    """

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        env, n = self.env, self.n
        alive = env.alive
        weight = alive[:, :n] / np.maximum(1, alive[:, :n].sum(1, keepdims=True))
        centre_x = (env.units[:, X, :n] * weight).sum(1, keepdims=True)
        centre_y = (env.units[:, Y, :n] * weight).sum(1, keepdims=True)
        distance = np.hypot(env.units[:, X, n:] - centre_x, env.units[:, Y, n:] - centre_y)  # (B, m)
        # Health differs by at least a minimal hit, 0.5, and distances on the map are below 100: lexicographic in one
        # key.
        key = np.where(alive[:, n:], 1000.0 * env.units[:, HEALTH, n:] + distance, np.inf)
        target = np.broadcast_to(key.argmin(1)[:, None], (env.num_envs, n))
        wanted = _attack_or_approach(env.available_actions, target, *self._offsets())
        possible = np.take_along_axis(env.available_actions, wanted[:, :, None], 2)[:, :, 0]
        return np.where(alive[:, :n], np.where(possible, wanted, STOP), NO_OP)


def random_actions(available: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, n) int64 drawn uniformly from the available actions.

    Args: available: (B, n, A) bool with at least one True per agent.
    """
    counts = available.sum(2)
    pick = (rng.random(counts.shape) * counts).astype(np.int64)  # rank of the action among the available ones
    ranks = np.cumsum(available, 2)
    return (ranks <= pick[:, :, None]).sum(2)


def _attack_or_approach(available: np.ndarray, target: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """(B, n): attack the target if that is available, else move towards it along the longer axis; 0: no target."""
    index = np.maximum(target, 0)[:, :, None]
    attack = FIRST_TARGET + index
    tx, ty = np.take_along_axis(dx, index, 2)[:, :, 0], np.take_along_axis(dy, index, 2)[:, :, 0]
    can = np.take_along_axis(available, attack, 2)[:, :, 0]
    along_x = np.where(tx > 0, EAST, WEST)
    along_y = np.where(ty > 0, NORTH, SOUTH)
    walk = np.where(np.abs(tx) > np.abs(ty), along_x, along_y)
    return np.where(target < 0, NO_OP, np.where(can, attack[:, :, 0], walk))


POLICIES: dict[str, type[Policy]] = {
    "random": RandomPolicy,
    "stop": StopPolicy,
    "heuristic": HeuristicPolicy,
    "heuristic_rest": RestrictedHeuristicPolicy,
    "focus_fire": FocusFirePolicy,
}


def make_policy(name: str, env: SkirmishEnv, seed: int = 0) -> Policy:
    """Policy by name. Raises: ValueError with the nearest name."""
    require_known("policy", name, POLICIES)
    return POLICIES[name](env, seed)
