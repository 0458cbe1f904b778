"""Scripted policies: yardsticks for learners and probes of the simulator.

The heuristic is SMAC's built-in script (`heuristic_ai`). Scripts see all unit states, not only observations. `act`
returns one action id per agent; `play_step` acts and steps, with or without the availability check as the script asks.
An agent's target is an index on the side that its actions point to: an ally for medivacs on maps with SMAC's medivac
rules, an enemy for everybody else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np

from skirmish.checks import require_known
from skirmish.contract.layout import NO_HEALERS, P_HEALER, P_HEALTH_MAX
from skirmish.data.maps import MapSpec
from skirmish.faces.slots import EnvInfo
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.tables import EAST, HEALTH, NO_OP, NORTH, SHIELD, SOUTH, STOP, WEST, X, Y

# Lexicographic keys in one number: distances on a map stay below the first factor, and health differs by at least a
# minimal hit, 0.5, which is worth more than any distance.
HEALTH_FIRST = 1000.0


class Board(Protocol):
    """What scripts see of B battles; `SkirmishEnv` has it, and so has whoever else shows unit states."""

    info: EnvInfo
    num_envs: int
    available_actions: np.ndarray  # (B, n, A) bool
    t: np.ndarray  # (B,) steps done

    @property
    def spec(self) -> MapSpec:
        """The map."""

    @property
    def layout(self) -> Any:
        """What agents see and may do."""

    @property
    def profile(self) -> np.ndarray:
        """(K, NUM_PROFILE) facts of the units' types."""

    @property
    def units(self) -> np.ndarray:
        """(B, rows, U) unit states; x, y, health, shield, cooldown, energy are the first six rows."""

    @property
    def kinds(self) -> np.ndarray:
        """(B, U) rows of `spec.kinds` and `profile`."""

    @property
    def alive(self) -> np.ndarray:
        """(B, U) bool, agents first."""


class Policy(ABC):
    """Chooses joint actions for all slots of one environment; made anew for every set of episodes."""

    checked = True  # False: orders from any distance, not bound by availability

    def __init__(self, env: Board, seed: int = 0) -> None:
        """Bind to an environment; the seed matters to random policies only."""
        self.env = env
        self.n = env.info.n_agents
        self.rng = np.random.default_rng(seed)
        self._health_max = env.profile[:, P_HEALTH_MAX]  # (K,)
        self._healer_kinds = env.profile[:, P_HEALER] > 0.0  # (K,) medivacs where SMAC's medivac rules hold
        layout, kinds = env.layout, env.spec.kinds
        # Actions with a target are the last ones; under medivac rules there is one for every ally too.
        targets = layout.m if layout.medivac_rules == NO_HEALERS else max(layout.n, layout.m)
        self.first_target = layout.n_actions - targets
        # (K, K) bool [attacker, victim]: some weapons reach neither air nor ground
        self._can_hit = np.array(
            [[k.weapon is not None and not set(k.weapon.targets).isdisjoint(v.planes) for v in kinds] for k in kinds]
        )

    @abstractmethod
    def act(self) -> np.ndarray:
        """(B, n) int64 actions for the current unit states."""

    def play_step(self) -> None:
        """Act and step once, on the simulator."""
        assert isinstance(self.env, SkirmishEnv)
        actions = self.act()
        if self.checked:
            self.env.step(actions)
        else:
            self.env.step_scripted(actions)

    def _healers(self) -> np.ndarray:
        """(B, n) bool: agents whose target actions name allies."""
        healers: np.ndarray = self._healer_kinds[self.env.kinds[:, : self.n]]
        return healers

    def _hurt(self) -> np.ndarray:
        """(B, n) bool: living agents below full health."""
        health = self.env.units[:, HEALTH, : self.n]
        hurt: np.ndarray = (health > 0.0) & (health < self._health_max[self.env.kinds[:, : self.n]])
        return hurt

    def _distances(self, first: int, last: int) -> np.ndarray:
        """(B, n, last - first) from each agent to the units first..last - 1."""
        x, y = self.env.units[:, X], self.env.units[:, Y]
        distances: np.ndarray = np.hypot(
            x[:, None, first:last] - x[:, : self.n, None], y[:, None, first:last] - y[:, : self.n, None]
        )
        return distances

    def _target_or_approach(self, target: np.ndarray, healers: np.ndarray) -> np.ndarray:
        """(B, n): the target's action if available, else a move towards it along the longer axis; 0: no target."""
        env, n, x, y = self.env, self.n, self.env.units[:, X], self.env.units[:, Y]
        index = np.maximum(target, 0)
        unit = np.where(healers, index, n + index)
        dx = np.take_along_axis(x, unit, 1) - x[:, :n]
        dy = np.take_along_axis(y, unit, 1) - y[:, :n]
        action = self.first_target + index
        can = np.take_along_axis(env.available_actions, action[:, :, None], 2)[:, :, 0]
        walk = np.where(np.abs(dx) > np.abs(dy), np.where(dx > 0, EAST, WEST), np.where(dy > 0, NORTH, SOUTH))
        return np.where(target < 0, NO_OP, np.where(can, action, walk))


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
    """SMAC's script: attack the nearest enemy, from any distance, until it is dead.

    Medivacs heal the nearest hurt ally that is no medivac, until it is dead or at full health.
    """

    checked = False

    def __init__(self, env: Board, seed: int = 0) -> None:
        """Targets are forgotten whenever a slot's episode begins."""
        super().__init__(env, seed)
        self.target = np.full((env.num_envs, self.n), -1, np.int64)  # (B, n) enemy (medivac: ally) index or -1

    def act(self) -> np.ndarray:
        """(B, n) int64; 0 where there is no target."""
        self._choose_targets()
        return np.where(self.target >= 0, self.first_target + self.target, NO_OP)

    def _choose_targets(self) -> None:
        n = self.n
        self.target[self.env.t == 0] = -1
        chosen = self._keep_or_choose(n, n + self.env.info.n_enemies, self.env.alive[:, n:])
        if self._healer_kinds.any():
            healers = self._healers()
            patients = self._hurt() & ~healers
            # A remembered patient is a hurt, living one or is given up, so one mask serves keeping and choosing.
            chosen = np.where(healers, self._keep_or_choose(0, n, patients), chosen)
        self.target[:] = chosen

    def _keep_or_choose(self, first: int, last: int, candidates: np.ndarray) -> np.ndarray:
        """(B, n) the remembered target if it is a candidate still, else the nearest candidate or -1.

        Args: first, last: the side's units; candidates: (B, last - first) bool.
        """
        # Targets of agents that point to the other side may lie outside; their rows are not used.
        remembered = np.clip(self.target, 0, last - first - 1)
        lost = (self.target < 0) | ~np.take_along_axis(candidates, remembered, 1)
        distance = np.where(candidates[:, None, :], self._distances(first, last), np.inf)
        width, height = self.env.spec.terrain.size
        nearest = distance.argmin(2)  # first index wins ties
        found = distance.min(2) < np.hypot(width, height)
        return np.where(lost, np.where(found, nearest, -1), self.target)


