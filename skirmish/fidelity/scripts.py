"""Scripts that real players or public studies have shown to win or lose: what a faithful simulator must reward.

Like all scripts they read unit states. Parameters are keyword arguments with the values that the measurements use; how
they were found is written in `fidelity/README.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.tables import (
    COOLDOWN,
    EAST,
    HEALTH,
    NO_OP,
    NORTH,
    RADIUS,
    SHIELD,
    SOUTH,
    STOP,
    WEST,
    WINDUP,
    X,
    Y,
)
from skirmish.policies import HeuristicPolicy, Policy, random_actions

# Found on the data of game 4.6.2 by the grids in README.md.
MARINES_KITE: dict[str, Any] = {"safe": 3.0, "alarm": 4.0, "slack": 8.0, "edge": 4.0}  # for `KitingPolicy` on 2m_vs_1z
STEP_OUTS: tuple[dict[str, Any], ...] = (  # for `StepOutPolicy`
    {"patience": 1, "tolerance": 0.0, "slack": 8.0},  # enough where an enemy turns to whoever attacks
    {"patience": 3, "tolerance": 30.0, "slack": 4.0},  # where it keeps its target as long as it is in range
)

DIRECTIONS = np.array([NORTH, SOUTH, EAST, WEST])
STEPS = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])  # (4, 2) unit vectors of DIRECTIONS


class AttackClosestPolicy(HeuristicPolicy):
    """Every agent attacks the closest enemy, chosen anew at every step, from any distance; medivacs heal likewise."""

    def _choose_targets(self) -> None:
        self.target[:] = -1
        super()._choose_targets()


class _TwoSides(Policy):
    """What the scripts below look at. Distances are between centres."""

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """(B, n, m) components of the way from every enemy to every agent."""
        x, y, n = self.env.units[:, X], self.env.units[:, Y], self.n
        return x[:, :n, None] - x[:, None, n:], y[:, :n, None] - y[:, None, n:]

    def _left(self) -> np.ndarray:
        """(B, n) health and shield of the agents."""
        left: np.ndarray = self.env.units[:, HEALTH, : self.n] + self.env.units[:, SHIELD, : self.n]
        return left

    def _ready(self, slack: float) -> np.ndarray:
        """(B, n) bool: the weapon is ready within `slack` loops."""
        ready: np.ndarray = self.env.units[:, COOLDOWN, : self.n] <= slack
        return ready

    def _towards(self, vx: np.ndarray, vy: np.ndarray) -> np.ndarray:
        """(B, n) the available walk that goes furthest along the vector, STOP (dead: NO_OP) if none goes along it."""
        along = vx[:, :, None] * STEPS[:, 0] + vy[:, :, None] * STEPS[:, 1]  # (B, n, 4)
        along = np.where(self.env.available_actions[:, :, DIRECTIONS], along, -np.inf)
        return np.where(along.max(2) > -np.inf, DIRECTIONS[along.argmax(2)], self._idle())

    def _idle(self) -> np.ndarray:
        return np.where(self.env.alive[:, : self.n], STOP, NO_OP)

    def _shootable(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) the attack on the available enemy with the least key (B, n, m), and whether there is one."""
        can = self.env.available_actions[:, :, self.first_target :]
        chosen = np.where(can, key, np.inf).argmin(2)
        return self.first_target + chosen, np.asarray(can.any(2))


class AlternatingFirePolicy(_TwoSides):
    """Two agents that do not walk take turns: one attacks the enemy while the other one stops.

    The study's script for 2m_vs_1z: both wait until the enemy is within 6 of one of them; the nearer one opens fire;
    from then on the further one fires, and never one that the enemy has come within 1 of.
    """

    checked = False
    opening = 6.0  # distances between centres
    touch = 1.0

    def __init__(self, env: SkirmishEnv, seed: int = 0) -> None:
        """For maps with two agents and one enemy."""
        super().__init__(env, seed)
        self.opened = np.zeros(env.num_envs, np.bool_)

    def act(self) -> np.ndarray:
        """(B, 2) int64."""
        env, rows = self.env, np.arange(self.env.num_envs)
        self.opened &= env.t > 0
        distance = np.hypot(*self._vectors())[:, :, 0]  # (B, 2)
        near = distance.min(1)
        opens = ~self.opened & (near > self.touch)
        turn = np.where(distance[:, 0] >= distance[:, 1], 0, 1)
        turn = np.where(opens, np.where(distance[:, 0] <= distance[:, 1], 0, 1), turn)
        turn = np.where(~opens & (distance[:, 0] <= self.touch), 1, turn)
        waits = near > self.opening
        self.opened |= ~waits
        actions = self._idle()
        actions[rows, turn] = np.where(waits, actions[rows, turn], self.first_target)
        return np.where(env.alive[:, : self.n], actions, NO_OP)


class ShieldRetreatPolicy(_TwoSides):
    """The study's alternating fire for 2s_vs_1sc: attack; with shields below 30 walk south until 9 away, and stop.

    Shields come back there, and the attack goes on. So this script does walk, unlike its namesake.
    """

    checked = False
    least_shield = 30.0
    distance = 9.0  # between centres

    def act(self) -> np.ndarray:
        """(B, 2) int64."""
        env, n = self.env, self.n
        distance = np.hypot(*self._vectors())[:, :, 0]
        retreat = np.where(distance < self.distance, SOUTH, STOP)
        actions = np.where(env.units[:, SHIELD, :n] < self.least_shield, retreat, self.first_target)
        return np.where(env.alive[:, :n], actions, NO_OP)


ALTERNATING = {"2m_vs_1z": AlternatingFirePolicy, "2s_vs_1sc": ShieldRetreatPolicy}


