"""The embedded SMAC simulator behind the vectorised interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from skirmish.checks import Snapshot, require_known, restore_arrays
from skirmish.contract import smac as contract
from skirmish.contract.agent_state import agent_state_size, fill_agent_state
from skirmish.contract.options import (
    SkirmishOptions,
    build_grids,
    build_kinds,
    build_layout,
    build_profile,
    build_reward_terms,
)
from skirmish.data.maps import MapSpec, agent_types, load_map, packed_spots
from skirmish.faces.bookkeeping import end_step, open_episodes
from skirmish.faces.slots import EnvInfo, Slots
from skirmish.physics import loop, tables
from skirmish.physics.rules import Rules
from skirmish.physics.terrain import build_ground
from skirmish.progress import announcer


class SkirmishEnv(Slots):
    """B battles on one map. Results of this backend are labelled `skirmish`; they are not StarCraft II results."""

    options_type: type[SkirmishOptions] = SkirmishOptions
    options: SkirmishOptions
    layout: Any  # `layout.Layout`, or what a subclass puts in its place

    def __init__(
        self,
        name: str | MapSpec,
        *,
        num_envs: int = 1,
        observation: str = "smac",
        seed: int = 0,
        rules: Rules | None = None,
        **options: Any,
    ) -> None:
        """Build B battles; `reset()` starts them from `seed`.

        Args:
          name: a map of `skirmish.map_names()`, or a map of your own.
          observation: "smac" or "mazero".
          rules: choices where the facts end; None for the documented defaults.
          options: fields of `SkirmishOptions`.
        Raises: ValueError for an unknown map, family or option (with the nearest name) or a value without a meaning.
        """
        require_known("observation family", observation, ("smac", "mazero"))
        for option in options:
            require_known("option", option, (f.name for f in fields(self.options_type)))
        if isinstance(name, str):
            self.options = self.options_type(**options)
            self.spec = load_map(name, self.options.game_version)
        else:
            self.options = self.options_type(**{"game_version": name.game_version, **options})
            self.spec = replace(name, game_version=self.options.game_version)
        self.rules = rules or Rules()
        self.layout, self.profile = self._build_contract(mazero=observation == "mazero")
        self.grids = build_grids(self.spec)
        self._facts = tables.facts(self.spec.kinds, self.rules)
        self._choices = tables.choices(self.spec, self.rules)
        self._ground = build_ground(self.spec.terrain.name, self.rules.cliff_clearance)
        death_value, win = self.options.reward_death_value, self.options.reward_win
        enemy_kinds = build_kinds(self.spec)[self.spec.n_agents :]
        self.max_reward = contract.max_reward(self.profile, enemy_kinds, death_value, win)
        self._terms = build_reward_terms(self.options, self.max_reward)
        info = EnvInfo(
            name=self.spec.name,
            backend="skirmish",
            observation=observation,
            n_agents=self.spec.n_agents,
            n_enemies=self.spec.n_enemies,
            n_actions=self.layout.n_actions,
            obs_size=self.layout.obs_size,
            state_size=self.layout.state_size,
            episode_limit=self.spec.episode_limit,
            deterministic=False,
            unit_data=self.spec.game_version,
            agent_types=self._agent_types(),
        )
        self._allocate(info, num_envs)
        units = info.n_agents + info.n_enemies
        self.units = np.zeros((num_envs, tables.NUM_FLOATS, units))  # (B, NF, U), rows as in physics/tables.py
        self.marks = np.zeros((num_envs, tables.NUM_INTS, units), np.int64)  # (B, NS, U)
        self.clocks = np.zeros((num_envs, tables.NUM_CLOCKS), np.int64)  # (B, 4)
        self._places = np.zeros((num_envs, 4, units))  # (B, 4, U) x, y, goal x, goal y of the next episode
        self._next_kinds = np.zeros((num_envs, units), np.int64)  # (B, U) types of the next episode
        self._draw_battles(np.ones(num_envs, np.bool_))
        self._kinds = np.zeros((num_envs, units), np.int64)  # (B, U) `kinds` of the present battles, contiguous
        self.t = np.zeros(num_envs, np.int64)  # (B,) steps done
        self.last_action = np.full((num_envs, info.n_agents), -1, np.int64)  # (B, n), -1 before the first step
        self.result = np.zeros(num_envs, np.int64)  # (B,) contract.UNDECIDED, WIN, LOSS or DRAW
        self._flagged = np.zeros((num_envs, units), np.bool_)  # (B, U) deaths already counted
        self._reward64 = np.zeros(num_envs)
        self._key = np.zeros(2, np.uint64)
        self._seed = seed
        self._started = False
        self._agent_state: np.ndarray | None = None
        self._agent_state_old = True

    @property
    def alive(self) -> np.ndarray:
        """(B, U) bool, agents first."""
        return self.units[:, tables.HEALTH] > 0.0

    @property
    def kinds(self) -> np.ndarray:
        """(B, U) types of the units, as rows of `spec.kinds` and `profile`."""
        return self.marks[:, tables.KIND]

    @property
    def agent_state_size(self) -> int | None:
        """F, see `agent_state.py`."""
        return agent_state_size(self.layout)

    @property
    def agent_state(self) -> np.ndarray:
        """(B, n, F) float32 central inputs, overwritten by the next request after a step or reset.

        They are made at the first request after a change, so who does not ask does not pay.
        """
        size = self.agent_state_size
        if size is None:
            return super().agent_state  # raises
        if self._agent_state is None:
            self._agent_state = np.zeros((self.num_envs, self.info.n_agents, size), np.float32)
        if self._agent_state_old:
            slots = np.ones(self.num_envs, np.bool_)
            history = (self.available_actions, self.last_action, self.t)
            fill_agent_state(*self._seen(), *history, slots, self._agent_state)
            self._agent_state_old = False
        return self._agent_state

    @property
    def largest_return(self) -> float | None:
        """Return of an episode in which every enemy dies."""
        return (1.0 if self._terms.sparse else self.max_reward) / self._terms.divisor

    def reset(self, seed: int | None = None) -> None:
        """New episodes everywhere. Raises: ValueError for a seed outside [0, 2^64)."""
        if seed is None and not self._started:
            seed = self._seed
        if seed is not None:
            if not 0 <= seed < 2**64:
                raise ValueError(f"seed must lie in [0, 2**64), got {seed!r}: pass a non-negative integer")
            self._key[:] = seed & 0xFFFFFFFF, seed >> 32
            self.clocks[:, tables.EPISODE] = -1
            self.clocks[:, tables.HEAD_START] = 0
        rehearse, self._started = not self._started, True
        with announcer.together():
            self._begin(np.ones(self.num_envs, np.bool_))
            if rehearse:
                self._rehearse()

    def reset_later(self, seed: int | None = None) -> None:
        """Second battles of games started with the seed, or the next ones; the first are not fought."""
        if seed is not None or not self._started:
            self.reset(seed)
        self.reset()

    def reset_done(self) -> None:
        """New episodes in finished slots."""
        finished = self.finished
        if finished.any():
            self._begin(finished)

    def step(self, actions: np.ndarray) -> None:
        """One environment step; the arrays then hold the new step."""
        self._require_started()
        self._step(self._checked_actions(actions), checked=True)

    def step_scripted(self, actions: np.ndarray) -> None:
        """A step without the availability check.

        For scripts that order attacks from any distance, as SMAC's heuristic does.

        Args: actions: (B, n) integers in [0, A); 0 gives no order and lets the last one stand.
        """
        self._require_started()
        self._step(self._scripted(actions), checked=False)

    def _scripted(self, actions: np.ndarray) -> np.ndarray:
        actions = np.ascontiguousarray(actions, np.int64)
        if actions.shape != self.last_action.shape or actions.min() < 0 or actions.max() >= self.info.n_actions:
            raise ValueError(
                f"scripted actions must be of shape {self.last_action.shape} in [0, {self.info.n_actions}), "
                f"got shape {actions.shape}: pass one action id per agent"
            )
        return actions

    def step_loops(self, actions: np.ndarray, *, checked: bool = True) -> Iterator[None]:
        """The same as `step` (or `step_scripted`), yielding after every game loop, for pictures.

        `units` and `marks` can be read between the loops; reward, flags, observations and availability are those of
        the new step once the iterator is exhausted.
        """
        self._require_started()
        actions = self._checked_actions(actions) if checked else self._scripted(actions)
        yield from self._advance(actions, [1] * int(self.options.step_mul), ~self.finished, checked=checked)

    def snapshot(self) -> Snapshot:
        """Copies of everything that changes; observations are rebuilt by `restore`."""
        self._require_started()
        return {key: array.copy() for key, array in self._arrays().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises: ValueError if it does not fit."""
        restore_arrays(self._arrays(), snapshot)
        self._kinds[:] = self.kinds
        self._started = True
        self._describe(np.ones(self.num_envs, np.bool_))

    def _build_contract(self, *, mazero: bool) -> tuple[Any, np.ndarray]:
        """Layout, and (K, NUM_PROFILE) profile with rows as in `spec.kinds`."""
        return build_layout(self.spec, self.options, mazero=mazero), build_profile(self.spec)

    def _rehearse(self) -> None:
        """A step of no battle: what it compiles is there before the first one, and nothing else happens."""
        for _ in self._advance(np.zeros_like(self.last_action), [1], np.zeros(self.num_envs, np.bool_), checked=True):
            pass

    def _require_started(self) -> None:
        if not self._started:
            raise RuntimeError("episodes must be started first, got a call before any reset: call reset()")

    def _arrays(self) -> Snapshot:
        arrays: Snapshot = {"units": self.units, "marks": self.marks, "clocks": self.clocks}
        arrays |= {"t": self.t, "last_action": self.last_action, "result": self.result, "flagged": self._flagged}
        arrays |= {"key": self._key, "reward": self.reward}
        return arrays | {"terminated": self.terminated, "truncated": self.truncated, "won": self.won}

    def _begin(self, slots: np.ndarray) -> None:
        """Start the next episode of the slots marked True."""
        open_episodes(slots, int(self.rules.respawn_loops), self.clocks, self._flagged, *self._progress())
        self._draw_battles(slots)
        setting = (self._facts, self._choices, self._ground, self._places, self._next_kinds)
        loop.spawn(*self._state, *setting, self._key, slots)
        self._kinds[:] = self.kinds
        self._describe(slots)

    def _agent_types(self) -> tuple[str, ...]:
        """`EnvInfo.agent_types`."""
        return tuple(kind.name for kind in self.spec.unit_types[: self.spec.n_agents])

    def _draw_battles(self, slots: np.ndarray) -> None:
        """Fill places and types of the next episode in the slots marked True; on SMAC's maps they never change."""
        if not slots.all():
            return
        self._next_kinds[:] = build_kinds(self.spec)
        self._places[:] = starting_places(self.spec, self.rules)

    def _step(self, actions: np.ndarray, *, checked: bool) -> None:
        for _ in self._advance(actions, self._pieces(), ~self.finished, checked=checked):
            pass

    def _pieces(self) -> list[int]:
        """Game loops of one step, in parts between which something happens."""
        return [int(self.options.step_mul)]

    def _orders(self, actions: np.ndarray, running: np.ndarray, *, checked: bool) -> np.ndarray:
        """(B, n) int64 orders to the simulator; what the game is not told is a no-op."""
        return actions

    def _between(self, loops: int, running: np.ndarray) -> None:
        """What happens after so many loops of a step, besides fighting: nothing on SMAC's maps."""

    def _settle(self, running: np.ndarray, previous: np.ndarray) -> None:
        """Rewards and results of a step."""
        contract.settle(*self._seen(), self._terms, running, previous, self._flagged, self._reward64, self.result)

    def _advance(self, actions: np.ndarray, pieces: list[int], running: np.ndarray, *, checked: bool) -> Iterator[None]:
        """One step of the running slots in pieces of so many game loops; yields after each, then settles, describes."""
        previous = self.units[:, tables.HEALTH] + self.units[:, tables.SHIELD]
        setting = (self._facts, self._choices, self._ground, self._key)
        orders, fighting, left = self._orders(actions, running, checked=checked), running, sum(pieces)
        for k, loops in enumerate(pieces):
            if k > 0:
                orders = np.zeros_like(actions)  # no-op lets the orders stand
                fighting = running & self.marks[:, tables.ALIVE].any(1)
            loop.advance(*self._state, *setting, fighting, orders, float(self.options.move_amount), loops)
            left -= loops
            if left > 0:
                wiped = fighting & ~self.marks[:, tables.ALIVE].any(1)
                self.clocks[wiped, tables.HEAD_START] += left
            self._between(sum(pieces) - left, running)
            yield
        self._settle(running, previous)
        end_step(running, actions, self._reward64, self.info.episode_limit, *self._progress())
        self._describe(running)

    def _describe(self, slots: np.ndarray) -> None:
        """Availability, observations and state of the slots marked True."""
        self._agent_state_old = True
        views = (self.available_actions, self.obs, self.state)
        contract.fill_views(*self._seen(), self.grids, self.last_action, self.t, slots, *views)
        if self.layout.obs_instead_of_state:
            contract.fill_state_from_obs(self.obs, slots, self.state)

    def _progress(self) -> tuple[np.ndarray, ...]:
        """Where the episodes are, as the bookkeeping writes it."""
        counted = (self.last_action, self.result, self.t)
        return *counted, self.reward, self.terminated, self.truncated, self.won

    def _seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """First arguments of all kernels of the contract."""
        return self.units, self._kinds, self.profile, self.layout

    @property
    def _state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.units, self.marks, self.clocks


def starting_places(spec: MapSpec, rules: Rules) -> np.ndarray:
    """(4, U) x, y, goal x and goal y of every unit: agents by type in creation order, then enemies."""
    groups = spec.allies + spec.enemies
    spots = packed_spots(groups, rules.placement_gap)
    points = np.array([(g.x, g.y) for g in groups for _ in range(g.count)])
    goals = spots
    if spec.enemy_order.points:
        goals = spec.enemy_order.points[0] + (spots - points if rules.formation_move else 0.0 * spots)
    types = [g.unit for g in spec.allies for _ in range(g.count)]
    order = sorted(range(spec.n_agents), key=lambda u: agent_types(spec).index(types[u]))
    rows = np.concatenate([spots, goals], 1)
    rows[: spec.n_agents] = rows[order]
    return np.ascontiguousarray(rows.T)
