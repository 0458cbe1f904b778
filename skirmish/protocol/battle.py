"""One battle at the granularity of game loops, moved by what the game's clients may ask for.

It runs the kernels of `SkirmishEnv` on tables of its own and plays the part of the maps' scripts: armies appear when
the game begins and again whenever nobody is left. A battle whose start nobody has touched is begun anew with a longer
head start when loops pass, exactly as `SkirmishEnv.reset` does it, because agents are sorted when they are first seen.
Equal seeds and equal orders therefore give the battles of `skirmish.make` with one slot, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skirmish.contract.options import build_kinds
from skirmish.contract.smac import agent_order
from skirmish.data.maps import MapSpec
from skirmish.data.units import UnitType
from skirmish.faces.vector import starting_places
from skirmish.physics import loop, tables
from skirmish.physics.orders import command
from skirmish.physics.placement import free_spots
from skirmish.physics.rules import Rules
from skirmish.physics.tables import ALIVE, HEALTH, KIND, ORDER, ORDER_X, ORDER_Y, X, Y
from skirmish.physics.terrain import build_ground
from skirmish.protocol.scene import Scene, drawn_spec
from skirmish.scenarios.draw import AGENT_TYPE_ORDER

TAG_SHIFT = 18  # a tag is the unit's place in the list, from 1, and how often the list was filled, as in the game
UNTOUCHED_LOOPS = 16  # longer head starts are played on, not begun anew
MOST_UNITS = 200  # of a side that is created by debug commands


class Battle:
    """The units of one game. Agents are 0..n-1, enemies n..U-1; dead ones stay in the tables."""

    def __init__(self, scene: Scene, seed: int, rules: Rules | None = None) -> None:
        """Begin the first battle of a seed in [0, 2^64), or wait for units to be created."""
        self.scene, self.rules = scene, rules or Rules()
        self.key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint64)
        self.game_loop = 0
        self.filled = 0  # how often units appeared
        self.untouched = False  # nobody has given an order since they appeared
        self._waiting: list[tuple[str, bool, float, float]] = []  # created units: type, agents' side, point
        self._log: list[tuple[Any, ...]] = []  # what was done since `_opening`
        self._opening: tuple[np.ndarray, ...] = ()
        self._clear()
        if scene.spec is not None:
            self._prepare(scene.spec)
            self._kinds = build_kinds(scene.spec)[None]
            self._places = starting_places(scene.spec, self.rules)[None]
            self._appear(0)

    @property
    def empty(self) -> bool:
        """Is there nobody, neither living nor dead?"""
        return self.units.shape[2] == 0

    @property
    def living(self) -> np.ndarray:
        """(U,) bool."""
        return self.units[0, HEALTH] > 0.0

    @property
    def number(self) -> int:
        """Number of the battle in the seed's series, from 0; -1 before the first."""
        return int(self.clocks[0, tables.EPISODE])

    def kind(self, unit: int) -> UnitType:
        """Type of a unit."""
        return self.types[int(self.marks[0, KIND, unit])]

    def run(self, loops: int) -> None:
        """Let game loops pass."""
        self.game_loop += loops
        if self.empty or loops == 0:
            return
        if self.untouched and self._head_start + loops <= UNTOUCHED_LOOPS:
            self._appear(self._head_start + loops)
            return
        self.touch()
        self._log.append(("run", loops))
        left = self._advance(loops)
        if not self.marks[0, ALIVE].any():
            self._all_gone(left)

    def touch(self) -> None:
        """Somebody takes part: from here on the battle only moves forward."""
        if self.untouched:
            self.untouched = False
            self._log, self._opening = [], tuple(a.copy() for a in (self.units, self.marks, self.clocks))

    def order(self, unit: int, action: int, goal: tuple[float, float] | None = None) -> None:
        """Give an agent an order of `physics.orders.command`, at once.

        Args: action: SMAC's id, with enemies (healers: agents) counted from `tables.FIRST_TARGET`; goal: the point of
          a movement order, in place of the one that the id stands for.
        """
        self.touch()
        self._log.append(("order", unit, action, goal))
        f, s = self.units[0], self.marks[0]
        command(f, s, self.facts, unit, action, self.n_agents, 0.0)
        self._followed.pop(unit, None)
        if goal is not None:
            f[ORDER_X, unit], f[ORDER_Y, unit] = goal

    def follow(self, unit: int, target: int) -> None:
        """Let an agent walk to where another unit is, loop after loop, until it gets another order."""
        self.order(unit, tables.EAST, (float(self.units[0, X, target]), float(self.units[0, Y, target])))
        self._log[-1] = ("follow", unit, target)
        self._followed[unit] = target

    def kill(self, units: Sequence[int]) -> None:
        """Units die at once, without a fight; when nobody is left the script brings the next armies."""
        living = [u for u in units if self.units[0, HEALTH, u] > 0.0]
        if not living:
            return
        self.touch()
        self._log.append(("kill", living))
        self.units[0, HEALTH, living] = 0.0
        if not self.living.any():
            self._all_gone(0)

    def create(self, name: str, *, agent: bool, x: float, y: float) -> None:
        """A unit of a type appears near a point, on maps whose teams are created, before the battle begins.

        Raises: ValueError on other maps, in a battle under way, and for too many units.
        """
        if not self.scene.drawn:
            raise ValueError(f"units cannot be created on {self.scene.name} here: its script brings both armies")
        if not self.empty and not self.untouched:
            raise ValueError("units cannot be created in a battle under way here: kill all units first")
        if self.empty:
            self._waiting = []
        if sum(side == agent for _, side, _, _ in self._waiting) >= MOST_UNITS:
            raise ValueError(f"at most {MOST_UNITS} units of a side are served here")
        self._waiting.append((name, agent, x, y))
        self._gather()

    def replay(self) -> Iterator[Battle]:
        """The battle so far once more, yielded at its start and after every game loop; itself it is not changed."""
        twin = copy.copy(self)
        twin._followed, twin._log, twin.untouched = {}, [], False
        arrays: tuple[np.ndarray, ...] = self._opening or (self.units, self.marks, self.clocks)
        twin.units, twin.marks, twin.clocks = arrays[0].copy(), arrays[1].copy(), arrays[2].copy()
        yield twin
        for what, *arguments in self._log if self._opening else []:
            if what == "run":
                for _ in range(arguments[0]):
                    if twin.marks[0, ALIVE].any():
                        twin._advance(1)
                    yield twin
            elif what == "kill":
                twin.units[0, HEALTH, arguments[0]] = 0.0
            else:
                getattr(twin, what)(*arguments)

    def _advance(self, loops: int) -> int:
        """Fight. Returns: loops left when nobody was."""
        still = np.zeros((1, self.n_agents), np.int64)
        setting = (self.facts, self._choices, self._ground, self.key, np.ones(1, np.bool_), still, 0.0)
        pieces = [1] * loops if self._followed else [loops]
        for k, piece in enumerate(pieces):
            for unit, target in self._followed.items():
                if self.marks[0, ALIVE, unit] and self.marks[0, ALIVE, target]:
                    self.marks[0, ORDER, unit] = tables.MOVE
                    self.units[0, [ORDER_X, ORDER_Y], unit] = self.units[0, [X, Y], target]
            loop.advance(self.units, self.marks, self.clocks, *setting, piece)
            if not self.marks[0, ALIVE].any():
                return int(self.clocks[0, tables.HEAD_START]) + len(pieces) - 1 - k
        return 0

    def _all_gone(self, head_start: int) -> None:
        if self.scene.drawn:
            episode = self.number
            self._clear()
            self.clocks[0, tables.EPISODE] = episode
        else:
            self._appear(head_start)

    def _clear(self) -> None:
        """Nobody is there."""
        self.n_agents = 0
        self.types: tuple[UnitType, ...] = ()
        self.units: np.ndarray = np.zeros((1, tables.NUM_FLOATS, 0))  # (1, NF, U), rows as in physics/tables.py
        self.marks: np.ndarray = np.zeros((1, tables.NUM_INTS, 0), np.int64)  # (1, NS, U)
        self.clocks: np.ndarray = np.full((1, tables.NUM_CLOCKS), -1, np.int64)
        self.tags: list[int] = []  # (U,)
        self.index: dict[int, int] = {}  # unit by tag
        self.untouched, self._head_start = False, 0
        self._followed: dict[int, int] = {}  # agent -> unit

    def _prepare(self, spec: MapSpec) -> None:
        """Tables for the units of a map."""
        self.spec, self.n_agents, self.types = spec, spec.n_agents, spec.kinds
        self.facts = tables.facts(spec.kinds, self.rules)
        self._choices = tables.choices(spec, self.rules)
        self._ground = build_ground(spec.terrain.name, self.rules.cliff_clearance)
        count = spec.n_agents + spec.n_enemies
        self.units = np.zeros((1, tables.NUM_FLOATS, count))
        self.marks = np.zeros((1, tables.NUM_INTS, count), np.int64)

    def _gather(self) -> None:
        """Put the created units on the map: sorted agents, then enemies in the order of their creation."""
        allies = [w for w in self._waiting if w[1]]
        enemies = [w for w in self._waiting if not w[1]]
        again = not self.empty
        self._prepare(drawn_spec(self.scene, [w[0] for w in allies], [w[0] for w in enemies]))
        names = [w[0] for w in allies + enemies]
        points = np.array([w[2:] for w in allies + enemies])
        spots = free_spots(points, names, self.rules.placement_gap, self.spec.terrain.size)  # (U, 2)
        order, n = np.arange(len(names)), len(allies)
        ranks = np.array([AGENT_TYPE_ORDER.index(name) for name in names[:n]], np.int64)
        order[:n] = agent_order(ranks, spots[:n, 0], spots[:n, 1])
        rows = [self.spec.row_of(names[u], agents=bool(u < n)) for u in order]
        self._kinds = np.array([rows], np.int64)
        self._places = np.concatenate([spots[order].T, spots[order].T])[None]
        self._appear(0, again=again)

    def _appear(self, head_start: int, *, again: bool = False) -> None:
        """The armies of the next battle, or those of the present one anew, after so many loops of it.

        Args: again: it is the same battle with other units.
        """
        renewed = self.untouched and head_start > 0
        before = (self.units[0, [X, Y]].copy(), self.marks[0, KIND].copy(), list(self.tags))
        if not renewed and not again:
            self.filled += 1
            self.clocks[0, tables.EPISODE] += 1
        self.clocks[0, tables.HEAD_START] = self._head_start = head_start
        setting = (self.facts, self._choices, self._ground, self._places, self._kinds, self.key, np.ones(1, np.bool_))
        loop.spawn(self.units, self.marks, self.clocks, *setting)
        self.untouched, self._followed, self._log, self._opening = True, {}, [], ()
        count = self.units.shape[2]
        self.tags = [(u + 1) << TAG_SHIFT | self.filled for u in range(count)]
        if renewed:
            self.tags = _same_tags(*before, self.units[0, [X, Y]], self.marks[0, KIND])
        self.index = {tag: u for u, tag in enumerate(self.tags)}


def _same_tags(
    old: np.ndarray, old_kinds: np.ndarray, tags: list[int], new: np.ndarray, new_kinds: np.ndarray
) -> list[int]:
    """Tags of units that were sorted anew: each has that of the unit of its type which was nearest to it.

    Args: old, new: (2, U) positions; old_kinds, new_kinds: (U,) rows of types.
    """
    if np.array_equal(old_kinds, new_kinds) and np.abs(old - new).max(initial=0.0) == 0.0:
        return tags
    free, found = dict(enumerate(tags)), []
    for u in range(len(tags)):
        same = [v for v in free if old_kinds[v] == new_kinds[u]]
        nearest = min(same, key=lambda v: float(np.hypot(*(old[:, v] - new[:, u]))))
        found.append(free.pop(nearest))
    return found