class KitingPolicy(_TwoSides):
    """Fire at what is in range when the weapon is ready and nobody is too near, else run from those who are near.

    The way out is the sum of pushes away from the enemies (growing as 1/distance^2) and from the map's edges, with a
    turn along the edge, of which the nearest of the four walks is taken.
    """

    def __init__(
        self,
        env: SkirmishEnv,
        seed: int = 0,
        *,
        safe: float = 2.5,
        alarm: float = 5.0,
        slack: float = 1.0,
        edge: float = 6.0,
        turn: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        """safe: no shot with an enemy nearer than this; alarm: run from enemies nearer than this while reloading.

        slack: loops before the weapon is ready at which a shot is ordered; edge: where the map's edge begins to push;
        turn: strength of the circle around the map's centre; noise: fraction of uniformly random available actions.
        """
        super().__init__(env, seed)
        self.safe, self.alarm, self.slack, self.edge, self.turn, self.noise = safe, alarm, slack, edge, turn, noise

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        env, n = self.env, self.n
        dx, dy = self._vectors()
        living = env.alive[:, None, n:]
        distance = np.where(living, np.hypot(dx, dy), np.inf)
        nearest = distance.min(2)  # (B, n)
        left = env.units[:, None, HEALTH, n:] + env.units[:, None, SHIELD, n:]
        shot, possible = self._shootable(distance + 1e-3 * left)
        fire = possible & self._ready(self.slack) & (nearest > self.safe)
        run = self._towards(*self._way_out(dx, dy, distance))
        approach = self._towards(*self._way_in(dx, dy, distance))
        actions = np.where(fire, shot, np.where(nearest < self.alarm, run, np.where(possible, shot, approach)))
        actions = np.where(env.alive[:, :n], actions, NO_OP)
        if self.noise > 0.0:
            slip = self.rng.random(actions.shape) < self.noise
            actions = np.where(slip, random_actions(env.available_actions, self.rng), actions)
        return actions

    def _way_out(self, dx: np.ndarray, dy: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = 1.0 / np.maximum(distance, 0.5) ** 3  # 0 for the dead
        vx, vy = (weight * dx).sum(2), (weight * dy).sum(2)
        x, y = self.env.units[:, X, : self.n], self.env.units[:, Y, : self.n]
        width, height = self.env.spec.terrain.size
        size = np.hypot(vx, vy)
        # Push of the four edges, as strong as the enemies' at the edge itself.
        ex = np.maximum(0.0, 1.0 - x / self.edge) - np.maximum(0.0, 1.0 - (width - x) / self.edge)
        ey = np.maximum(0.0, 1.0 - y / self.edge) - np.maximum(0.0, 1.0 - (height - y) / self.edge)
        # Near an edge the run bends along it, always the same way round.
        near_edge = np.minimum(1.0, np.hypot(ex, ey))
        cx, cy = x - width / 2, y - height / 2
        out = np.maximum(np.hypot(cx, cy), 1e-9)
        vx = vx + size * (ex - self.turn * near_edge * cy / out)
        vy = vy + size * (ey + self.turn * near_edge * cx / out)
        return vx, vy

    def _way_in(self, dx: np.ndarray, dy: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = distance.argmin(2)[:, :, None]
        return -np.take_along_axis(dx, at, 2)[:, :, 0], -np.take_along_axis(dy, at, 2)[:, :, 0]


class StepOutPolicy(_TwoSides):
    """Two stalkers share the hits of an enemy that stands: who was hit and has less left steps out of its range.

    It waits for a shot that is due or under way, walks straight away from the enemy for at most `patience` steps or
    until it is outside, and comes back; a hit on the partner calls it back at once. Looked at are health, places and
    the own weapon, which agents observe or can count; not what the enemy aims at.
    """

    def __init__(
        self,
        env: SkirmishEnv,
        seed: int = 0,
        *,
        patience: int = 1,
        margin: float = 0.2,
        tolerance: float = 0.0,
        slack: float = 4.0,
    ) -> None:
        """patience: steps; margin: outside means so far beyond the enemy's range; tolerance: in health and shield.

        slack: a shot is due if the weapon is ready within so many loops.
        """
        super().__init__(env, seed)
        weapon = env.spec.kinds[-1].weapon
        self.outside = (weapon.range if weapon else 0.0) + margin
        self.patience, self.tolerance, self.slack = patience, tolerance, slack
        self.before = np.zeros((env.num_envs, self.n))
        self.steps_out = np.zeros((env.num_envs, self.n), np.int64)  # that may still be taken; 0: stays in

    def act(self) -> np.ndarray:
        """(B, 2) int64."""
        env, n = self.env, self.n
        left, fresh = self._left(), (env.t == 0)[:, None]
        hit = ~fresh & (left < self.before)
        both = env.alive[:, :n].all(1, keepdims=True)
        self.before = left
        dx, dy = self._vectors()
        dx, dy = dx[:, :, 0], dy[:, :, 0]
        edges = np.hypot(dx, dy) - env.units[:, RADIUS, :n] - env.units[:, RADIUS, n:]  # (B, 2)
        weaker = left < left[:, ::-1] - self.tolerance
        self.steps_out = np.where(hit & weaker, self.patience, self.steps_out)
        called = fresh | ~both | (hit[:, ::-1] & ~hit) | (edges > self.outside)
        self.steps_out = np.where(called, 0, self.steps_out)
        shot, possible = self._shootable(np.zeros((*dx.shape, 1)))
        busy = (possible & self._ready(self.slack)) | (env.units[:, WINDUP, :n] > 0.0)
        out = (self.steps_out > 0) & ~busy
        self.steps_out = self.steps_out - out
        inside = np.where(possible, shot, self._towards(-dx, -dy))
        return np.where(env.alive[:, :n], np.where(out, self._towards(dx, dy), inside), NO_OP)