class RestrictedHeuristicPolicy(HeuristicPolicy):
    """The same with SMAC's heuristic_rest: walk towards the target where its action is not available.

    As in SMAC the walk is not checked, and dead agents still name a target (a void order).
    """

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        self._choose_targets()
        return self._target_or_approach(self.target, self._healers())


class FocusFirePolicy(Policy):
    """Everybody attacks the living enemy with least health and shield left, near the team's centre among equals.

    Agents whose weapon cannot hit that enemy take the best one that it can. Medivacs heal who has lost most health in
    reach, else they walk to the nearest hurt ally and, with nobody hurt, stay near the nearest ally. Only available
    actions: who is out of range walks towards the target, and stands where the way is blocked.
    """

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        env, n = self.env, self.n
        alive = env.alive[:, :n]
        healers = self._healers()
        target, idle = self._victims(alive), np.zeros_like(alive)
        if healers.any():
            patients, healthy = self._patients(healers)
            target, idle = np.where(healers, patients, target), healers & healthy
        wanted = self._target_or_approach(target, healers)
        possible = np.take_along_axis(env.available_actions, wanted[:, :, None], 2)[:, :, 0]
        possible &= ~(idle & (wanted >= self.first_target))
        return np.where(alive, np.where(possible, wanted, STOP), NO_OP)

    def _victims(self, alive: np.ndarray) -> np.ndarray:
        """(B, n) enemy index."""
        units, n = self.env.units, self.n
        weight = alive / np.maximum(1, alive.sum(1, keepdims=True))
        centre_x = (units[:, X, :n] * weight).sum(1, keepdims=True)
        centre_y = (units[:, Y, :n] * weight).sum(1, keepdims=True)
        distance = np.hypot(units[:, X, n:] - centre_x, units[:, Y, n:] - centre_y)  # (B, m)
        left = units[:, HEALTH, n:] + units[:, SHIELD, n:]
        key = np.where(self.env.alive[:, n:], HEALTH_FIRST * left + distance, np.inf)
        kinds = self.env.kinds
        can_hit = self._can_hit[kinds[:, :n, None], kinds[:, None, n:]]  # (B, n, m)
        own_key = np.where(can_hit, key[:, None, :], np.inf)
        none = np.isinf(own_key).all(2)  # nothing left that the weapon hits: go with the others
        return np.where(none, key.argmin(1)[:, None], own_key.argmin(2))

    def _patients(self, healers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) ally index of healers, -1 if none is left; and whether that ally is at full health."""
        env, n = self.env, self.n
        hurt = self._hurt()
        missing = self._health_max[env.kinds[:, :n]] - env.units[:, HEALTH, :n]  # (B, n)
        distance = self._distances(0, n)  # (B, n, n)
        # Maps with healers have an action for every ally; availability already leaves out the dead and medivacs.
        reach = env.available_actions[:, :, self.first_target : self.first_target + n]
        to_heal = reach & hurt[:, None, :]
        key = np.where(hurt[:, None, :], distance, HEALTH_FIRST + distance)
        key = np.where(to_heal, -missing[:, None, :], key)
        key = np.where((env.alive[:, :n] & ~healers)[:, None, :], key, np.inf)
        chosen = key.argmin(2)
        healthy = ~np.take_along_axis(hurt, chosen, 1)
        return np.where(np.isinf(key).all(2), -1, chosen), healthy


def random_actions(available: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, n) int64 drawn uniformly from the available actions.

    Args: available: (B, n, A) bool with at least one True per agent.
    """
    counts = available.sum(2)
    pick = (rng.random(counts.shape) * counts).astype(np.int64)  # rank of the action among the available ones
    ranks = np.cumsum(available, 2)
    return (ranks <= pick[:, :, None]).sum(2)


POLICIES: dict[str, type[Policy]] = {
    "random": RandomPolicy,
    "stop": StopPolicy,
    "heuristic": HeuristicPolicy,
    "heuristic_rest": RestrictedHeuristicPolicy,
    "focus_fire": FocusFirePolicy,
}


def make_policy(name: str, env: Board, seed: int = 0) -> Policy:
    """Policy by name. Raises: ValueError with the nearest name."""
    require_known("policy", name, POLICIES)
    return POLICIES[name](env, seed)
