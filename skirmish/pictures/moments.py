"""Finds the moments of a battle, shots and hits and explosions and deaths, in a sequence of its states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skirmish.data.units import UnitType
from skirmish.physics.tables import (
    ALIVE,
    BEAM_AGE,
    BEAM_DX,
    BEAM_DY,
    BEAM_X,
    BEAM_Y,
    BURST,
    DEALT,
    EPISODE,
    HEALING,
    HITS_TAKEN,
    LOOPS,
    MELEE_SHOT,
    MISSILE_TARGET,
    NOBODY,
    SHOT_TARGET,
    WINDUP,
    X,
    Y,
)

LASTS = {"shot": 5, "hit": 5, "burst": 12, "scorch": 14, "death": 80}  # game loops until a moment has faded
FLASH = 4  # loops that a unit glows after a hit
TURN = math.radians(60.0)  # per loop
WALKS = 0.05  # world units per loop; less is being pushed


@dataclass
class Moment:
    """Something that happened at a place."""

    what: str  # key of LASTS
    unit: int  # who did it, or who died
    x: float
    y: float
    dx: float = 0.0  # extent: of a shot to its end, of a scorched line to either side
    dy: float = 0.0
    size: float = 0.0  # radius
    born: int = 0  # game loop
    part: float = 0.0  # of its life that is over


class Moments:
    """Compares each state with the one before. A new episode, or a jump back in time, starts afresh."""

    def __init__(self, n_agents: int) -> None:
        """Before any state was seen."""
        self.heading = np.zeros(0)  # (U,) radians, counter-clockwise from east
        self._n = n_agents
        self._list: list[Moment] = []
        self._hit_at = np.zeros(0, np.int64)  # (U,) loop of the last hit
        self._episode, self._loop = -1, -1
        self._f = np.zeros((0, 0))
        self._s = np.zeros((0, 0), np.int64)

    def of(self, what: str) -> list[Moment]:
        """The moments of one sort that have not faded, oldest first."""
        return [m for m in self._list if m.what == what]

    def flash(self, unit: int) -> float:
        """1 when the unit was just hit, down to 0 after FLASH loops."""
        return max(0.0, 1.0 - (self._loop - self._hit_at[unit]) / FLASH)

    def look(self, f: np.ndarray, s: np.ndarray, clock: np.ndarray, kinds: list[UnitType]) -> None:
        """See a state: tables f (NF, U), s (NS, U) and the clock of one episode."""
        episode, loop = int(clock[EPISODE]), int(clock[LOOPS])
        if episode != self._episode or loop < self._loop or f.shape != self._f.shape:
            self._list = []
            self.heading = np.radians([k.facing for k in kinds])
            self._hit_at = np.full(len(kinds), -FLASH, np.int64) + loop
        elif loop > self._loop:
            self._turn(f, s, loop - self._loop)
            self._notice(f, s, loop, kinds)
        self._episode, self._loop, self._f, self._s = episode, loop, f.copy(), s.copy()
        for moment in self._list:
            moment.part = (loop - moment.born) / LASTS[moment.what]
        self._list = [m for m in self._list if m.part < 1.0]

    def _turn(self, f: np.ndarray, s: np.ndarray, loops: int) -> None:
        """Who attacks or heals looks at the other one, who walks looks ahead."""
        x, y = f[X] - self._f[X], f[Y] - self._f[Y]
        busy = np.where(f[WINDUP] > 0.0, s[SHOT_TARGET], s[HEALING])
        other = np.maximum(busy, 0)
        x, y = (np.where(busy != NOBODY, f[row, other] - f[row], d) for row, d in ((X, x), (Y, y)))
        wants = (s[ALIVE] > 0) & ((busy != NOBODY) | (np.hypot(x, y) > WALKS * loops))
        angle = np.arctan2(y, x) - self.heading
        angle = np.mod(angle + math.pi, math.tau) - math.pi
        self.heading = self.heading + np.where(wants, np.clip(angle, -TURN * loops, TURN * loops), 0.0)

    def _notice(self, f: np.ndarray, s: np.ndarray, loop: int, kinds: list[UnitType]) -> None:
        before_f, before_s = self._f, self._s
        hit = s[HITS_TAKEN] > before_s[HITS_TAKEN]
        self._hit_at[hit] = loop
        for i in np.flatnonzero(f[DEALT] > before_f[DEALT]).tolist():
            self._notice_hit(f, s, i, loop, kinds)
        for i in np.flatnonzero((s[MISSILE_TARGET] != NOBODY) & (before_s[MISSILE_TARGET] == NOBODY)).tolist():
            self._add("hit", i, f[X, i], f[Y, i], loop, size=0.22)  # the flash of a launch
        for i in np.flatnonzero((s[BEAM_AGE] >= 0) & (before_s[BEAM_AGE] < 0)).tolist():
            weapon = kinds[i].weapon
            half = weapon.beam.half_length if weapon and weapon.beam else 0.0
            ends = {"dx": half * f[BEAM_DX, i], "dy": half * f[BEAM_DY, i]}
            self._add("scorch", i, f[BEAM_X, i], f[BEAM_Y, i], loop, **ends)
        for i in np.flatnonzero((s[BURST] > 0) & (before_s[BURST] == 0)).tolist():
            weapon = kinds[i].weapon
            self._add("burst", i, f[X, i], f[Y, i], loop, size=weapon.burst_radius if weapon else 0.0)
        for i in np.flatnonzero((s[ALIVE] == 0) & (before_s[ALIVE] > 0)).tolist():
            self._add("death", i, f[X, i], f[Y, i], loop, size=kinds[i].radius)

    def _notice_hit(self, f: np.ndarray, s: np.ndarray, i: int, loop: int, kinds: list[UnitType]) -> None:
        """Unit i did damage: a spark on the victim, and a line to it unless a missile has drawn the way."""
        weapon = kinds[i].weapon
        flew = self._s[MISSILE_TARGET, i] != NOBODY and s[MISSILE_TARGET, i] == NOBODY
        if flew:
            j = int(self._s[MISSILE_TARGET, i])
        else:
            j = int(self._s[SHOT_TARGET, i] if self._f[WINDUP, i] > 0.0 else s[SHOT_TARGET, i])
        if weapon is None or j == NOBODY or weapon.beam is not None or weapon.burst_radius > 0.0:
            return
        dx, dy = float(f[X, j] - f[X, i]), float(f[Y, j] - f[Y, i])
        distance = max(1e-9, math.hypot(dx, dy))
        ux, uy = dx / distance, dy / distance
        back = 0.6 * kinds[j].radius
        self._add("hit", i, f[X, j] - back * ux, f[Y, j] - back * uy, loop, size=0.3)
        distant = not flew and not s[MELEE_SHOT, i] and weapon.range > 1.0
        if distant:
            start, reach = 1.2 * kinds[i].radius, distance - back
            if reach > start:
                at = f[X, i] + start * ux, f[Y, i] + start * uy
                self._add("shot", i, *at, loop, dx=(reach - start) * ux, dy=(reach - start) * uy)

    def _add(self, what: str, unit: int, x: float, y: float, loop: int, **extent: float) -> None:
        self._list.append(Moment(what, unit, float(x), float(y), born=loop, **extent))
